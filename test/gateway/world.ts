import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { connect, type Glovebox } from '../../runtime/client/connect.ts';
import { registerFiles } from '../../runtime/client/upload.ts';
import { createRuntime, type Runtime } from '../../runtime/container.ts';
import type { LogEvent } from '../../runtime/gateway/needs.ts';
import { type CredentialBundle, parseCredential } from '../../runtime/identity/credential.ts';
import type { PartyRole } from '../../runtime/identity/party.ts';
import type { RpcLimits } from '../../runtime/rpc/limits.ts';
import { RpcServer } from '../../runtime/rpc/server.ts';

/** The dataset of these tests: 60 patients, three wards, one of them too small to be shown. */
export const DATASET = 'visits';
export const WARDS = [
  { ward: 'east', patients: 30, cost: 1500n },
  { ward: 'west', patients: 26, cost: 2600n },
  { ward: 'tiny', patients: 4, cost: 4n },
] as const;
export const QUESTION = 'select ward, count(*) as n, sum(cost) as total from visits group by ward order by ward';
let asked = 0;
/** The question in words that were not used before: the same words would be answered from the record, and nothing would run. */
export function newQuestion(): string {
  asked += 1;
  return `${QUESTION} limit ${100 + asked}`;
}
/** What it answers: `tiny` is withheld. */
export const ANSWER = [
  { ward: 'east', n: 30n, total: 1500n },
  { ward: 'west', n: 26n, total: 2600n },
] as const;

export function visitsCsv(): string {
  const rows = WARDS.flatMap(({ ward, patients, cost }, index) =>
    Array.from({ length: patients }, (_, one) => `${index * 100 + one},${ward},${cost / BigInt(patients)}`),
  );
  return `patient_id,ward,cost\n${rows.join('\n')}\n`;
}

/** `count`: uses per consumer; absent: without a limit. */
export function visitsPolicy(
  options: {
    readonly count?: number;
    readonly version?: number;
    readonly minUnits?: number;
    readonly differencing?: 'guard' | 'off';
  } = {},
): string {
  const when = options.count === undefined ? '' : `, when: { count: { max: ${options.count}, per: P30D } }`;
  const version = options.version === undefined ? '' : `, version: ${options.version}`;
  return `apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: ${DATASET}, grade: important${version} }
privacyUnit: [patient_id]
columns:
  patient_id: { rights: [join, countDistinct] }
  ward:       { rights: [group, filter, order] }
  cost:       { rights: [aggregate, filter], bounds: [0, 3000] }
allow:
  - { id: statistics, mode: aggregate, release: { minUnits: ${options.minUnits ?? 10}, smallGroups: drop, maxRows: 1000${options.differencing === undefined ? '' : `, differencing: ${options.differencing}`} }${when} }
duties:
  - { do: log }
`;
}

/** A party with its connection and its credential. */
export interface Member extends Glovebox {
  readonly credential: CredentialBundle;
}

export interface World extends AsyncDisposable {
  readonly path: string;
  readonly runtime: Runtime;
  readonly server: RpcServer;
  /** Operator and provider at once, as on a fresh machine. */
  readonly owner: Member;
  readonly events: readonly LogEvent[];
  /** Admits a party and connects as it. */
  member(name: string, ...roles: PartyRole[]): Promise<Member>;
  /** Admits a consumer that has an active agreement; answers its connection and the agreement's id. */
  consumer(name: string): Promise<Member & { readonly agreement: string }>;
  /** Another connection as a member that a world over the same directory made. */
  again(credential: CredentialBundle): Member;
  /** Stops as a power cut would be seen from outside: connections first, then the state. */
  stop(): Promise<void>;
}

export interface WorldOptions {
  readonly path?: string;
  readonly policy?: string;
  readonly csv?: string;
  readonly nowMs?: () => number;
  readonly limits?: Partial<RpcLimits>;
  /** Replaces what makes the runtime; tests put wrappers here. */
  readonly create?: typeof createRuntime;
}

/** A whole runtime in this process: real store, real workers, mutual TLS, one dataset under one policy. */
export async function startWorld(options: WorldOptions = {}): Promise<World> {
  const path = options.path ?? mkdtempSync(join(tmpdir(), 'glovebox-world-'));
  const events: LogEvent[] = [];
  let server: RpcServer | null = null;
  const runtime = await (options.create ?? createRuntime)({
    dataDirectory: path,
    log: (event) => void events.push(event),
    address: () => `127.0.0.1:${server?.port ?? 0}`,
    ...(options.nowMs === undefined ? {} : { nowMs: options.nowMs }),
  });
  const { gateway } = runtime;
  const { certificate, key } = await gateway.serverCertificate(['127.0.0.1']);
  server = await RpcServer.start({
    application: gateway.application,
    host: '127.0.0.1',
    port: 0,
    tls: { ca: gateway.authorityCertificate, certificate, key },
    log: pino({ level: 'silent' }),
    ...(options.limits === undefined ? {} : { limits: options.limits }),
  });
  const address = `127.0.0.1:${server.port}`;
  const open: Member[] = [];
  const again = (credential: CredentialBundle): Member => {
    const member = { ...connect({ credential, server: address }), credential };
    open.push(member);
    return member;
  };
  const owner = again(parseCredential(readFileSync(await gateway.bootstrap(), 'utf8')));
  const member = async (name: string, ...roles: PartyRole[]): Promise<Member> => {
    const { credential } = await owner.parties.add({ name, roles });
    return again(parseCredential(credential));
  };
  const stop = async (): Promise<void> => {
    for (const one of open) one.close();
    server?.close();
    await runtime[Symbol.asyncDispose]();
  };
  const world: World = {
    path,
    runtime,
    server,
    owner,
    events,
    member,
    again,
    stop,
    consumer: async (name) => {
      const consumer = await member(name, 'consumer');
      return { ...consumer, agreement: await agree(owner, consumer) };
    },
    [Symbol.asyncDispose]: async () => {
      await stop();
      if (options.path === undefined) rmSync(path, { recursive: true, force: true });
    },
  };
  if ((await owner.catalogue.list({})).datasets.length === 0) await provide(world, options);
  return world;
}

async function provide(world: World, options: WorldOptions): Promise<void> {
  const file = join(world.path, 'visits.csv');
  writeFileSync(file, options.csv ?? visitsCsv());
  for await (const { reasons } of registerFiles(world.owner.catalogue, { name: DATASET }, [{ path: file }])) {
    if (reasons.length > 0) throw new Error(reasons[0]?.message);
  }
  rmSync(file);
  const { complaints } = await world.owner.policies.attach({ document: options.policy ?? visitsPolicy() });
  if (complaints.length > 0) throw new Error(complaints[0]?.message);
}

/** Offer, signature, acceptance; answers the agreement's id. */
export async function agree(provider: Member, consumer: Member): Promise<string> {
  const { agreement } = await provider.agreements.offer({ dataset: DATASET, consumer: consumer.credential.party });
  const id = agreement?.id ?? '';
  await consumer.agreements.accept({ id });
  return id;
}

/** Rows as plain objects, wide integers as bigint. */
export function rowsOf(table: { toArray(): readonly unknown[] }): readonly Record<string, unknown>[] {
  return table.toArray().map((row) => {
    const plain = (row as { toJSON(): Record<string, unknown> }).toJSON();
    const values = Object.entries(plain).map(([name, value]) => [
      name,
      value instanceof Uint32Array ? BigInt(value.toString()) : value,
    ]);
    return Object.fromEntries(values) as Record<string, unknown>;
  });
}
