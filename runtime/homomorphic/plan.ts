import { channelMagnitude, rowsPerBlock, type ChannelRole, type ColumnHeader, type ColumnTotals } from './column.ts';
import { HomomorphicFault } from './fault.ts';
import { checkFlood, toldDecimals } from './flood-margin.ts';
import { logisticPlanOf, type LogisticPlan } from './logistic.ts';
import { productCapacity, weightCapacity } from './noise.ts';
import { PROFILES, type ProfileId } from './profiles.ts';
import type { HomomorphicProgram } from './program.ts';

/** The public facts about one input column of a job. */
export interface ColumnInput {
  readonly header: ColumnHeader;
  readonly totals: ColumnTotals;
}

/** One channel of one column times a public integer. */
export interface PlanTerm {
  /** Index into `HomomorphicProgram.columns`. */
  readonly column: number;
  readonly channel: number;
  readonly weight: bigint;
}

/** A result that the runtime computes and the key holder decrypts, one ciphertext per segment. */
export interface PlanOutput {
  readonly label: string;
  readonly profile: ProfileId;
  readonly work: 'linear' | 'product' | 'logistic';
  /** 3 when a product of ciphertexts is not relinearised: nobody but the key holder needs a key then. */
  readonly polynomials: 2 | 3;
  /** Only blocks of this group, or all. */
  readonly group: number | null;
  readonly terms: readonly PlanTerm[];
  /** What one segment may hold of noise (absolute weights, or products) and of values before the next one starts. */
  readonly noiseCapacity: bigint;
  readonly rangeCapacity: bigint;
}

/** Everything that fixes a computation: the same plan over the same blocks gives the same bytes on any machine. */
export interface Plan {
  readonly program: HomomorphicProgram;
  readonly inputs: readonly ColumnInput[];
  readonly outputs: readonly PlanOutput[];
  readonly logistic: LogisticPlan | null;
  /** Integer weights are the program's times 10^this. */
  readonly weightDecimals: number;
  /** Decimals of a weighted sum: of its most precise column, plus the weights'. */
  readonly decimals: number;
}

/** Most result ciphertexts of one job. */
export const RESULT_LIMIT = 4096;

/**
 * Fixes how a checked program runs over its columns. Throws `bad-program` when the columns do not carry what it needs
 * and `no-parameters` when a value could overflow the plaintext modulus or the noise budget: never while running.
 */
export function planProgram(program: HomomorphicProgram, inputs: readonly ColumnInput[]): Plan {
  if (program.shape !== 'encryptedData') refuse(program, 'it runs over plaintext columns with an encrypted query');
  if (inputs.length !== program.columns.length) refuse(program, 'a column is missing');
  program.columns.forEach((name, i) => {
    if (inputs[i]?.header.column !== name) refuse(program, `column ${name} is missing`);
  });
  if (new Set(inputs.map((input) => input.header.keyId)).size !== 1)
    refuse(program, 'its columns are encrypted under different keys');
  const base = { program, inputs, weightDecimals: 0, decimals: inputs[0]?.header.decimals ?? 0, logistic: null };
  const first = inputs[0] as ColumnInput;
  switch (program.name) {
    case 'sum':
      return checked({ ...base, outputs: sumOutputs(program, inputs) });
    case 'count':
      return checked({ ...base, outputs: roleOutputs(program, inputs, 'valid') });
    case 'mean':
      return checked({
        ...base,
        outputs: [...needed(program, inputs, 'value'), ...roleOutputs(program, inputs, 'valid')],
      });
    case 'variance':
      return checked({ ...base, outputs: varianceOutputs(program, inputs) });
    case 'covariance':
    case 'dot':
      return checked({ ...base, outputs: productOutputs(program, inputs) });
    case 'linear':
      return checked(linearPlan(program, inputs));
    case 'logistic':
      return checked(logisticOutputs(program, inputs));
    case 'groupSums': {
      if (first.header.groups.length === 0)
        refuse(program, `column ${first.header.column} is not partitioned by groups`);
      const outputs = first.header.groups.flatMap((_, group) =>
        [...needed(program, inputs, 'value'), ...roleOutputs(program, inputs, 'valid')].map((output) => ({
          ...output,
          group,
        })),
      );
      return checked({ ...base, outputs });
    }
    case 'countEqual': {
      if (!first.header.categories.includes(program.parameters['value'] ?? Number.NaN))
        refuse(program, 'the value is not one of the public categories');
      // every category is counted, though one is told: what a histogram keeps back, its counts one by one must, too
      return checked({ ...base, outputs: categoryOutputs(program, inputs) });
    }
    case 'histogram':
      return checked({ ...base, outputs: categoryOutputs(program, inputs) });
    case 'queryDot':
    case 'queryLinear':
    case 'queryLogistic':
    case 'lookup':
      return refuse(program, 'it runs over plaintext columns with an encrypted query');
  }
}

