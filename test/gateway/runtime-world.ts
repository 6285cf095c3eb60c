import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { connect, type Glovebox } from '../../runtime/client/connect.ts';
import { registerFiles } from '../../runtime/client/upload.ts';
import { createRuntime, type Runtime } from '../../runtime/container.ts';
import type { LogEvent } from '../../runtime/gateway/needs.ts';
import { parseCredential } from '../../runtime/identity/credential.ts';
import type { PartyRole } from '../../runtime/identity/party.ts';
import { RpcServer } from '../../runtime/rpc/server.ts';

/** A whole runtime in a folder of its own, over mutual TLS, with a clock that the test moves. */
export interface RuntimeWorld extends AsyncDisposable {
  readonly folder: string;
  readonly runtime: Runtime;
  readonly operator: Glovebox;
  /** `host:port` of its front door. */
  readonly address: string;
  readonly events: LogEvent[];
  /** Moves the clock on, milliseconds. */
  pass(ms: number): void;
  readonly now: () => number;
  party(
    name: string,
    roles: readonly PartyRole[],
    jurisdiction?: string,
    groups?: readonly string[],
  ): Promise<Glovebox>;
}

export async function runtimeWorld({
  unitsKey,
  ...more
}: {
  readonly webhooks?: readonly string[];
  readonly alertWebhook?: string;
  /** The secret of the hashes of units, as hex; absent: one of its own. */
  readonly unitsKey?: string;
} = {}): Promise<RuntimeWorld> {
  const folder = mkdtempSync(join(tmpdir(), 'glovebox-usage-'));
  if (unitsKey !== undefined) {
    mkdirSync(join(folder, 'data', 'keys'), { recursive: true, mode: 0o700 });
    writeFileSync(join(folder, 'data', 'keys', 'units.key'), `${unitsKey}\n`, { mode: 0o600 });
  }
  let offset = 0;
  const now = (): number => Date.now() + offset;
  const events: LogEvent[] = [];
  let server: RpcServer | null = null;
  const runtime = await createRuntime({
    ...more,
    dataDirectory: join(folder, 'data'),
    nowMs: now,
    log: (event) => events.push(event),
    address: () => `127.0.0.1:${server?.port ?? 0}`,
  });
  const { gateway } = runtime;
  const { certificate, key } = await gateway.serverCertificate(['127.0.0.1']);
  server = await RpcServer.start({
    application: gateway.application,
    host: '127.0.0.1',
    port: 0,
    tls: { ca: gateway.authorityCertificate, certificate, key },
    log: pino({ level: 'silent' }),
  });
  const operator = connect({ credential: await gateway.bootstrap() });
  const clients: Glovebox[] = [operator];
  return {
    folder,
    runtime,
    operator,
    address: `127.0.0.1:${server.port}`,
    events,
    now,
    pass: (ms) => void (offset += ms),
    party: async (name, roles, jurisdiction = '', groups = []) => {
      const { credential } = await operator.parties.add({ name, roles, jurisdiction, groups });
      const client = connect({ credential: parseCredential(credential) });
      clients.push(client);
      return client;
    },
    [Symbol.asyncDispose]: async () => {
      for (const client of clients) client.close();
      await server?.drain(1000);
      await runtime[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Registers a CSV text as the dataset's only table. */
export async function addDataset(world: RuntimeWorld, provider: Glovebox, name: string, csv: string): Promise<void> {
  const path = join(world.folder, `${name.replaceAll('/', '-')}.csv`);
  writeFileSync(path, csv);
  const header = { name, description: '', grade: 'unspecified' as const };
  for await (const { reasons } of registerFiles(provider.catalogue, header, [{ path, table: 'visits' }]))
    if (reasons.length > 0) throw new Error(reasons.map(({ message }) => message).join('; '));
}

/** 60 patients in 3 wards, 2 visits each. */
export const VISITS: string = [
  'patient_id,ward,cost',
  ...Array.from({ length: 120 }, (_, row) => `p${row % 60},w${row % 3},${100 + (row % 7)}`),
].join('\n');

export const POLICY = (more = '', rule = ''): string => `
apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: visits, grade: internal }
tables:
  visits:
    privacyUnit: [patient_id]
    columns:
      patient_id: { rights: [join, countDistinct] }
      ward: { rights: [group, filter, order], values: [w0, w1, w2] }
      cost: { rights: [aggregate], bounds: [0, 200] }
allow:
  - { id: statistics, mode: aggregate, release: { minUnits: 10, maxRows: 100 }${rule} }
${more}`;

export const COUNT_QUERY = 'SELECT ward, count(*) AS n FROM visits GROUP BY ward';

/** A provider with visits and a policy, a consumer, and an active agreement between them. */
export async function agreedWorld(
  world: RuntimeWorld,
  policy: string = POLICY(),
): Promise<{ readonly hospital: Glovebox; readonly acme: Glovebox; readonly agreement: string }> {
  const hospital = await world.party('hospital', ['provider'], 'CN');
  const acme = await world.party('acme', ['consumer'], 'CN');
  await addDataset(world, hospital, 'visits', VISITS);
  const { complaints } = await hospital.policies.attach({ document: policy, fileName: 'p.yaml' });
  if (complaints.length > 0) throw new Error(complaints.map(({ message }) => message).join('; '));
  const { agreement } = await hospital.agreements.offer({ dataset: 'visits', consumer: 'acme' });
  const id = agreement?.id ?? '';
  await acme.agreements.accept({ id });
  return { hospital, acme, agreement: id };
}
