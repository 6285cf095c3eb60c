import { createHash } from 'node:crypto';
import { StoreFault } from '../store/fault.ts';
import type { StoredRecord } from '../store/records.ts';
import type { Store } from '../store/store.ts';

const ID = 'secrets';
type Digests = Readonly<Record<string, string>>;

/**
 * Holds the runtime's secrets against those that the state was made with. Under another key the same unit has another
 * hash and the same party another pseudonym: earlier answers would be compared with nothing, and evidence would name
 * strangers. So a key file that was changed, exchanged or lost (and then made anew) stops the start. The first start of a
 * state, and one that brings a new secret, remembers it.
 */
export async function bindSecrets(
  { store, nowMs }: { readonly store: Store; readonly nowMs: () => number },
  secrets: Readonly<Record<string, Uint8Array | string>>,
): Promise<void> {
  const known = store.peek<Digests>('setting', ID)?.body ?? {};
  const found: Digests = Object.fromEntries(
    Object.entries(secrets).map(([file, secret]) => [file, createHash('sha256').update(secret).digest('hex')]),
  );
  for (const [file, digest] of Object.entries(found)) {
    if ((known[file] ?? digest) !== digest)
      throw new StoreFault(
        'state-key',
        `\`keys/${file}\` is not the one that this state was made with: restore it from a backup`,
      );
  }
  const body = { ...known, ...found };
  if (Object.keys(body).length === Object.keys(known).length) return;
  const record: StoredRecord<Digests> = { table: 'setting', id: ID, owner: '', state: 'bound', atMs: nowMs(), body };
  await store.transact([{ do: 'put', record }]);
}
