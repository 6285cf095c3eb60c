import { HomomorphicFault } from './fault.ts';

/** Programs over encrypted columns; the runtime holds no key that decrypts, the key holder releases declared scalars. */
export type EncryptedDataProgramName =
  | 'sum'
  | 'count'
  | 'mean'
  | 'variance'
  | 'covariance'
  | 'dot'
  | 'linear'
  | 'logistic'
  | 'groupSums'
  | 'countEqual'
  | 'histogram';

/** Programs over a provider's plaintext with an encrypted vector or model; only the consumer reads the result. */
export type EncryptedQueryProgramName = 'queryDot' | 'queryLinear' | 'queryLogistic' | 'lookup';

/** The two trust shapes; stated in agreement, explanation and receipt. */
export type TrustShape = 'encryptedData' | 'encryptedQuery';

/** A checked homomorphic program: one name of the closed set with its columns, weights and named numbers. */
export interface HomomorphicProgram {
  readonly name: EncryptedDataProgramName | EncryptedQueryProgramName;
  readonly shape: TrustShape;
  /** In the program's order; several for sums over providers, linear and logistic scores, dot and covariance (two). */
  readonly columns: readonly string[];
  /** One per column for `linear` and `logistic`; empty otherwise. */
  readonly weights: readonly number[];
  /** `intercept`, `weightDecimals`, `value`, `sample`, `rows`, `mean`, `range`, `c0`…`c3`, `decimals`, as the program takes them. */
  readonly parameters: Readonly<Record<string, number>>;
}

/** Named limits of a program from outside. */
export const PROGRAM_LIMITS = { columns: 256, nameLength: 128, weight: 1e9, weightDecimals: 6 } as const;

interface Rule {
  readonly shape: TrustShape;
  readonly columns: readonly [least: number, most: number];
  readonly hasWeights?: true;
  readonly required?: readonly string[];
  readonly optional?: readonly string[];
  readonly says: string;
}

const POLYNOMIAL = ['c0', 'c1', 'c2', 'c3', 'range'] as const;
const many = PROGRAM_LIMITS.columns;

/** What each program takes; anything else is refused. */
export const PROGRAMS: Readonly<Record<HomomorphicProgram['name'], Rule>> = {
  sum: {
    shape: 'encryptedData',
    columns: [1, many],
    says: 'total of a column, or of several providers’ partial columns',
  },
  count: { shape: 'encryptedData', columns: [1, 1], says: 'number of values that are present' },
  mean: { shape: 'encryptedData', columns: [1, 1], says: 'mean of the values that are present' },
  variance: {
    shape: 'encryptedData',
    columns: [1, 1],
    optional: ['sample'],
    says: 'population variance, or sample variance',
  },
  covariance: {
    shape: 'encryptedData',
    columns: [2, 2],
    optional: ['sample'],
    says: 'covariance of two aligned columns',
  },
  dot: { shape: 'encryptedData', columns: [2, 2], says: 'sum of products of two aligned columns' },
  linear: {
    shape: 'encryptedData',
    columns: [1, many],
    hasWeights: true,
    optional: ['intercept', 'weightDecimals'],
    says: 'mean of a weighted sum of columns over all rows',
  },
  logistic: {
    shape: 'encryptedData',
    columns: [1, many],
    hasWeights: true,
    optional: ['intercept', 'decimals', ...POLYNOMIAL],
    says: 'mean of a logistic score by a declared cubic over a declared range',
  },
  groupSums: {
    shape: 'encryptedData',
    columns: [1, 1],
    says: 'total, count and mean of a column for each public group',
  },
  countEqual: {
    shape: 'encryptedData',
    columns: [1, 1],
    required: ['value'],
    says: 'rows whose category is the given one',
  },
  histogram: { shape: 'encryptedData', columns: [1, 1], says: 'rows in each public category' },
  queryDot: { shape: 'encryptedQuery', columns: [1, 1], says: 'sum of an encrypted vector times a column' },
  queryLinear: {
    shape: 'encryptedQuery',
    columns: [1, many],
    optional: ['rows', 'mean'],
    says: 'the total of a score by an encrypted model; with mean: 1 the score of the columns’ means, with rows: 1 of each row',
  },
  queryLogistic: {
    shape: 'encryptedQuery',
    columns: [1, many],
    optional: ['rows', 'mean'],
    says: 'as queryLinear; the consumer applies the logistic function to what it decrypts',
  },
  lookup: { shape: 'encryptedQuery', columns: [1, many], says: 'columns of one record chosen by an encrypted index' },
};

/**
 * Reads a program from untrusted plain data (JSON or a decoded message); unknown names, unknown keys, wrong counts and
 * non-finite or out-of-range numbers throw `bad-program`, with the limit in the message.
 */
