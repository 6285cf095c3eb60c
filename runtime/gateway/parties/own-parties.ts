import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { type Caller, PARTY_ROLES } from '../../identity/party.ts';
import { type DataDirectory, writePrivate } from '../data-directory.ts';
import type { GatewayNeeds } from '../needs.ts';
import { admitParty } from './party-service.ts';
import type { PartyBody } from '../records.ts';

/** Makes the operator's credential when there is none; answers its file. */
export async function admitOperator(needs: GatewayNeeds, directory: DataDirectory, address: string): Promise<string> {
  const { store } = needs;
  const file = directory.operatorCredential;
  if (existsSync(file)) {
    await follow(file, address);
    return file;
  }
  // The machine's owner runs it and may be its provider too; further parties get credentials of their own.
  const name =
    store.peek('party', 'operator') === undefined
      ? 'operator'
      : `operator-${Buffer.from(randomBytes(3)).toString('hex')}`;
  const { bundle } = await admitParty(needs, {
    name,
    roles: ['operator', 'provider'],
    days: 3650,
    jurisdiction: null,
  });
  await writePrivate(file, bundle);
  return file;
}

/** Another port than last time would leave commands on this machine calling where nobody answers. A host that was put in stays. */
async function follow(file: string, address: string): Promise<void> {
  let bundle: unknown = null;
  try {
    bundle = JSON.parse(await readFile(file, 'utf8'));
  } catch {
    // Damaged, or not ours to read: whoever uses it is told so, and the runtime serves all the same.
  }
  if (typeof bundle !== 'object' || bundle === null || !('server' in bundle)) return;
  const { server } = bundle;
  if (typeof server !== 'string' || server === address || hostOf(server) !== hostOf(address)) return;
  await writePrivate(file, `${JSON.stringify({ ...bundle, server: address }, null, 2)}\n`);
}

const hostOf = (address: string): string => address.slice(0, address.lastIndexOf(':'));

/** Whom an insecure loopback server takes its callers for; makes that party when there is none. */
export async function admitLocal(needs: GatewayNeeds, directory: DataDirectory): Promise<Caller> {
  const { store } = needs;
  if (store.peek('party', 'local') === undefined) {
    const { bundle } = await admitParty(needs, {
      name: 'local',
      roles: PARTY_ROLES,
      days: 3650,
      jurisdiction: null,
    });
    await writePrivate(directory.localCredential, bundle);
  }
  const party = store.peek<PartyBody>('party', 'local');
  if (party === undefined) throw new Error('the local party vanished');
  const { roles, signingPublicKey, jurisdiction } = party.body;
  return {
    party: 'local',
    roles,
    credentialFingerprint: '',
    signingPublicKey,
    jurisdiction,
    isInsecureLoopback: true,
  };
}
