import { randomInt } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { connect, type Glovebox } from '../../runtime/client/connect.ts';
import { GloveboxError } from '../../runtime/client/error.ts';
import { registerFiles } from '../../runtime/client/upload.ts';
import type { Job, Reason } from '../../runtime/gen/messages.ts';
import { type CredentialBundle, parseCredential } from '../../runtime/identity/credential.ts';
import { DATASET, rowsOf, startWorld, visitsCsv } from '../gateway/world.ts';

/** What one private job costs, micro-epsilon. */
export const MICRO_EPSILON = 10_000n;
export const CONSUMERS = ['acme', 'bolt', 'cove'] as const;

/** Counts for one rule, privacy loss for the other. */
const policyOf = (dataset: string): string => `apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: ${dataset}, grade: internal }
privacyUnit: [patient_id]
columns:
  patient_id: { rights: [join, countDistinct] }
  ward:       { rights: [group, filter, order], values: [east, west, tiny] }
  cost:       { rights: [aggregate, filter], functions: [sum, avg, count], bounds: [0, 3000] }
allow:
  - { id: statistics, mode: aggregate, release: { minUnits: 10, smallGroups: drop, maxRows: 1000 }, when: { count: { max: 100000, per: P30D } } }
  - { id: private, mode: differentialPrivacy, release: { epsilonPerJob: 0.01, epsilonTotal: 1000, epsilonDataset: 1000, delta: 1e-6, maxRowsPerUnit: 2 } }
duties:
  - { do: log }
`;

/** What clients were told before a kill; whatever happens, it must stay true. */
export interface Told {
  readonly credentials: ReadonlyMap<string, CredentialBundle>;
  readonly owner: CredentialBundle;
  /** Jobs whose end a consumer has read: its receipt, and its rows when it fetched them. */
  readonly jobs: Map<string, { readonly party: string; readonly job: Job; rows: unknown }>;
  /** Tickets that a fetch was begun with; `done`: and answered whole. */
  readonly tickets: { readonly party: string; readonly ticket: Uint8Array; readonly done: boolean }[];
  /** `party/rule` → the most that a budget has said. */
  readonly spent: Map<string, { readonly uses: bigint; readonly microEpsilon: bigint }>;
  readonly checkpoints: { readonly size: bigint; readonly root: string }[];
  /** Datasets whose registration was begun; the digest once it was answered. */
  readonly datasets: Map<string, string | null>;
  readonly parties: Map<string, CredentialBundle | null>;
}

/** A data directory with a dataset under two modes and three consumers that may use it. */
export async function makeKillWorld(path: string): Promise<Told> {
  const world = await startWorld({ path, policy: policyOf(DATASET) });
  const members = await Promise.all(CONSUMERS.map((name) => world.consumer(name)));
  const credentials = new Map(members.map(({ credential }, index) => [CONSUMERS[index] ?? '', credential]));
  const owner = world.owner.credential;
  await world.stop();
  writeFileSync(join(path, '..', 'more.csv'), visitsCsv());
  return {
    credentials,
    owner,
    jobs: new Map(),
    tickets: [],
    spent: new Map(),
    checkpoints: [],
    datasets: new Map(),
    parties: new Map(),
  };
}

/** Clients of every kind that work until they are cut off. Rejects when one of them is told something wrong. */
export async function traffic(told: Told, server: string, isOver: () => boolean, csv: string): Promise<void> {
  const open: Glovebox[] = [];
  const as = (credential: CredentialBundle): Glovebox => {
    const client = connect({ credential, server });
    open.push(client);
    return client;
  };
  const until = async (step: () => Promise<void>): Promise<void> => {
    while (!isOver()) {
      try {
        await step();
      } catch (error) {
        if (!isCutOff(error)) throw error;
        // A server that dies refuses at once: others must get their turn.
        await delay(5);
      }
    }
  };
  try {
    await Promise.all([
      ...[...told.credentials].flatMap(([party, credential]) => {
        const client = as(credential);
        return [0, 1].map(() => until(() => consumerStep(told, party, client)));
      }),
      until(providerStep(told, as(told.owner), as, csv)),
    ]);
  } finally {
    for (const client of open) client.close();
  }
}