export function parseProgram(input: unknown): HomomorphicProgram {
  const record = asRecord(input, 'program');
  onlyKeys(record, ['name', 'columns', 'weights', 'parameters'], 'program');
  const { name } = record;
  if (typeof name !== 'string' || !Object.hasOwn(PROGRAMS, name)) {
    refuse(
      `there is no program ${JSON.stringify(name)?.slice(0, 80) ?? ''}: allowed are ${Object.keys(PROGRAMS).join(', ')}`,
    );
  }
  const known = name as HomomorphicProgram['name'];
  const rule = PROGRAMS[known];
  const columns = readColumns(record['columns'], known, rule);
  return {
    name: known,
    shape: rule.shape,
    columns,
    weights: readWeights(record['weights'], known, rule, columns.length),
    parameters: readParameters(record['parameters'], known, rule),
  };
}

function readColumns(input: unknown, name: string, rule: Rule): readonly string[] {
  const [least, most] = rule.columns;
  if (!Array.isArray(input) || input.length < least || input.length > most) {
    refuse(`${name} takes ${least === most ? least : `${least} to ${most}`} columns`);
  }
  const columns = input as unknown[];
  const seen = new Set<string>();
  for (const column of columns) {
    if (typeof column !== 'string' || column === '' || column.length > PROGRAM_LIMITS.nameLength) {
      refuse(`a column name is text of at most ${PROGRAM_LIMITS.nameLength} characters`);
    }
    seen.add(column as string);
  }
  if (seen.size !== columns.length) refuse('a column is named twice');
  return columns as string[];
}

function readWeights(input: unknown, name: string, rule: Rule, count: number): readonly number[] {
  if (rule.hasWeights !== true) {
    if (input !== undefined && !(Array.isArray(input) && input.length === 0)) refuse(`${name} takes no weights`);
    return [];
  }
  if (!Array.isArray(input) || input.length !== count)
    refuse(`${name} takes one weight for each of its ${count} columns`);
  const weights = (input as unknown[]).map((weight) => readNumber(weight, 'a weight'));
  if (weights.every((weight) => weight === 0)) refuse('all weights are zero');
  return weights;
}

function readParameters(input: unknown, name: string, rule: Rule): Readonly<Record<string, number>> {
  const record = input === undefined ? {} : asRecord(input, 'parameters');
  const required = rule.required ?? [];
  onlyKeys(record, [...required, ...(rule.optional ?? [])], `parameters of ${name}`);
  for (const key of required) if (!Object.hasOwn(record, key)) refuse(`${name} needs the parameter ${key}`);
  const parameters: Record<string, number> = {};
  for (const [key, value] of Object.entries(record)) parameters[key] = readNumber(value, `parameter ${key}`);
  for (const key of ['weightDecimals', 'decimals']) {
    const value = parameters[key];
    const isWhole =
      value === undefined || (Number.isInteger(value) && value >= 0 && value <= PROGRAM_LIMITS.weightDecimals);
    if (!isWhole) refuse(`${key} is a whole number from 0 to ${PROGRAM_LIMITS.weightDecimals}`);
  }
  if (parameters['rows'] === 1 && parameters['mean'] === 1) refuse('rows and mean are two answers: ask for one');
  for (const key of ['sample', 'rows', 'mean'])
    if (parameters[key] !== undefined && parameters[key] !== 0 && parameters[key] !== 1) refuse(`${key} is 0 or 1`);
  if (parameters['range'] !== undefined && !(parameters['range'] > 0 && parameters['range'] <= 64)) {
    refuse('range is above 0 and at most 64');
  }
  return parameters;
}

function readNumber(value: unknown, what: string): number {
  if (typeof value === 'number' && Number.isFinite(value) && Math.abs(value) <= PROGRAM_LIMITS.weight)
    // JSON has no word for -0: what is signed and written again must be what was read.
    return value + 0;
  return refuse(`${what} is a finite number of magnitude at most ${PROGRAM_LIMITS.weight}`);
}

function asRecord(input: unknown, what: string): Record<string, unknown> {
  if (typeof input !== 'object' || input === null || Array.isArray(input)) refuse(`${what} must be an object`);
  return input as Record<string, unknown>;
}

function onlyKeys(record: Record<string, unknown>, allowed: readonly string[], what: string): void {
  for (const key of Object.keys(record)) {
    if (!allowed.includes(key)) refuse(`unknown key ${JSON.stringify(key.slice(0, 80))} in ${what}`);
  }
}

function refuse(complaint: string): never {
  throw new HomomorphicFault('bad-program', `cannot run this program: ${complaint}`);
}
