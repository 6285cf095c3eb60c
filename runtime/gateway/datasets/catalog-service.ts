import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { RegisterDatasetRequest, RegisterDatasetResponse } from '../../gen/messages.ts';
import type { CatalogServiceHandlers } from '../../gen/services.ts';
import type { Registered } from '../../dataset/ingest.ts';
import type { SourceFile } from '../../dataset/source.ts';
import type { Verification } from '../../dataset/verify.ts';
import type { Caller } from '../../identity/party.ts';
import { reason } from '../../policy/reason.ts';
import { Fault } from '../../rpc/fault.ts';
import type { StoredRecord } from '../../store/records.ts';
import { pageOf, requireRole } from '../access.ts';
import { gradeAtRegistration, gradingRecord } from '../policies/dataset-grade.ts';
import { datasetTwin } from './dataset-twin.ts';
import { keyFiguresOf } from './dataset-units.ts';
import { gradeHandler } from './grade-dataset.ts';
import { custodyHandler, custodyId, keeps } from './custody.ts';
import { evidence, newId } from '../needs.ts';
import type { DatasetBody } from '../records.ts';
import type { Results } from '../results/results.ts';
import { faultOf, isInsider, type ManifestNeeds, maySee, messageOf } from './dataset-message.ts';
import { UploadedFiles } from './uploaded-files.ts';

export interface CatalogNeeds extends ManifestNeeds {
  readonly uploads: string;
  readonly results: Results;
  readonly register: (
    dataset: string,
    sources: readonly SourceFile[],
    onProgress: (progress: IngestStep) => void,
  ) => Promise<Registered>;
  readonly verify: (dataset: string, version: number, digest: string) => Promise<Verification>;
}

export interface IngestStep {
  readonly step: string;
  readonly done: number;
  readonly total: number;
  readonly subject: string;
}

const PROGRESS_EVERY_BYTES = 8 << 20;

/** The catalogue: schema and policy to whom they concern, rows to nobody. */
export function catalogService(needs: CatalogNeeds): Partial<CatalogServiceHandlers> {
  /** Datasets whose new version is on its way into the store. */
  const recording = new Set<string>();
  const find = (caller: Caller, name: string): StoredRecord<DatasetBody> => {
    const dataset = needs.store.peek<DatasetBody>('dataset', name);
    if (dataset === undefined || !maySee(needs, caller, dataset))
      throw new Fault('not-found', `no dataset \`${name}\` that you may know of`);
    return dataset;
  };
  return {
    ...gradeHandler(needs, recording),
    ...custodyHandler(needs),
    registerDataset: (caller, request, call) => register(needs, recording, caller, request, call.signal),
    list: async (caller, request) => {
      const seen = needs.store
        .peekAll<DatasetBody>('dataset')
        .filter((dataset) => maySee(needs, caller, dataset))
        .toSorted((a, b) => (a.id < b.id ? -1 : 1));
      const { items, nextPageToken } = pageOf(seen, request.page);
      return {
        datasets: await Promise.all(items.map((dataset) => messageOf(needs, caller, dataset, { isListed: true }))),
        nextPageToken,
      };
    },
    get: async (caller, request) => ({
      dataset: await messageOf(needs, caller, find(caller, request.name), { version: request.version }),
    }),
    twin: async function* (caller, request) {
      yield* datasetTwin(needs, caller, find(caller, request.name), request);
    },
    verify: async function* (caller, request) {
      const dataset = find(caller, request.name);
      if (!isInsider(caller, dataset) && !keeps(needs, caller, dataset.id))
        throw new Fault('role-missing', 'only its provider, its custodian, operators and auditors verify a dataset');
      const version = request.version === 0 ? dataset.body.version : request.version;
      const digest = version === dataset.body.version ? dataset.body.digest : '';
      const verdict = await needs.verify(request.name, version, digest).catch((error: unknown) => {
        throw faultOf(error);
      });
      const manifest = await needs.manifestOf(request.name, version).catch(() => null);
      const bytes = manifest?.tables.reduce((sum, table) => sum + table.bytes, 0) ?? 0;
      await needs.store.transact([
        {
          do: 'record',
          event: evidence(
            needs,
            'dataset.verified',
            [{ name: `dataset/${request.name}@${version}`, sha256: dataset.body.digest.replace('sha256:', '') }],
            { intact: verdict.kind === 'intact', by: needs.pseudonymOf(caller.party) },
          ),
        },
      ]);
      yield {
        event: {
          kind: 'verdict',
          verdict: {
            isIntact: verdict.kind === 'intact',
            bytes: BigInt(bytes),
            reasons:
              verdict.kind === 'intact'
                ? []
                : verdict.files.map(({ file, problem }) =>
                    reason(
                      'dataset-changed',
                      `\`${file}\` of dataset \`${request.name}\` version ${version}: ${problem}`,
                      { remedy: 'restore the file from a backup, or register the dataset again' },
                    ),
                  ),
          },
        },
      };
    },
  };
}

