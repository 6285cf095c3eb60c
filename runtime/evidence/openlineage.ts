import { createHash } from 'node:crypto';
import type { Json } from './canonical-json.ts';
import type { EvidenceEvent } from './entry.ts';

/** Who says it; facets of our own are described under the same address. */
const PRODUCER = 'https://glovebox.dev/ns/v1';
const SPEC = 'https://openlineage.io/spec';
const SCHEMA_URL = `${SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent`;

/** A run event of OpenLineage 2-0-2, as JSON. */
export type RunEvent = { readonly [key: string]: Json };

interface Run {
  readonly job: string;
  readonly inputs: readonly Json[];
  /** Digest of the computation as it was run: jobs that ask the same are runs of one OpenLineage job. */
  readonly computation: string;
  readonly facets: { readonly [key: string]: Json };
}

/**
 * The log as OpenLineage run events: START with its input datasets when a job was permitted, then COMPLETE with the
 * result as output, FAIL or ABORT. Give `visit` to verifyLog, so that only verified entries are told. A job that was
 * denied never ran and has no events. `origin` is the log's name: the namespace of its datasets and jobs.
 */
export function openLineageOf(
  origin: string,
  emit: (event: RunEvent) => void,
): { readonly visit: (event: EvidenceEvent, index: number) => void } {
  const namespace = `glovebox://${origin}`;
  const running = new Map<string, Run>();
  const tell = (eventType: string, { atMs }: EvidenceEvent, run: Run, outputs: readonly Json[]): void =>
    emit({
      eventType,
      eventTime: new Date(atMs).toISOString(),
      producer: PRODUCER,
      schemaURL: SCHEMA_URL,
      run: { runId: runIdOf(origin, run.job), facets: run.facets },
      job: {
        namespace,
        name: run.computation,
        facets: {
          jobType: facet('facets/2-0-4/JobTypeJobFacet.json#/$defs/JobTypeJobFacet', {
            processingType: 'BATCH',
            integration: 'GLOVEBOX',
            jobType: 'QUERY',
          }),
        },
      },
      inputs: run.inputs,
      outputs,
    });

  const visit = (event: EvidenceEvent, index: number): void => {
    const job = event.subjects.find(({ name }) => name.startsWith('job/'))?.name.slice('job/'.length);
    if (job === undefined) return;
    if (event.kind === 'decision' && event.facts['verdict'] === 'permit') {
      const run = runOf(namespace, job, event, index);
      running.set(job, run);
      tell('START', event, run, []);
      return;
    }
    const run = running.get(job);
    if (run === undefined) return;
    if (event.kind === 'release') tell('COMPLETE', event, run, outputsOf(namespace, event));
    else if (event.kind === 'job.failed') tell('FAIL', event, run, []);
    else if (event.kind === 'job.cancelled') tell('ABORT', event, run, []);
    else return;
    running.delete(job);
  };
  return { visit };
}

function runOf(namespace: string, job: string, event: EvidenceEvent, index: number): Run {
  const named = (word: string): readonly { readonly name: string; readonly sha256: string }[] =>
    event.subjects.filter(({ name }) => name.startsWith(`${word}/`));
  const digested = ({ name, sha256 }: { readonly name: string; readonly sha256: string }): Json => ({ name, sha256 });
  const [computation] = named('computation');
  return {
    job,
    computation: `sha256:${computation?.sha256 ?? named('job')[0]?.sha256 ?? ''}`,
    inputs: named('dataset').map(({ name, sha256 }) => {
      const [dataset = '', version = ''] = name.slice('dataset/'.length).split('@');
      return {
        namespace,
        name: dataset,
        facets: {
          version: facet('facets/1-0-1/DatasetVersionDatasetFacet.json#/$defs/DatasetVersionDatasetFacet', {
            datasetVersion: `${version} sha256:${sha256}`,
          }),
        },
      };
    }),
    facets: {
      glovebox_decision: {
        _producer: PRODUCER,
        _schemaURL: `${SPEC}/2-0-2/OpenLineage.json#/$defs/RunFacet`,
        logIndex: index,
        agreements: named('agreement').map(digested),
        policies: named('policy').map(digested),
        rules: (event.facts['rules'] ?? []) as Json,
        mode: event.facts['mode'] ?? '',
        image: event.facts['image'] ?? '',
        isolation: event.facts['isolation'] ?? '',
      },
    },
  };
}

function outputsOf(namespace: string, event: EvidenceEvent): readonly Json[] {
  const { rows, bytes } = event.facts;
  return event.subjects
    .filter(({ name }) => name.startsWith('result/'))
    .map(({ name, sha256 }) => ({
      namespace,
      name,
      facets: {
        version: facet('facets/1-0-1/DatasetVersionDatasetFacet.json#/$defs/DatasetVersionDatasetFacet', {
          datasetVersion: `sha256:${sha256}`,
        }),
      },
      outputFacets: {
        outputStatistics: facet(
          'facets/1-0-2/OutputStatisticsOutputDatasetFacet.json#/$defs/OutputStatisticsOutputDatasetFacet',
          {
            ...(typeof rows === 'number' ? { rowCount: rows } : {}),
            ...(typeof bytes === 'number' ? { size: bytes } : {}),
          },
        ),
      },
    }));
}

function facet(schema: string, content: { readonly [key: string]: Json }): Json {
  return { _producer: PRODUCER, _schemaURL: `${SPEC}/${schema}`, ...content };
}

/** OpenLineage wants a UUID: a name-based one (RFC 9562 version 8, SHA-256), so that every export says the same. */
function runIdOf(origin: string, job: string): string {
  const bytes = createHash('sha256').update(`glovebox:run\n${origin}\n${job}`).digest().subarray(0, 16);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x80;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
