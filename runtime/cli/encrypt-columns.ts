import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Glovebox } from '../client/connect.ts';
import { MAX_ENCRYPTION_THREADS } from '../homomorphic/encryption-threads.ts';
import type { HomomorphicProgram } from '../homomorphic/program.ts';
import { readKeys } from './key.ts';
import { type ExitCode, type Output, reasonLines, UsageError } from './output.ts';
import { wholeNumber } from './whole-number.ts';

/** What `dataset add --encrypt` takes. */
export interface EncryptOptions {
  readonly encrypt: readonly string[];
  readonly from: readonly string[];
  readonly unit?: string;
  readonly key?: string;
  readonly bounds?: readonly string[];
  readonly decimals?: readonly string[];
  readonly categories?: readonly string[];
  readonly programs?: readonly string[];
  readonly group?: string;
  readonly groups?: readonly string[];
  readonly shared?: boolean;
  readonly minUnits?: string;
  readonly threads?: string;
  readonly decryptorData?: string;
  readonly description: string;
}

const DEFAULT_PROGRAMS = ['sum', 'mean', 'count'];
const CATEGORY_PROGRAMS = ['histogram', 'countEqual'];

/** Encrypts columns of one file on this machine and registers them; nothing plain and no secret key is sent. */
export async function encryptColumns(
  glovebox: Glovebox,
  out: Output,
  name: string,
  options: EncryptOptions,
): Promise<ExitCode> {
  const { encryptDataset } = await import('../client/encrypt-dataset.ts');
  const { openPlainFile } = await import('../dataset/plain-table.ts');
  const { Vault } = await import('../decryptor/vault.ts');
  const [path, ...others] = options.from;
  if (path === undefined || others.length > 0 || !existsSync(path))
    throw new UsageError('give one CSV or Parquet file with --from');
  if (options.unit === undefined)
    throw new UsageError('--unit names the column of the privacy unit; it is hashed under a key and never sent');
  if (options.key === undefined) throw new UsageError('--key names the secret key, from `glovebox key generate`');
  const keys = await readKeys(options.key);
  const programs = await programsOf(options.programs?.filter((text) => !text.includes('=')));
  const columns = columnsOf(options);
  const programsOfColumn = await programsByColumn(options);
  if (options.group !== undefined && (options.groups ?? []).length === 0)
    throw new UsageError(`say which groups \`${options.group}\` has: --groups A B C; their names are public`);
  const group = options.group === undefined ? null : { column: options.group, names: options.groups ?? [] };
  await using table = await openPlainFile({
    path,
    units: [options.unit],
    group,
    columns: columns.map(({ column, isWide }) => ({ name: column, isWide })),
  });
  const folder = options.decryptorData ?? join(dirname(options.key), 'decryptor');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const scratch = mkdtempSync(join(tmpdir(), 'glovebox-encrypt-'));
  const explained: string[] = [];
  try {
    const outcome = await encryptDataset(
      { glovebox, keys, vault: await Vault.open(folder), scratch },
      table,
      {
        dataset: name,
        description: options.description,
        unitColumn: options.unit,
        ...(group === null ? {} : { groups: group }),
        columns: columns.map(({ column, low, high, decimals: digits, categories }) => {
          const meant = programsOfColumn.get(column) ?? (categories === null ? programs : CATEGORY_PROGRAMS);
          return {
            column,
            programs: meant as readonly HomomorphicProgram['name'][],
            low,
            high,
            decimals: digits,
            ...(categories === null ? {} : { categories }),
            isShared: options.shared === true,
            // sums of groups come with counts and means when presence is encrypted beside the values
            isNullable: (table.nulls.get(column) ?? 0) > 0 || meant.includes('groupSums'),
          };
        }),
        minUnits: wholeNumber('--min-units', options.minUnits ?? '10', { from: 1 }),
        ...threadsOf(options.threads),
      },
      {
        onChoice: (column, lines) => void explained.push(...lines.map((line) => `${column}: ${line}`)),
        onProgress: (step, subject, done, total) =>
          out.progress(`${step} ${subject} ${bar(total === 0 ? 1 : done / total)}`),
      },
    );
    out.endProgress();
    if (outcome.kind === 'refused') {
      out.answer({ reasons: outcome.reasons }, () => `cannot register \`${name}\`:\n${reasonLines(outcome.reasons)}`);
      return 1;
    }
    const { version, digest, rows, units } = outcome.dataset;
    out.answer(
      { dataset: name, version, digest, rows, units, explanation: explained, decryptorData: folder },
      () =>
        `${explained.join('\n')}\n${name} version ${version}: ${rows} rows of ${units} units, encrypted here; ${digest}\npinned for the decryptor in ${folder}`,
    );
    return 0;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** Names of programs, checked; several may stand in one word. */
export async function programsOf(given: readonly string[] | undefined): Promise<readonly string[]> {
  const { PROGRAMS } = await import('../homomorphic/program.ts');
  const programs = (given === undefined || given.length === 0 ? DEFAULT_PROGRAMS : given).flatMap((text) =>
    text.split(','),
  );
  for (const program of programs)
    if (!Object.hasOwn(PROGRAMS, program))
      throw new UsageError(`there is no program \`${program}\`: ${Object.keys(PROGRAMS).join(', ')}`);
  return programs;
}

/** What single columns are for: `--programs COLUMN=NAME,NAME`. */
async function programsByColumn(options: EncryptOptions): Promise<ReadonlyMap<string, readonly string[]>> {
  const found = new Map<string, readonly string[]>();
  for (const [column, names] of pairsOf(
    options.programs?.filter((text) => text.includes('=')),
    '--programs',
  )) {
    if (!options.encrypt.includes(column))
      throw new UsageError(`--programs: \`${column}\` is not among the columns to encrypt`);
    found.set(column, await programsOf([names]));
  }
  return found;
}

/** Columns to encrypt with their bounds, decimals and public categories. */
export function columnsOf(options: Pick<EncryptOptions, 'encrypt' | 'bounds' | 'decimals' | 'categories'>): readonly {
  readonly column: string;
  readonly isWide: boolean;
  readonly low: number | bigint;
  readonly high: number | bigint;
  readonly decimals: number;
  readonly categories: readonly number[] | null;
}[] {
  const categories = pairsOf(options.categories, '--categories');
  const bounds = pairsOf(options.bounds, '--bounds');
  const decimals = pairsOf(options.decimals, '--decimals');
  return options.encrypt.map((column) => {
    const list = categories.get(column);
    if (list !== undefined) {
      const values = list.split(',').map((text) => (text.trim() === '' ? Number.NaN : Number(text)));
      if (!values.every((value) => Number.isSafeInteger(value)) || new Set(values).size !== values.length)
        throw new UsageError(`--categories: the values of \`${column}\` are distinct whole numbers, such as 0,1,2`);
      const [low, high] = [Math.min(...values), Math.max(...values)];
      return { column, isWide: false, low, high, decimals: 0, categories: values };
    }
    const range = bounds.get(column) ?? '';
    const [, low = '', high = ''] = /^(-?\d+(?:\.\d+)?):(-?\d+(?:\.\d+)?)$/.exec(range) ?? [];
    if (low === '')
      throw new UsageError(`say what \`${column}\` can be: --bounds ${column}=LOW:HIGH; parameters are chosen from it`);
    const isWide = [low, high].some((bound) => Math.abs(Number(bound)) > Number.MAX_SAFE_INTEGER);
    if (isWide && `${low}${high}`.includes('.'))
      throw new UsageError(`--bounds: beyond 2^53 the bounds of \`${column}\` are whole numbers`);
    const bound = (text: string): number | bigint => (isWide ? BigInt(text) : Number(text));
    return {
      column,
      isWide,
      low: bound(low),
      high: bound(high),
      decimals: wholeNumber(`--decimals ${column}`, decimals.get(column) ?? '0', { to: 15 }),
      categories: null,
    };
  });
}

/** `--threads`, when it is given. */
export function threadsOf(given: string | undefined): { readonly threads?: number } {
  return given === undefined
    ? {}
    : { threads: wholeNumber('--threads', given, { from: 1, to: MAX_ENCRYPTION_THREADS }) };
}

export function bar(share: number): string {
  const filled = Math.round(share * 24);
  return `[${'#'.repeat(filled)}${' '.repeat(24 - filled)}] ${Math.floor(share * 100)} %`;
}

function pairsOf(pairs: readonly string[] | undefined, option: string): ReadonlyMap<string, string> {
  return new Map(
    (pairs ?? []).map((pair) => {
      const at = pair.lastIndexOf('=');
      if (at < 1) throw new UsageError(`${option}: \`${pair}\` is not COLUMN=VALUE`);
      return [pair.slice(0, at), pair.slice(at + 1)];
    }),
  );
}
