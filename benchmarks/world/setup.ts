import { existsSync, globSync, readdirSync, readFileSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { connect, type Glovebox } from '../../runtime/client/connect.ts';
import { registerFiles } from '../../runtime/client/upload.ts';
import { openDataDirectory } from '../../runtime/gateway/data-directory.ts';
import { trustImages } from '../../runtime/gateway/code/image-seals.ts';
import { loadImage } from '../../runtime/sandbox/image.ts';
import { prepareData, type BenchData } from './data.ts';
import { startServer } from './server.ts';

/** Where a benchmark's runtime lives, and whose credentials it may use. */
export interface BenchWorld {
  readonly data: BenchData;
  readonly smallData: BenchData;
  /** Data directory of the runtime. */
  readonly directory: string;
  readonly consumers: readonly BenchConsumer[];
  /** Whom a server without TLS takes every caller for. */
  readonly local: BenchConsumer;
}

/** A consumer with one agreement on the large dataset, one on the small one. */
export interface BenchConsumer {
  readonly credential: string;
  readonly large: string;
  readonly small: string;
}

/** Rows of the small dataset: a job over it is all overhead. */
export const SMALL_ROWS = 2000;
/** Parties that submit at once in the concurrency runs. */
export const CONSUMERS = 16;
export const LARGE = 'bench/large';
const SMALL = 'bench/small';
const HOURS_MS = 3_600_000;

/**
 * A runtime with both datasets registered, policies attached and agreements active: made once per size and per version of
 * the code that stores things, kept in the cache folder.
 */
export async function prepareWorld(cache: string, rows: number, progress: (text: string) => void): Promise<BenchWorld> {
  const large = await prepareData(cache, rows, progress);
  const small = await prepareData(cache, SMALL_ROWS, progress);
  const directory = join(cache, `runtime-${storageVersion()}-${rows}`);
  const done = `${directory}.json`;
  if (!existsSync(done)) {
    await rm(directory, { recursive: true, force: true });
    // The first start without TLS makes the party `local`; its credential is as good as any other afterwards.
    await using insecure = await startServer({ data: directory, isInsecure: true });
    await insecure[Symbol.asyncDispose]();
    await using server = await startServer({ data: directory });
    await using operator = connect({ credential: server.credential, server: server.address });
    const consumers = [...(await admitConsumers(operator, directory)), join(directory, 'local.credential.json')];
    await register(operator, LARGE, large, progress);
    await register(operator, SMALL, small, progress);
    const active: BenchConsumer[] = [];
    for (const credential of consumers) {
      progress(`agreement ${active.length + 1} of ${consumers.length}`);
      active.push({
        credential,
        large: await agree(operator, credential, server.address, LARGE),
        small: await agree(operator, credential, server.address, SMALL),
      });
    }
    await writeFile(done, JSON.stringify(active), { mode: 0o600 });
  }
  await trustAgain(directory);
  const consumers = JSON.parse(readFileSync(done, 'utf8')) as readonly BenchConsumer[];
  const local = consumers.at(-1);
  if (local === undefined) throw new Error(`\`${done}\` is damaged: delete it`);
  return { data: large, smallData: small, directory, consumers: consumers.slice(0, -1), local };
}

/** The code of the workers may have changed since the directory was made: nobody else's runtime lives there. */
async function trustAgain(directory: string): Promise<void> {
  const root = join(import.meta.dirname, '..', '..');
  const names = readdirSync(join(root, 'sandbox-images'));
  await trustImages(await openDataDirectory(directory), await Promise.all(names.map((name) => loadImage(root, name))));
}

async function admitConsumers(operator: Glovebox, directory: string): Promise<readonly string[]> {
  const files: string[] = [];
  for (let index = 0; index < CONSUMERS; index += 1) {
    const name = `bench${index}`;
    const { credential } = await operator.parties.add({ name, roles: ['consumer'], days: 3650, jurisdiction: '' });
    const file = join(directory, `${name}.credential.json`);
    await writeFile(file, credential, { mode: 0o600 });
    files.push(file);
  }
  return files;
}

async function register(
  operator: Glovebox,
  name: string,
  data: BenchData,
  progress: (text: string) => void,
): Promise<void> {
  const files = [
    { path: data.visits, table: 'visits' },
    { path: data.shops, table: 'shops' },
  ];
  const header = { name, description: 'made by glovebox bench', grade: 'internal' as const };
  for await (const { event, reasons } of registerFiles(operator.catalogue, header, files, { timeoutMs: HOURS_MS })) {
    if (reasons.length > 0)
      throw new Error(`cannot register ${name}: ${reasons.map(({ message }) => message).join('; ')}`);
    if (event?.kind === 'progress') progress(`registering ${name}: ${event.progress.step} ${event.progress.done}`);
  }
  progress(`laying out ${name}`);
  const document = policyOf(name);
  const attached = await operator.policies.attach(
    { document, fileName: 'bench.yaml', dataset: name },
    { timeoutMs: HOURS_MS },
  );
  if (attached.policy === null)
    throw new Error(`cannot attach the policy of ${name}: ${JSON.stringify([attached.complaints, attached.reasons])}`);
}

async function agree(operator: Glovebox, file: string, server: string, dataset: string): Promise<string> {
  await using consumer = connect({ credential: file, server });
  const { name } = (await consumer.parties.whoAmI({})).party ?? { name: '' };
  const offered = await operator.agreements.offer({ dataset, consumer: name });
  const id = offered.agreement?.id ?? '';
  const { agreement } = await consumer.agreements.accept({ id });
  if (agreement?.state !== 'active') throw new Error(`agreement on ${dataset} is ${agreement?.state ?? 'missing'}`);
  return id;
}

/** Everything a benchmark asks for, under the rules that cost something: 20 units behind every cell. */
export function policyOf(dataset: string): string {
  return `apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: ${dataset}, grade: internal, title: Benchmark }
tables:
  visits:
    privacyUnit: [person_id]
    columns:
      person_id: { rights: [join, countDistinct] }
      shop_id:   { rights: [join, group, filter] }
      category:  { rights: [group, filter, order] }
      weekday:   { rights: [group, filter, order] }
      band:      { rights: [group, filter, order] }
      amount:    { rights: [filter, aggregate], bounds: [0, 10000] }
      weight:    { rights: [filter, aggregate], bounds: [0, 10] }
  shops:
    public: true
    columns:
      shop_id: { rights: [join, group, filter, order] }
      kind:    { rights: [group, filter, order] }
      city:    { rights: [group, filter, order] }
allow:
  - { id: statistics, mode: aggregate, release: { minUnits: 20, smallGroups: drop, maxRows: 100000000, maxBytes: 4294967296, differencing: off } }
`;
}

/** Changes with every file that decides what lies in a data directory, so that an old cache is never measured. */
function storageVersion(): string {
  const root = join(import.meta.dirname, '..', '..');
  const digest = createHash('sha256');
  const files = [
    'runtime/{store,contract}/**/*.ts',
    'runtime/dataset/{cuboids,ingest,layout,layout-sides,layout-sql,layout-tags,make-layout,metadata,table-writer,row-scope}.ts',
    'runtime/gateway/{data-directory,records}.ts',
    'runtime/rpc/authority.ts',
    'benchmarks/world/{data,setup}.ts',
  ];
  for (const file of globSync(files, { cwd: root }).toSorted()) digest.update(readFileSync(join(root, file)));
  return digest.digest('hex').slice(0, 12);
}
