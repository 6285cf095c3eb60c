import type { Backend } from './backend.ts';
import { HomomorphicFault } from './fault.ts';
import { assembleCiphertext } from './layout.ts';
import { presentLabel, segmentCount, type Plan, type PlanOutput } from './plan.ts';
import { PROFILES } from './profiles.ts';
import { outputShape, type ResultPart } from './run.ts';

/** One number that a program declares; exact ones carry their decimal text, approximate ones their error bound. */
export interface ReleasedScalar {
  readonly name: string;
  /** Public group key or category, null for the whole. */
  readonly group: string | null;
  readonly number: number;
  /** The exact value as a decimal, or null when it is a rounded quotient or approximate. */
  readonly exact: string | null;
  /** Bound on the absolute error by encryption and flooding; 0 for exact schemes. */
  readonly errorBound: number;
}

/** Decrypted totals of a plan by label and group: they stay inside the key holder's process. */
export interface Totals {
  exact(label: string, group?: number | null): bigint;
  real(label: string): number;
}

/**
 * Decrypts result parts and adds their slots. The caller must have proved before that these bytes are what the plan
 * computes over its pinned inputs: decrypting anything else can give the key away.
 */
export function decryptTotals(plan: Plan, parts: readonly ResultPart[], backend: Backend): Totals {
  checkParts(plan, parts);
  const exact = new Map<string, bigint>();
  const real = new Map<string, number>();
  for (const [key, outputs] of byLabel(plan)) {
    const first = outputs[0];
    if (first === undefined) continue;
    if (first.output.work === 'logistic') real.set(key, sumReals(plan, parts, outputs, backend));
    else exact.set(key, sumIntegers(plan, parts, outputs, backend));
  }
  return {
    exact: (label, group = null) => exact.get(keyOf(label, group)) ?? 0n,
    real: (label) => real.get(keyOf(label, null)) ?? 0,
  };
}

/** The scalars that a program declares, from its totals and the public row counts; nothing else is ever derived. */
export function deriveScalars(plan: Plan, totals: Totals): readonly ReleasedScalar[] {
  const { program, inputs } = plan;
  const rows = BigInt(inputs[0]?.totals.rows ?? 0);
  const header = inputs[0]?.header;
  const count = plan.outputs.some((output) => output.label === 'valid') ? totals.exact('valid') : rows;
  const decimals = plan.decimals;
  const sumCount = presentRows(plan, totals).reduce((total, present) => total + BigInt(present), 0n);
  switch (program.name) {
    case 'sum':
      return [exactly('sum', totals.exact('value'), decimals), exactly('count', sumCount, 0)];
    case 'count':
      return [exactly('count', count, 0)];
    case 'mean':
      return [quotient('mean', totals.exact('value'), count, decimals), exactly('count', count, 0)];
    case 'variance': {
      const squares = plan.outputs.some((output) => output.label === 'product')
        ? totals.exact('product')
        : totals.exact('square');
      return moments('variance', plan, count, totals.exact('value'), totals.exact('value'), squares, 2 * decimals);
    }
    case 'covariance': {
      const both = (inputs[0]?.header.decimals ?? 0) + (inputs[1]?.header.decimals ?? 0);
      return moments(
        'covariance',
        plan,
        rows,
        totals.exact('left'),
        totals.exact('right'),
        totals.exact('product'),
        both,
      );
    }
    case 'dot':
      return [
        exactly('dot', totals.exact('product'), (inputs[0]?.header.decimals ?? 0) + (inputs[1]?.header.decimals ?? 0)),
      ];
    case 'linear': {
      const mean = quotient('mean', totals.exact('score'), rows, decimals);
      return [{ ...mean, number: mean.number + (program.parameters['intercept'] ?? 0) }, exactly('count', rows, 0)];
    }
    case 'logistic': {
      const mean = rows === 0n ? 0 : totals.real('score') / Number(rows) + (plan.logistic?.cubic[0] ?? 0);
      return [
        { name: 'mean', group: null, number: mean, exact: null, errorBound: plan.logistic?.meanErrorBound ?? 0 },
        exactly('count', rows, 0),
      ];
    }
    case 'groupSums':
      return (header?.groups ?? []).flatMap((group, index) => {
        const hasValid = plan.outputs.some((output) => output.label === 'valid');
        const sum = totals.exact('value', index);
        const sumScalar = { ...exactly('sum', sum, decimals), group };
        if (!hasValid) return [sumScalar];
        const present = totals.exact('valid', index);
        return [
          sumScalar,
          { ...exactly('count', present, 0), group },
          { ...quotient('mean', sum, present, decimals), group },
        ];
      });
    case 'histogram':
      return categoryCounts(plan, totals);
    case 'countEqual':
      return categoryCounts(plan, totals).filter(({ group }) => group === String(program.parameters['value']));
    case 'queryDot':
    case 'queryLinear':
    case 'queryLogistic':
    case 'lookup':
      throw new HomomorphicFault('bad-program', `nothing can be released of ${program.name}`);
  }
}

/** Rows of every public category: what a histogram tells, and what decides whether one of them may be told. */
export function categoryCounts(plan: Plan, totals: Totals): readonly ReleasedScalar[] {
  const categories = plan.inputs[0]?.header.categories ?? [];
  return plan.outputs.map((output) => {
    const index = Number(output.label.slice('category '.length));
    return { ...exactly('count', totals.exact(output.label), 0), group: String(categories[index] ?? '') };
  });
}

