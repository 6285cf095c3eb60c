import type { HomomorphicProgram, Job, JobRequest, Reason } from '../gen/messages.ts';
import { generateKeyBundles } from '../homomorphic/keys.ts';
import { openNodeSealBackend } from '../homomorphic/node-seal-backend.ts';
import type { EncryptedQueryProgramName } from '../homomorphic/program.ts';
import { queryFactsOf, type QueryFacts } from '../homomorphic/query-facts.ts';
import {
  blocksOf,
  decryptQueryResult,
  encryptQuery,
  QUERY_BLOCK_ROWS,
  QUERY_PROFILE,
  type QueryOutput,
  readQuery,
} from '../homomorphic/query.ts';
import type { Init } from '../rpc/call.ts';
import type { Glovebox } from './connect.ts';
import { encryptedResultOf, uploadObject } from './homomorphic.ts';
import type { RunOptions } from './jobs.ts';

/** What stays with the consumer: nobody but it ever sees these numbers. */
export interface EncryptedModel {
  /** One weight for each column, for `queryLinear` and `queryLogistic`. */
  readonly weights?: Readonly<Record<string, number>>;
  /** Added to each score after decryption. */
  readonly intercept?: number;
  /** Digits after the point of the weights, or of the vector, that count; 3 when not said. */
  readonly decimals?: number;
  /** How many rows there are, when it is known: then a total is also told as a mean. */
  readonly count?: number;
  /** The wanted row, for `lookup`: its place in the order of the privacy unit, from 0. */
  readonly row?: number;
  /** One number for each row, for `queryDot`; missing ones are zero. */
  readonly vector?: readonly number[];
}

/** One decrypted number. */
export interface QueryAnswer {
  /** `total`, `mean`, `risk at the mean`, `score`, `risk`, or the name of a column that was looked up. */
  readonly name: string;
  /** Place of the row, for scores row by row; null otherwise. */
  readonly row: number | null;
  readonly value: number;
}

export type EncryptedQueryOutcome =
  | { readonly kind: 'answered'; readonly job: Job; readonly answers: readonly QueryAnswer[] }
  | { readonly kind: 'refused'; readonly job: Job | null; readonly reasons: readonly Reason[] };

const DEFAULT_DECIMALS = 3;
const QUERY_PROGRAMS: ReadonlySet<string> = new Set(['queryLinear', 'queryLogistic', 'queryDot', 'lookup']);

/** Whether a program takes an encrypted model. */
export function isEncryptedQuery(program: Init<HomomorphicProgram>): boolean {
  return QUERY_PROGRAMS.has(program.name ?? '');
}

/**
 * Runs a program with an encrypted model: asks the runtime what to encrypt for, makes a key pair that lives as long as
 * this call, encrypts, uploads, runs, decrypts. The model and the key never leave this process.
 */
export async function runEncryptedQuery(
  glovebox: Glovebox,
  request: {
    readonly program: Init<HomomorphicProgram>;
    readonly model: EncryptedModel;
    readonly job?: Init<JobRequest>;
  },
  options: RunOptions = {},
): Promise<EncryptedQueryOutcome> {
  const { program, model } = request;
  const job = (inputs: readonly string[]): Init<JobRequest> => ({
    ...request.job,
    computation: { kind: 'homomorphic', homomorphic: { ...program, weights: [], inputs } },
  });
  const { reasons, queryShape } = await glovebox.jobs.explain({ job: job([]) });
  const facts = queryFactsOf(queryShape);
  if (facts === null) return { kind: 'refused', job: null, reasons };
  const name = program.name as EncryptedQueryProgramName;
  const { rows: wantsRows, mean: wantsMean } = program.parameters ?? {};
  const output = wantsRows === 1 ? 'rows' : wantsMean === 1 ? 'mean' : 'total';
  const scale = scaleOf(facts, model);
  // a model that does not fit is said before keys are made
  const vector = vectorOf(name, facts, model, scale);

  const backend = await openNodeSealBackend();
  const { open, secret } = generateKeyBundles(backend, [QUERY_PROFILE.id]);
  const [publicKey] = open.keys.map((key) => key.publicKey);
  const [secretKey] = secret.keys.map((key) => key.secretKey);
  if (publicKey === undefined || secretKey === undefined) throw new Error('no key was made');
  backend.open(QUERY_PROFILE).useSecretKey(secretKey);
  const bytes = encryptQuery(
    { backend, publicKey },
    { name, columns: facts.columns, output, rows: facts.rows, vector },
  );
  const uploaded = await uploadObject(glovebox.homomorphic, { kind: 'query' }, bytes);
  if (uploaded.kind === 'refused') return { kind: 'refused', job: null, reasons: uploaded.reasons };
  const outcome = await glovebox.jobs.run(job([uploaded.object.digest]), options);
  if (outcome.kind === 'refused') return outcome;
  const numbers = decryptQueryResult(backend, readQuery(bytes).header, encryptedResultOf(outcome.table));
  return { kind: 'answered', job: outcome.job, answers: answersOf(name, output, facts, model, scale, numbers) };
}

