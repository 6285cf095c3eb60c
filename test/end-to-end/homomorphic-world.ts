import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Glovebox } from '../../runtime/client/connect.ts';
import {
  encryptDataset,
  type EncryptionRequest,
  type KeyHolderKeys,
  type PlainTable,
} from '../../runtime/client/encrypt-dataset.ts';
import { serveDecryptor, type RunningDecryptor } from '../../runtime/decryptor/serve-decryptor.ts';
import { Vault } from '../../runtime/decryptor/vault.ts';
import { readTranscriptKey } from '../../runtime/gateway/homomorphic/transcript-key.ts';
import { generateKeyBundles } from '../../runtime/homomorphic/keys.ts';
import { openNodeSealBackend } from '../../runtime/homomorphic/node-seal-backend.ts';
import type { ProfileId } from '../../runtime/homomorphic/profiles.ts';
import type { RuntimeWorld } from '../gateway/runtime-world.ts';
import { colon } from '../homomorphic/support.ts';

export const DATASET = 'colon-encrypted';

/** Rows in memory, in group order. */
export function plainTable(
  units: readonly { readonly unit: readonly (string | number)[]; readonly group: string | null }[],
  columns: Readonly<Record<string, readonly (number | bigint | null)[]>>,
): PlainTable {
  return {
    rows: units.length,
    async *units() {
      yield* units;
    },
    async *column(name) {
      const values = columns[name] ?? [];
      for (let at = 0; at < units.length;) {
        let end = at;
        while (end < units.length && units[end]?.group === units[at]?.group) end++;
        const group = units[at]?.group ?? null;
        yield { ...(group === null ? {} : { group }), values: values.slice(at, end) };
        at = end;
      }
    },
  };
}

export interface HomomorphicWorld extends AsyncDisposable {
  readonly hospital: Glovebox;
  readonly acme: Glovebox;
  readonly agreement: string;
  readonly keys: KeyHolderKeys;
  readonly vault: Vault;
  readonly decryptor: RunningDecryptor;
  readonly refusals: unknown[];
  readonly clinic: ReturnType<typeof colon>;
}

export const policyFor = (release: string, more = ''): string => `
apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: ${DATASET}, grade: important }
privacyUnit: [id]
columns:
  id: { rights: [countDistinct] }
  rx: { rights: [group] }
  time: { rights: [aggregate] }
  age: { rights: [aggregate] }
allow:
  - { id: encrypted, mode: homomorphic, release: { ${release} }${more} }
`;

export const RELEASE =
  'programs: [sum, mean, linear, groupSums, variance], schemes: [bgv], securityBits: 128, minUnits: 10';

/** A hospital with encrypted survival times, its decryptor, and a consumer with an agreement. */
export async function homomorphicWorld(
  world: RuntimeWorld,
  options: {
    readonly policy?: string;
    readonly minUnits?: number;
    readonly profiles?: readonly ProfileId[];
    /** Columns beside survival time and age, by row of the clinic. */
    readonly more?: readonly (EncryptionRequest['columns'][number] & {
      readonly values: readonly (number | bigint | null)[];
    })[];
  } = {},
): Promise<HomomorphicWorld> {
  const hospital = await world.party('hospital', ['provider']);
  const acme = await world.party('acme', ['consumer'], '', ['researchers']);
  const clinic = colon();
  const order = clinic.rx
    .map((_, i) => i)
    .toSorted((a, b) => ARMS.indexOf(clinic.rx[a] ?? '') - ARMS.indexOf(clinic.rx[b] ?? '') || a - b);
  const table = plainTable(
    order.map((i) => ({ unit: [clinic.id[i] ?? 0], group: clinic.rx[i] ?? '' })),
    {
      time: order.map((i) => clinic.time[i] ?? 0),
      age: order.map((i) => clinic.age[i] ?? 0),
      ...Object.fromEntries(
        (options.more ?? []).map(({ column, values }) => [column, order.map((i) => values[i] ?? null)]),
      ),
    },
  );
  const keys = await newKeys(options.profiles ?? ['bgv-add-a']);
  const vault = await Vault.open(join(world.folder, 'vault'));
  const scratch = join(world.folder, 'scratch');
  mkdirSync(scratch);
  const request: EncryptionRequest = {
    dataset: DATASET,
    unitColumn: 'id',
    groups: { column: 'rx', names: ARMS },
    columns: [
      { column: 'time', programs: ['sum', 'mean', 'linear', 'groupSums'], low: 0, high: 4000, decimals: 0 },
      { column: 'age', programs: ['sum', 'mean', 'linear', 'groupSums'], low: 0, high: 120, decimals: 0 },
      ...(options.more ?? []),
    ],
    minUnits: options.minUnits ?? 10,
  };
  const outcome = await encryptDataset({ glovebox: hospital, keys, vault, scratch }, table, request);
  if (outcome.kind === 'refused') throw new Error(outcome.reasons.map(({ message }) => message).join('; '));
  const refusals: unknown[] = [];
  const { publicKey } = await hospital.homomorphic.getTranscriptKey({});
  const decryptor = await serveDecryptor({
    vault,
    secret: keys.secret,
    open: keys.open,
    host: '127.0.0.1',
    port: 0,
    runtimeAuthority: world.runtime.gateway.authorityCertificate,
    runtimeKey: readTranscriptKey(publicKey),
    isAgreed: ({ consumer }) => Promise.resolve(consumer === 'acme'),
    nowMs: world.now,
    log: (event, facts) => void (event !== 'decryptor.released' && refusals.push({ event, ...facts })),
  });
  const set = await hospital.homomorphic.setDecryptor({
    dataset: DATASET,
    address: `127.0.0.1:${decryptor.port}`,
    certificate: readFileSync(vault.certificateFile, 'utf8'),
  });
  if (!set.isReachable) throw new Error('the decryptor cannot be reached');
  const { complaints } = await hospital.policies.attach({ document: options.policy ?? policyFor(RELEASE) });
  if (complaints.length > 0) throw new Error(complaints.map(({ message }) => message).join('; '));
  const { agreement } = await hospital.agreements.offer({ dataset: DATASET, consumer: 'acme' });
  await acme.agreements.accept({ id: agreement?.id ?? '' });
  return {
    hospital,
    acme,
    agreement: agreement?.id ?? '',
    keys,
    vault,
    decryptor,
    refusals,
    clinic,
    [Symbol.asyncDispose]: () => decryptor[Symbol.asyncDispose](),
  };
}

export const ARMS: readonly string[] = ['Obs', 'Lev', 'Lev+5FU'];

export async function newKeys(profiles: readonly ProfileId[]): Promise<KeyHolderKeys> {
  const backend = await openNodeSealBackend();
  return { ...generateKeyBundles(backend, profiles), unitKey: new Uint8Array(randomBytes(32)) };
}

/** A program as a job. */
export function program(name: string, columns: readonly string[], more: object = {}) {
  return { computation: { kind: 'homomorphic' as const, homomorphic: { name, columns, ...more } } };
}