/** Present values of each input column: decrypted counts where they are encrypted, rows otherwise. */
export function presentRows(plan: Plan, totals: Totals): readonly number[] {
  return plan.inputs.map((input, i) => {
    const isCounted = plan.outputs.some(({ label, group }) => label === presentLabel(i) && group === null);
    return isCounted ? Number(totals.exact(presentLabel(i))) : input.totals.rows;
  });
}

function moments(
  name: string,
  plan: Plan,
  n: bigint,
  left: bigint,
  right: bigint,
  product: bigint,
  decimals: number,
): readonly ReleasedScalar[] {
  const isSample = plan.program.parameters['sample'] === 1;
  const top = n * product - left * right;
  const bottom = isSample ? n * (n - 1n) : n * n;
  return [quotient(name, top, bottom, decimals), exactly('count', n, 0)];
}

function exactly(name: string, value: bigint, decimals: number): ReleasedScalar {
  return {
    name,
    group: null,
    number: Number(value) / 10 ** decimals,
    exact: decimalText(value, decimals),
    errorBound: 0,
  };
}

function quotient(name: string, top: bigint, bottom: bigint, decimals: number): ReleasedScalar {
  return {
    name,
    group: null,
    number: bottom === 0n ? Number.NaN : ratio(top, bottom) / 10 ** decimals,
    exact: null,
    errorBound: 0,
  };
}

/** The quotient of two integers of any size to double precision. */
function ratio(top: bigint, bottom: bigint): number {
  const whole = top / bottom;
  const rest = top - whole * bottom;
  return Number(whole) + Number((rest * (1n << 60n)) / bottom) / 2 ** 60;
}

function decimalText(value: bigint, decimals: number): string {
  const digits = (value < 0n ? -value : value).toString().padStart(decimals + 1, '0');
  const cut = digits.length - decimals;
  return `${value < 0n ? '-' : ''}${digits.slice(0, cut)}${decimals > 0 ? `.${digits.slice(cut)}` : ''}`;
}

interface Indexed {
  readonly output: PlanOutput;
  readonly index: number;
}

function byLabel(plan: Plan): ReadonlyMap<string, readonly Indexed[]> {
  const groups = new Map<string, Indexed[]>();
  plan.outputs.forEach((output, index) => {
    const key = keyOf(output.label, output.group);
    groups.set(key, [...(groups.get(key) ?? []), { output, index }]);
  });
  return groups;
}

function keyOf(label: string, group: number | null): string {
  return `${group ?? ''}/${label}`;
}

function checkParts(plan: Plan, parts: readonly ResultPart[]): void {
  const next = plan.outputs.map(() => 0);
  for (const part of parts) {
    const output = plan.outputs[part.output];
    if (output === undefined || part.segment !== next[part.output] || part.segment >= segmentCount(plan, output)) {
      throw new HomomorphicFault('bad-ciphertext', 'these are not the results of this program');
    }
    next[part.output] = part.segment + 1;
  }
}

/** Slots of both moduli of a segment are joined by the Chinese remainder theorem, then added as integers of any size. */
function sumIntegers(plan: Plan, parts: readonly ResultPart[], outputs: readonly Indexed[], backend: Backend): bigint {
  const residues = outputs.map(({ output, index }) =>
    parts
      .filter((part) => part.output === index)
      .map((part) => {
        const context = backend.open(PROFILES[output.profile]);
        const shape = outputShape(plan, output);
        using ciphertext = context.load(shape, assembleCiphertext(shape, part.body));
        return context.decryptIntegers(ciphertext);
      }),
  );
  const moduli = outputs.map(({ output }) => PROFILES[output.profile].plainModulus);
  const [t0 = 1n, t1] = moduli;
  let total = 0n;
  residues[0]?.forEach((slots, segment) => {
    const other = residues[1]?.[segment];
    if (t1 === undefined) {
      for (const slot of slots) total += slot;
      return;
    }
    if (other === undefined) throw new HomomorphicFault('bad-ciphertext', 'one half of a pair is missing');
    const lift = inverse(t0, t1);
    const modulus = t0 * t1;
    slots.forEach((slot, i) => {
      const step = ((((other[i] ?? 0n) - slot) % t1) * lift) % t1;
      const value = slot + t0 * step;
      const residue = ((value % modulus) + modulus) % modulus;
      total += residue > modulus / 2n ? residue - modulus : residue;
    });
  });
  return total;
}

function sumReals(plan: Plan, parts: readonly ResultPart[], outputs: readonly Indexed[], backend: Backend): number {
  let total = 0;
  for (const { output, index } of outputs) {
    const context = backend.open(PROFILES[output.profile]);
    const shape = outputShape(plan, output);
    for (const part of parts) {
      if (part.output !== index) continue;
      using ciphertext = context.load(shape, assembleCiphertext(shape, part.body));
      for (const slot of context.decryptReals(ciphertext)) total += slot;
    }
  }
  return total;
}

function inverse(value: bigint, modulus: bigint): bigint {
  let [r0, r1, s0, s1] = [value % modulus, modulus, 1n, 0n];
  while (r1 !== 0n) {
    const quotientOf = r0 / r1;
    [r0, r1, s0, s1] = [r1, r0 - quotientOf * r1, s1, s0 - quotientOf * s1];
  }
  return ((s0 % modulus) + modulus) % modulus;
}