/** Result ciphertexts that an output needs at most, from the blocks its columns have. */
export function segmentCount(plan: Plan, output: PlanOutput): number {
  const { noise, range } = stepOf(plan, output);
  const steps = BigInt(Math.max(...output.terms.map((term) => plan.inputs[term.column]?.totals.blocks ?? 0), 1));
  const perSegment = min(output.noiseCapacity / max(noise, 1n), output.rangeCapacity / max(range, 1n));
  return perSegment < 1n ? Number.POSITIVE_INFINITY : Number((steps + perSegment - 1n) / perSegment);
}

/** What one block index adds at most to the noise and to the range of an output. */
export function stepOf(plan: Plan, output: PlanOutput): { readonly noise: bigint; readonly range: bigint } {
  if (output.work !== 'linear') return { noise: 1n, range: productMagnitude(plan, output) };
  let noise = 0n;
  let range = 0n;
  for (const term of output.terms) {
    const weight = term.weight < 0n ? -term.weight : term.weight;
    noise += weight;
    range += weight * termMagnitude(plan, term);
  }
  return { noise, range };
}

/** Largest slot of one term before its weight. */
export function termMagnitude(plan: Plan, term: PlanTerm): bigint {
  const header = plan.inputs[term.column]?.header;
  const channel = header?.channels[term.channel];
  return header === undefined || channel === undefined ? 0n : channelMagnitude(header, channel.role);
}

function productMagnitude(plan: Plan, output: PlanOutput): bigint {
  if (output.work === 'logistic') return 1n;
  const [left, right] = output.terms;
  return left === undefined || right === undefined ? 1n : termMagnitude(plan, left) * termMagnitude(plan, right);
}

function checked(plan: Plan): Plan {
  let total = 0;
  for (const output of plan.outputs) {
    const segments = segmentCount(plan, output);
    if (!Number.isFinite(segments)) {
      throw new HomomorphicFault(
        'no-parameters',
        `cannot run ${plan.program.name}: ${output.label} could overflow profile ${output.profile} within one block; ` +
          'encrypt the column with narrower bounds, fewer decimals or smaller weights, or as a pair of moduli',
      );
    }
    total += segments;
  }
  if (total > RESULT_LIMIT) {
    throw new HomomorphicFault(
      'no-parameters',
      `cannot run ${plan.program.name}: its result needs ${total} ciphertexts, at most ${RESULT_LIMIT}`,
    );
  }
  return plan;
}

function sumOutputs(program: HomomorphicProgram, inputs: readonly ColumnInput[]): readonly PlanOutput[] {
  const shapes = inputs.map(({ header }) =>
    header.channels.map((channel) => `${channel.role} ${channel.profile}`).join(),
  );
  if (new Set(shapes).size !== 1) refuse(program, 'its columns are encrypted under different profiles');
  if (new Set(inputs.map(({ header }) => header.decimals)).size !== 1)
    refuse(program, 'its columns have different decimals');
  // the counts of present values go along, column by column: a sum over a handful of one provider's values must not
  // leave inside another's, which can be subtracted
  return [
    ...merge(inputs.map((_, i) => needed(program, inputs, 'value', i))),
    ...inputs.flatMap((_, i) =>
      roleOutputs(program, inputs, 'valid', i).map((output) => ({ ...output, label: presentLabel(i) })),
    ),
  ];
}

/** Label of the output of a sum that counts the present values of one of its columns. */
export const presentLabel = (column: number): string => (column === 0 ? 'valid' : `valid ${column}`);