/** What a client may see of a server that dies, or has too much to do; everything else is wrong. */
function isCutOff(error: unknown): boolean {
  if (!(error instanceof GloveboxError)) return false;
  return /^(grpc-unavailable|grpc-cancelled|cancelled|draining|too-many-jobs|rate-exceeded)$/.test(error.code);
}

let words = randomInt(1_000_000);
async function consumerStep(told: Told, party: string, client: Glovebox): Promise<void> {
  words += 1;
  const kind = words % 5;
  // The same words again are answered from the record: that too must survive.
  const alias = `v${kind === 4 ? words % 40 : words}`;
  const rule = words % 2 === 0 ? 'statistics' : 'private';
  const text = `select ward, count(*) as n, sum(cost) as total from ${DATASET} as ${alias} group by ward order by ward`;
  const computation = { kind: 'sql' as const, sql: { text } };
  const { job } = await client.jobs.submit({ job: { computation, ruleId: rule }, wait: kind !== 3 });
  if (job === null) throw new Error('a job was submitted and not told');
  if (kind === 3) {
    // Thought better of it.
    await client.jobs.cancel({ id: job.id });
    return;
  }
  if (job.state !== 'released' || job.ticket === null)
    throw new Error(`${job.id} is ${job.state}: ${say(job.reasons)}`);
  const entry: { readonly party: string; readonly job: Job; rows: unknown } = { party, job, rows: null };
  told.jobs.set(job.id, entry);
  const place = told.tickets.push({ party, ticket: job.ticket, done: false }) - 1;
  entry.rows = rowsOf(await client.readTable(job.ticket));
  told.tickets[place] = { party, ticket: job.ticket, done: true };
  for (const { ruleId, uses, microEpsilonSpent } of (await client.budgets.get({ dataset: DATASET })).budgets) {
    const key = `${party}/${ruleId}`;
    const before = told.spent.get(key);
    if ((before?.uses ?? 0n) <= uses && (before?.microEpsilon ?? 0n) <= microEpsilonSpent)
      told.spent.set(key, { uses, microEpsilon: microEpsilonSpent });
  }
}

/** Registers datasets, attaches their policies, admits parties, agrees with them. */
function providerStep(
  told: Told,
  owner: Glovebox,
  as: (credential: CredentialBundle) => Glovebox,
  csv: string,
): () => Promise<void> {
  return async () => {
    const { checkpoint, treeSize, rootHash } = await owner.evidence.getCheckpoint({});
    if (checkpoint !== '') told.checkpoints.push({ size: treeSize, root: rootHash });
    words += 1;
    const name = `more-${words}`;
    told.datasets.set(name, null);
    const files = [{ path: csv, table: 'visits' }];
    for await (const { event, reasons } of registerFiles(owner.catalogue, { name }, files)) {
      if (reasons.length > 0) throw new Error(say(reasons));
      if (event?.kind === 'dataset') told.datasets.set(name, event.dataset.digest);
    }
    const { complaints } = await owner.policies.attach({ document: policyOf(name) });
    if (complaints.length > 0) throw new Error(complaints[0]?.message);
    told.parties.set(name, null);
    const { credential } = await owner.parties.add({ name, roles: ['consumer'] });
    const bundle = parseCredential(credential);
    told.parties.set(name, bundle);
    const { agreement } = await owner.agreements.offer({ dataset: name, consumer: name });
    await as(bundle).agreements.accept({ id: agreement?.id ?? '' });
  };
}

const say = (reasons: readonly Reason[]): string => reasons.map(({ code, message }) => `${code} ${message}`).join('; ');