interface Scale {
  readonly weights: number;
  /** Digits of the most precise column: the others' weights are raised to it. */
  readonly columns: number;
}

function scaleOf({ columns }: QueryFacts, model: EncryptedModel): Scale {
  const weights = model.decimals ?? DEFAULT_DECIMALS;
  if (!Number.isInteger(weights) || weights < 0 || weights > 9)
    throw new RangeError('decimals is a whole number from 0 to 9');
  return { weights, columns: Math.max(...columns.map(({ decimals }) => decimals)) };
}

function vectorOf(
  name: EncryptedQueryProgramName,
  facts: QueryFacts,
  model: EncryptedModel,
  scale: Scale,
): BigInt64Array {
  const factor = 10 ** scale.weights;
  switch (name) {
    case 'lookup':
      if (model.row === undefined) throw new RangeError('a lookup needs `row`, the place of the wanted record from 0');
      return BigInt64Array.of(BigInt(model.row));
    case 'queryDot': {
      const { vector } = model;
      if (vector === undefined || vector.length > facts.rows)
        throw new RangeError(`queryDot needs \`vector\`, at most ${facts.rows} numbers`);
      const whole = new BigInt64Array(blocksOf(facts.rows) * QUERY_BLOCK_ROWS).subarray(0, facts.rows);
      vector.forEach((value, i) => (whole[i] = BigInt(Math.round(value * factor))));
      return whole;
    }
    case 'queryLinear':
    case 'queryLogistic': {
      const names = facts.columns.map(({ column }) => column);
      for (const column of Object.keys(model.weights ?? {}))
        if (!names.includes(column))
          throw new RangeError(`the model weighs \`${column}\`, which is not among the program's columns`);
      return BigInt64Array.from(facts.columns, ({ column, decimals }) => {
        const weight = model.weights?.[column];
        if (weight === undefined || !Number.isFinite(weight))
          throw new RangeError(`the model has no weight for column \`${column}\``);
        return BigInt(Math.round(weight * factor)) * 10n ** BigInt(scale.columns - decimals);
      });
    }
  }
}

function answersOf(
  name: EncryptedQueryProgramName,
  output: QueryOutput,
  { columns }: QueryFacts,
  model: EncryptedModel,
  scale: Scale,
  numbers: BigInt64Array,
): readonly QueryAnswer[] {
  if (name === 'lookup')
    return columns.map(({ column, decimals }, i) => ({
      name: column,
      row: model.row ?? null,
      value: Number(numbers[i] ?? 0n) / 10 ** decimals,
    }));
  const unit = 10 ** (scale.weights + scale.columns);
  const intercept = model.intercept ?? 0;
  const isRisk = name === 'queryLogistic';
  if (output === 'rows') {
    const rows = numbers.subarray(0, model.count ?? numbers.length);
    return Array.from(rows, (score, row) => {
      const value = Number(score) / unit + intercept;
      return isRisk ? { name: 'risk', row, value: logistic(value) } : { name: 'score', row, value };
    });
  }
  const total = Number(numbers[0] ?? 0n) / unit;
  const meanAnswers = (mean: number): readonly QueryAnswer[] => [
    { name: 'mean', row: null, value: mean },
    ...(isRisk ? [{ name: 'risk at the mean', row: null, value: logistic(mean) }] : []),
  ];
  if (output === 'mean') return meanAnswers(total + intercept);
  const { count } = model;
  // without the number of rows nobody can say what the intercept adds to a total
  if (count === undefined || name === 'queryDot') return [{ name: 'total', row: null, value: total }];
  return [{ name: 'total', row: null, value: total + intercept * count }, ...meanAnswers(total / count + intercept)];
}

const logistic = (value: number): number => 1 / (1 + Math.exp(-value));