function varianceOutputs(program: HomomorphicProgram, inputs: readonly ColumnInput[]): readonly PlanOutput[] {
  const value = needed(program, inputs, 'value');
  const squares = roleOutputs(program, inputs, 'square');
  if (squares.length > 0) return [...value, ...squares, ...roleOutputs(program, inputs, 'valid')];
  if (hasRole(inputs[0], 'valid'))
    return [...value, ...roleOutputs(program, inputs, 'valid'), ...productOf(program, inputs, 0, 0)];
  return [...value, ...productOf(program, inputs, 0, 0)];
}

function productOutputs(program: HomomorphicProgram, inputs: readonly ColumnInput[]): readonly PlanOutput[] {
  mustAlign(program, inputs);
  const product = productOf(program, inputs, 0, 1);
  if (program.name === 'dot') return product;
  const [left, right] = [needed(program, inputs, 'value', 0), needed(program, inputs, 'value', 1)];
  return [...left.map((o) => ({ ...o, label: 'left' })), ...right.map((o) => ({ ...o, label: 'right' })), ...product];
}

function productOf(
  program: HomomorphicProgram,
  inputs: readonly ColumnInput[],
  left: number,
  right: number,
): readonly PlanOutput[] {
  const [a, b] = [channelOf(inputs[left], 'value', 'bgv-product'), channelOf(inputs[right], 'value', 'bgv-product')];
  if (a < 0 || b < 0) {
    refuse(
      program,
      'it multiplies encrypted values: encrypt its columns with profile bgv-product (or with squares, for a variance)',
    );
  }
  const profile = PROFILES['bgv-product'];
  return [
    {
      label: 'product',
      profile: profile.id,
      work: 'product',
      polynomials: 3,
      group: null,
      terms: [
        { column: left, channel: a, weight: 1n },
        { column: right, channel: b, weight: 1n },
      ],
      noiseCapacity: productCapacity(profile, worstMode(inputs)),
      rangeCapacity: (profile.plainModulus - 1n) / 2n,
    },
  ];
}

function linearPlan(program: HomomorphicProgram, inputs: readonly ColumnInput[]): Plan {
  mustAlign(program, inputs);
  const weightDecimals = program.parameters['weightDecimals'] ?? 0;
  const decimals = Math.max(...inputs.map(({ header }) => header.decimals));
  const parts = inputs.map((input, i) => {
    const weight = program.weights[i] ?? 0;
    const scaled = Math.round(weight * 10 ** weightDecimals);
    if (!Number.isSafeInteger(scaled)) refuse(program, 'a weight is too large for its decimals');
    const factor = BigInt(scaled) * 10n ** BigInt(decimals - input.header.decimals);
    return needed(program, inputs, 'value', i).map((output) => ({
      ...output,
      label: 'score',
      terms: output.terms.map((term) => ({ ...term, weight: factor })),
    }));
  });
  if (new Set(parts.map((part) => part.map((o) => o.profile).join())).size !== 1)
    refuse(program, 'its columns are encrypted under different profiles');
  return {
    program,
    inputs,
    outputs: merge(parts),
    logistic: null,
    weightDecimals,
    decimals: decimals + weightDecimals,
  };
}

function logisticOutputs(program: HomomorphicProgram, inputs: readonly ColumnInput[]): Plan {
  mustAlign(program, inputs);
  const terms = inputs.map((input, column) => ({
    column,
    channel: channelOf(input, 'value', 'ckks-deep'),
    weight: 1n,
  }));
  if (terms.some((term) => term.channel < 0))
    refuse(program, 'it needs columns of reals: encrypt them with profile ckks-deep');
  const logistic = logisticPlanOf(
    program,
    inputs.map(({ header }) => ({ low: Number(header.low), high: Number(header.high) })),
    inputs[0]?.totals ?? { rows: 0, blocks: 0 },
  );
  checkFlood(logistic, toldDecimals(program.parameters));
  const output: PlanOutput = {
    label: 'score',
    profile: 'ckks-deep',
    work: 'logistic',
    polynomials: 2,
    group: null,
    terms,
    noiseCapacity: logistic.blocksPerSegment,
    rangeCapacity: logistic.blocksPerSegment,
  };
  return { program, inputs, outputs: [output], logistic, weightDecimals: 0, decimals: 0 };
}

