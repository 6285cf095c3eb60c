import { rm } from 'node:fs/promises';
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import type { Vault } from '../decryptor/vault.ts';
import type { Reason, RegisterEncryptedResponse } from '../gen/messages.ts';
import { checkContribution, type Contribution, PRODUCTS } from '../homomorphic/contribution.ts';
import type { PinnedColumn } from '../homomorphic/decryptor.ts';
import { HomomorphicFault } from '../homomorphic/fault.ts';
import { openKeyedBackend } from '../homomorphic/keyed-backend.ts';
import type { Glovebox } from './connect.ts';
import { type KeyHolderKeys, writeTo } from './encrypt-dataset.ts';

export type AcceptOutcome =
  | { readonly kind: 'registered'; readonly dataset: RegisterEncryptedResponse; readonly columns: readonly string[] }
  | { readonly kind: 'refused'; readonly reasons: readonly Reason[] };

/**
 * The key holder's side of a contribution: gets each column from the runtime, checks with the secret key that it is what
 * was announced and nothing shaped, pins it in the vault of its decryptor, and registers the dataset's next version with
 * it. Nothing is kept or registered when one column is refused (`bad-column`). `mayMultiply` lets the contributor's
 * columns into products, too: whoever chooses one factor can single out a row of the other.
 */
export async function acceptContribution(
  needs: { readonly glovebox: Glovebox; readonly keys: KeyHolderKeys; readonly vault: Vault; readonly scratch: string },
  contribution: Contribution,
  options: { readonly mayMultiply?: boolean } = {},
): Promise<AcceptOutcome> {
  const { glovebox, keys, vault, scratch } = needs;
  const programs = contribution.programs.filter((name) => options.mayMultiply === true || !PRODUCTS.has(name));
  const backend = await openKeyedBackend({ secretKeys: keys.secret.keys });
  const files = contribution.columns.map((_, i) => join(scratch, `contribution-${process.pid}-${i}.part`));
  const own = (await vault.pinsOf(contribution.dataset)).map((pin) => pin.column);
  try {
    for (const [i, column] of contribution.columns.entries()) {
      if (column.header.keyId !== keys.open.keyId)
        throw new HomomorphicFault('bad-column', 'cannot accept this contribution: it is encrypted under another key');
      checkCounts(column, own);
      const file = files[i] ?? '';
      await writeTo(file, chunksOf(glovebox, column.totals.digest));
      await checkContribution(backend, column, createReadStream(file, { highWaterMark: 1 << 20 }));
    }
    for (const [i, column] of contribution.columns.entries())
      await vault.pin({ dataset: contribution.dataset, programs, column }, files[i] ?? '');
    const registered = await glovebox.homomorphic.registerEncrypted({
      dataset: contribution.dataset,
      columns: contribution.columns.map(({ totals }) => totals.digest),
      addsContributions: true,
      multipliesContributions: options.mayMultiply === true,
    });
    if (registered.reasons.length > 0) return { kind: 'refused', reasons: registered.reasons };
    return {
      kind: 'registered',
      dataset: registered,
      columns: contribution.columns.map(({ header }) => header.column),
    };
  } finally {
    for (const file of files) await rm(file, { force: true });
  }
}

/** A column that says it has the key holder's rows has its units, too: those were counted here. */
function checkCounts(column: PinnedColumn, own: readonly PinnedColumn[]): void {
  const twin = own.find(({ header }) => header.alignment !== null && header.alignment === column.header.alignment);
  if (twin === undefined) return;
  const isSame =
    twin.units === column.units &&
    twin.totals.rows === column.totals.rows &&
    twin.maxRowsPerUnit === column.maxRowsPerUnit &&
    twin.groupUnits.join() === column.groupUnits.join();
  if (!isSame)
    throw new HomomorphicFault('bad-column', 'cannot accept this contribution: its counts are not those of these rows');
}

async function* chunksOf(glovebox: Glovebox, digest: string): AsyncGenerator<Uint8Array, void> {
  for await (const { chunk } of glovebox.homomorphic.fetch({ digest })) yield chunk;
}