async function* register(
  needs: CatalogNeeds,
  recording: Set<string>,
  caller: Caller,
  request: AsyncIterable<RegisterDatasetRequest>,
  signal: AbortSignal,
): AsyncGenerator<RegisterDatasetResponse, void, void> {
  requireRole(caller, 'register datasets', 'provider', 'custodian');
  const folder = join(needs.uploads, newId(needs, 'upload'));
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const spool = new UploadedFiles(folder);
  /** Set from when a registration is on its way to disk until the catalogue is asked to record it. */
  let unrecorded: Promise<Registered> | null = null;
  try {
    let total = 0;
    let told = 0;
    for await (const { part } of request) {
      signal.throwIfAborted();
      total += await spool.take(part);
      if (total - told >= PROGRESS_EVERY_BYTES) {
        told = total;
        yield progress({ step: 'upload', done: total, total: 0, subject: spool.current });
      }
    }
    const { header, sources } = spool.finish();
    const existing = needs.store.peek<DatasetBody>('dataset', header.name);
    const isKept = existing !== undefined && keeps(needs, caller, existing.id);
    // A custodian brings versions of what it keeps: whose data it is, what it is graded and who may use it stays as it was.
    if (!isKept) requireRole(caller, `register datasets but those that it keeps`, 'provider');
    if (existing !== undefined && existing.owner !== caller.party && !isKept)
      throw new Fault('already-exists', `the name \`${header.name}\` is taken`);
    if (isKept && header.grade !== 'unspecified')
      throw new Fault(
        'role-missing',
        `the grade of \`${header.name}\` is its provider's word: register it without one`,
      );
    const provider = existing?.owner ?? caller.party;

    if (existing?.body.encrypted !== undefined)
      throw new Fault('conflict', `dataset \`${header.name}\` is one of ciphertext: choose another name`);

    const steps: IngestStep[] = [];
    let moved = Promise.withResolvers<void>();
    const registering = needs.register(header.name, sources, (step) => {
      steps.push(step);
      moved.resolve();
    });
    unrecorded = registering;
    const over = registering.then(
      () => 'over' as const,
      () => 'over' as const,
    );
    for (;;) {
      for (const step of steps.splice(0)) yield progress(step);
      moved = Promise.withResolvers<void>();
      if (steps.length > 0) continue;
      if ((await Promise.race([over, moved.promise])) === 'over') break;
    }
    const registered = await registering;
    const { manifest, findings, settle } = registered;
    // As it is now: its grade may have been confirmed while the files came in.
    const latest = needs.store.peek<DatasetBody>('dataset', manifest.dataset);
    const record: StoredRecord<DatasetBody> = {
      table: 'dataset',
      id: manifest.dataset,
      owner: provider,
      state: 'registered',
      atMs: needs.nowMs(),
      body: {
        version: manifest.version,
        digest: manifest.digest,
        description: header.description,
        ...gradeAtRegistration(findings, header.grade === 'unspecified' ? null : header.grade, latest?.body),
        registeredAtMs: needs.nowMs(),
        findings: findingTexts(findings),
        keyFigures: keyFiguresOf(registered),
      },
    };
    const event = evidence(
      needs,
      'dataset.registered',
      [{ name: `dataset/${manifest.dataset}@${manifest.version}`, sha256: manifest.digest.replace('sha256:', '') }],
      {
        provider: needs.pseudonymOf(provider),
        tables: manifest.tables.length,
        ...(isKept ? { custodian: needs.pseudonymOf(caller.party) } : {}),
      },
    );
    // Two registrations of one provider may end in another order than they began: the newer version stays.
    if ((latest?.body.version ?? 0) >= manifest.version || recording.has(manifest.dataset))
      throw new Fault('conflict', `dataset \`${manifest.dataset}\` was registered meanwhile: look at it again`);
    recording.add(manifest.dataset);
    // From here on the record decides, at the next start if not before.
    unrecorded = null;
    const recorded = await needs.store
      .transact([
        // Two providers may have begun a dataset of this name at once: it belongs to the one that ended first.
        {
          do: 'expect',
          table: 'dataset',
          id: manifest.dataset,
          state: existing === undefined ? null : existing.state,
        },
        // Custody that ended while the files came in registers nothing.
        ...(isKept
          ? [{ do: 'expect' as const, table: 'setting' as const, id: custodyId(manifest.dataset), state: 'named' }]
          : []),
        { do: 'put', record },
        { do: 'put', record: gradingRecord(needs, record) },
        { do: 'record', event },
      ])
      .finally(() => recording.delete(manifest.dataset));
    await settle(recorded.kind !== 'refused');
    if (recorded.kind === 'refused')
      throw new Fault('conflict', `dataset \`${manifest.dataset}\` was registered meanwhile: look at it again`);
    yield { reasons: [], event: { kind: 'dataset', dataset: await messageOf(needs, caller, record) } };
  } catch (error) {
    throw faultOf(error);
  } finally {
    await spool.abandon();
    await rm(folder, { recursive: true, force: true });
    // A client that left meanwhile has registered nothing.
    await unrecorded?.then(({ settle }) => settle(false)).catch(() => undefined);
  }
}

/** `visits.phone: mobileNumber (asks for grade important)`, for the provider alone. */
function findingTexts(tables: Registered['findings']): readonly string[] {
  return tables.flatMap(({ table, columns }) =>
    columns.flatMap(({ column, findings, suggestedGrade }) =>
      findings.map(({ finding }) => `${table}.${column}: ${finding} (asks for grade ${suggestedGrade})`),
    ),
  );
}

const progress = ({ step, done, total, subject }: IngestStep): RegisterDatasetResponse => ({
  reasons: [],
  event: {
    kind: 'progress',
    progress: { step, done: BigInt(Math.floor(done)), total: BigInt(Math.floor(total)), subject },
  },
});
