import { existsSync, readFileSync } from 'node:fs';
import type { Backend } from '../../runtime/homomorphic/backend.ts';
import { chooseParameters, type ColumnIntent } from '../../runtime/homomorphic/choose.ts';
import type { ColumnHeader, ColumnTotals } from '../../runtime/homomorphic/column.ts';
import { deriveScalars, decryptTotals, type ReleasedScalar } from '../../runtime/homomorphic/derive.ts';
import { encryptColumn, type ColumnRows } from '../../runtime/homomorphic/encrypt-column.ts';
import { generateKeyBundles, type PublicBundle, type SecretBundle } from '../../runtime/homomorphic/keys.ts';
import { openKeyedBackend } from '../../runtime/homomorphic/keyed-backend.ts';
import { openNodeSealBackend } from '../../runtime/homomorphic/node-seal-backend.ts';
import { planProgram, type Plan } from '../../runtime/homomorphic/plan.ts';
import type { ProfileId } from '../../runtime/homomorphic/profiles.ts';
import { parseProgram } from '../../runtime/homomorphic/program.ts';
import { runOverColumns } from '../../runtime/homomorphic/run-columns.ts';

export interface KeyHolder {
  readonly backend: Backend;
  readonly open: PublicBundle;
  readonly secret: SecretBundle;
}

/** A key holder with keys for the given profiles loaded in its own instance. */
export async function keyHolder(profiles: readonly ProfileId[]): Promise<KeyHolder> {
  const { open, secret } = generateKeyBundles(await openNodeSealBackend(), profiles);
  const backend = await openKeyedBackend({ secretKeys: secret.keys, relinearisationKeys: open.keys });
  return { backend, open, secret };
}

/** A runtime's instance: public keys only. */
export async function runtimeBackend(open: PublicBundle): Promise<Backend> {
  return await openKeyedBackend({ relinearisationKeys: open.keys });
}

export interface EncryptedFixture {
  readonly header: ColumnHeader;
  readonly totals: ColumnTotals;
  readonly file: Uint8Array;
}

export async function encrypted(
  holder: KeyHolder,
  intent: Omit<ColumnIntent, 'rows'> & { readonly rows?: number },
  rows: Iterable<ColumnRows>,
  form?: 'full',
): Promise<EncryptedFixture> {
  const choice = chooseParameters({ rows: 1, ...intent });
  const header: ColumnHeader = { ...choice.header, keyId: holder.open.keyId, ...(form === undefined ? {} : { form }) };
  const chunks: Uint8Array[] = [];
  const stream = encryptColumn({ backend: holder.backend }, header, rows);
  for (;;) {
    const step = await stream.next();
    if (step.done === true) return { header, totals: step.value, file: Buffer.concat(chunks) };
    chunks.push(step.value);
  }
}

/** Plans, computes with the runtime's backend and decrypts with the holder's: the honest path without the decryptor. */
export async function answer(
  holder: KeyHolder,
  runtime: Backend,
  program: unknown,
  columns: readonly EncryptedFixture[],
): Promise<{ readonly plan: Plan; readonly scalars: readonly ReleasedScalar[] }> {
  const plan = planProgram(parseProgram(program), columns);
  const parts = await runOverColumns(
    plan,
    runtime,
    columns.map((column) => [column.file]),
  );
  return { plan, scalars: deriveScalars(plan, decryptTotals(plan, parts, holder.backend)) };
}

/** Columns of numbers of a clinical data set when the repository has it, else of a deterministic stand-in. */
export function colon(): {
  readonly time: number[];
  readonly age: number[];
  readonly nodes: (number | null)[];
  readonly rx: string[];
  readonly id: number[];
} {
  const file = new URL('../../examples/data/clinical/colon.csv', import.meta.url);
  if (!existsSync(file)) {
    const at = (i: number): number => (i * 7919 + 104729) % 3330;
    const index = Array.from({ length: 1858 }, (_, i) => i);
    return {
      time: index.map((i) => at(i)),
      age: index.map((i) => 18 + (at(i + 3) % 68)),
      nodes: index.map((i) => (i % 50 === 0 ? null : at(i + 5) % 34)),
      rx: index.map((i) => ['Obs', 'Lev', 'Lev+5FU'][i % 3] ?? 'Obs'),
      id: index.map((i) => Math.floor(i / 2)),
    };
  }
  const [head = '', ...lines] = readFileSync(file, 'utf8').trim().split('\n');
  const names = head.split(',').map(unquote);
  const cells = lines.map((line) => line.split(',').map(unquote));
  const column = (name: string): string[] => cells.map((row) => row[names.indexOf(name)] ?? '');
  return {
    time: column('time').map(Number),
    age: column('age').map(Number),
    nodes: column('nodes').map((cell) => (cell === '' || cell === 'NA' ? null : Number(cell))),
    rx: column('rx'),
    id: column('id').map(Number),
  };
}

function unquote(cell: string): string {
  return cell.replaceAll('"', '');
}
