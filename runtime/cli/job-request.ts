import { readText } from '../client/read-text.ts';
import type { HomomorphicProgram, JobRequest, ParameterValue } from '../gen/messages.ts';
import type { Init } from '../rpc/call.ts';
import type { CommonOptions } from './command.ts';
import { programOf, type ProgramOptions } from './program-option.ts';
import { UsageError } from './output.ts';
import { wholeNumber } from './whole-number.ts';

/** The options of every `job` command. */
export interface JobOptions extends CommonOptions, ProgramOptions {
  readonly agreement?: readonly string[];
  readonly project?: string;
  readonly mandate?: string;
  readonly rule?: string;
  readonly purpose?: string;
  readonly sql?: string;
  readonly file?: string;
  readonly program?: string;
  readonly param?: readonly string[];
  readonly deadline?: string;
  readonly key?: string;
  readonly out?: string;
  readonly format?: string;
  readonly receipt?: string;
  readonly encryptModel?: string;
}

/** The job that the options ask for; throws `UsageError` when they name none or several computations. */
export async function requestOf(argument: string | undefined, asked: JobOptions): Promise<Init<JobRequest>> {
  const [agreements, params] = [withoutQuery(asked.agreement), withoutQuery(asked.param)];
  const sql = argument ?? agreements.sql ?? params.sql;
  const options: JobOptions =
    argument === undefined && sql !== undefined
      ? {
          ...asked,
          ...(agreements.rest === undefined ? {} : { agreement: agreements.rest }),
          ...(params.rest === undefined ? {} : { param: params.rest }),
        }
      : asked;
  if (options.program !== undefined || options.spec !== undefined) {
    if (sql !== undefined || options.sql !== undefined || options.file !== undefined)
      throw new UsageError('give a query or a program, not both');
    const homomorphic = await homomorphicProgramOf(options);
    return {
      ...commonOf(options),
      computation:
        homomorphic === null
          ? { kind: 'javascript', javascript: await programOf(options) }
          : { kind: 'homomorphic', homomorphic },
    };
  }
  const given = [sql, options.sql, options.file].filter((text) => text !== undefined);
  if (given.length !== 1) throw new UsageError('give the query once: as an argument, with --sql, or with --file');
  const text = sql ?? options.sql ?? readText(options.file === '-' ? 0 : (options.file ?? ''));
  const parameters: Record<string, Init<ParameterValue>> = {};
  for (const pair of options.param ?? []) {
    const [name = '', ...rest] = pair.split('=');
    if (rest.length === 0) throw new UsageError(`\`${pair}\` is not NAME=VALUE`);
    parameters[name] = { value: valueOf(rest.join('=')) };
  }
  return {
    ...commonOf(options),
    computation: { kind: 'sql', sql: { text, parameters } },
  };
}

/** What a request holds beside its computation. */
export function commonOf(options: JobOptions): Init<JobRequest> {
  return {
    agreementIds: options.agreement ?? [],
    project: options.project ?? '',
    mandateId: options.mandate ?? '',
    ruleId: options.rule ?? '',
    purpose: options.purpose ?? '',
    deadlineMs: options.deadline === undefined ? 0 : wholeNumber('--deadline', options.deadline, { from: 1 }),
    ...(options.key === undefined ? {} : { idempotencyKey: options.key }),
  };
}

/** A homomorphic program of a YAML or JSON file, which has a `name`; null for sandboxed code. The runtime judges what it says. */
export async function homomorphicProgramOf({
  program: file,
  spec,
}: JobOptions): Promise<Init<HomomorphicProgram> | null> {
  if (file === undefined || spec !== undefined || !/(^-|\.(ya?ml|json))$/.test(file)) return null;
  const { parse } = await import('yaml');
  let value: unknown;
  try {
    value = parse(readText(file === '-' ? 0 : file), { maxAliasCount: 0 });
  } catch (error) {
    throw new UsageError(`\`${file}\` is neither YAML nor JSON: ${(error as Error).message.split('\n')[0] ?? ''}`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new UsageError(`\`${file}\` holds no program`);
  if (!Object.hasOwn(value, 'name')) return null;
  const known = ['name', 'dataset', 'columns', 'inputs', 'parameters', 'weights'];
  for (const key of Object.keys(value))
    if (!known.includes(key))
      throw new UsageError(`\`${file}\`: unknown key \`${key}\`; known are ${known.join(', ')}`);
  return value as Init<HomomorphicProgram>;
}

function valueOf(text: string): ParameterValue['value'] {
  if (text === 'true' || text === 'false') return { kind: 'boolean', boolean: text === 'true' };
  if (/^-?(0|[1-9]\d{0,14})$/.test(text)) return { kind: 'integer', integer: BigInt(text) };
  // Digits that a double does not hold, and codes such as 007, stay the text that they are; it is read as the column needs it.
  const digits = text.replace(/e.*$/i, '').replaceAll(/\D/g, '').replace(/^0+/, '').length;
  if (/^-?(0|[1-9]\d*)(\.\d+)?(e[+-]?\d+)?$/i.test(text) && digits <= 15)
    return { kind: 'number', number: Number(text) };
  const quoted = /^'((?:[^']|'')*)'$/.exec(text)?.[1];
  return { kind: 'text', text: quoted === undefined ? text : quoted.replaceAll("''", "'") };
}

/**
 * `--agreement A "SELECT …"` and `--param m=5 "SELECT …"`: an option that takes several values takes the query as well. No
 * identifier and no name has a space in it.
 */
function withoutQuery(values: readonly string[] | undefined): {
  readonly sql: string | undefined;
  readonly rest: readonly string[] | undefined;
} {
  const last = values?.at(-1);
  if (values === undefined || last === undefined || values.length < 2 || !/^\s*[^\s=]+\s/.test(last))
    return { sql: undefined, rest: values };
  return { sql: last, rest: values.slice(0, -1) };
}