function categoryOutputs(program: HomomorphicProgram, inputs: readonly ColumnInput[]): readonly PlanOutput[] {
  const header = inputs[0]?.header;
  if (header === undefined || header.categories.length === 0)
    return refuse(program, 'its column has no public categories');
  return header.channels.flatMap((channel, index) =>
    channel.role === 'category' ? [linearOutput(inputs, 0, index, `category ${channel.category ?? 0}`)] : [],
  );
}

function needed(
  program: HomomorphicProgram,
  inputs: readonly ColumnInput[],
  role: ChannelRole,
  column = 0,
): readonly PlanOutput[] {
  const outputs = roleOutputs(program, inputs, role, column);
  if (outputs.length === 0) refuse(program, `column ${program.columns[column] ?? ''} holds no numbers`);
  if (outputs.some((output) => output.profile === 'ckks-deep'))
    refuse(program, 'its column holds approximate reals: encrypt it with an exact profile');
  return outputs;
}

function roleOutputs(
  _: HomomorphicProgram,
  inputs: readonly ColumnInput[],
  role: ChannelRole,
  column = 0,
): readonly PlanOutput[] {
  const channels = inputs[column]?.header.channels ?? [];
  const outputs = channels.flatMap((channel, index) =>
    channel.role === role ? [linearOutput(inputs, column, index, role)] : [],
  );
  // a pair of moduli holds values as large as their product, in segments that both halves share
  const range = (outputs.reduce((product, output) => product * PROFILES[output.profile].plainModulus, 1n) - 1n) / 2n;
  const noise = outputs.reduce((least, output) => min(least, output.noiseCapacity), 1n << 63n);
  return outputs.map((output) => ({ ...output, rangeCapacity: range, noiseCapacity: noise }));
}

function linearOutput(inputs: readonly ColumnInput[], column: number, channel: number, label: string): PlanOutput {
  const id = inputs[column]?.header.channels[channel]?.profile ?? 'bgv-add-a';
  const profile = PROFILES[id];
  return {
    label,
    profile: id,
    work: 'linear',
    polynomials: 2,
    group: null,
    terms: [{ column, channel, weight: 1n }],
    noiseCapacity: weightCapacity(profile, worstMode(inputs)),
    rangeCapacity: (profile.plainModulus - 1n) / 2n,
  };
}

/** One output per profile from the same outputs of several columns. */
function merge(parts: readonly (readonly PlanOutput[])[]): readonly PlanOutput[] {
  const first = parts[0] ?? [];
  return first.map((output, i) => ({ ...output, terms: parts.flatMap((part) => part[i]?.terms ?? []) }));
}

/** Rows of the columns belong to the same units in the same order; without that a product or score means nothing. */
function mustAlign(program: HomomorphicProgram, inputs: readonly ColumnInput[]): void {
  if (inputs.some((input) => hasRole(input, 'valid'))) refuse(program, 'its columns have missing values');
  const first = inputs[0];
  for (const { header, totals } of inputs) {
    const isAligned = header.alignment !== null && header.alignment === first?.header.alignment;
    if (
      inputs.length > 1 &&
      (!isAligned || totals.rows !== first?.totals.rows || totals.blocks !== first.totals.blocks)
    ) {
      refuse(program, 'its columns are not aligned: they must be encrypted over the same units in the same order');
    }
    if (
      inputs.length > 1 &&
      (rowsPerBlock(header) !== rowsPerBlock(first?.header ?? header) ||
        header.groups.join() !== first?.header.groups.join())
    ) {
      refuse(program, 'its columns are cut into different blocks');
    }
  }
}

function hasRole(input: ColumnInput | undefined, role: ChannelRole): boolean {
  return input?.header.channels.some((channel) => channel.role === role) ?? false;
}

function channelOf(input: ColumnInput | undefined, role: ChannelRole, profile: ProfileId): number {
  return input?.header.channels.findIndex((channel) => channel.role === role && channel.profile === profile) ?? -1;
}

function worstMode(inputs: readonly ColumnInput[]): 'publicKey' | 'secretKey' {
  return inputs.some(({ header }) => header.mode === 'publicKey') ? 'publicKey' : 'secretKey';
}

function min(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

function max(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}

function refuse(program: HomomorphicProgram, complaint: string): never {
  throw new HomomorphicFault('bad-program', `cannot run ${program.name}: ${complaint}`);
}
