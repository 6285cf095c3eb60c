import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { type Caller, PARTY_ROLES } from '../identity/party.ts';
import { type DataDirectory, writePrivate } from './data-directory.ts';
import type { GatewayNeeds } from './needs.ts';
import { admitParty } from './party-service.ts';
import type { PartyBody } from './records.ts';

/** Makes the operator's credential when there is none; answers its file. */
export async function admitOperator(needs: GatewayNeeds, directory: DataDirectory): Promise<string> {
  const { store } = needs;
  const file = directory.operatorCredential;
  if (existsSync(file)) return file;
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
