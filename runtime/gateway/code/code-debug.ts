import type { DebugJobRequest, DebugJobResponse } from '../../gen/messages.ts';
import type { DatasetManifest } from '../../dataset/metadata.ts';
import { agreementsOf } from '../../job/admit.ts';
import type { Job } from '../../job/job.ts';
import type { JobNeeds } from '../../job/needs.ts';
import { type Reason, reason } from '../../policy/reason.ts';
import { grantsFor } from '../../policy/rights.ts';
import { columnFromCells } from '../../release/column-values.ts';
import type { Complaint } from '../../sandbox/javascript/complaint.ts';
import type { JavaScriptComputation } from '../../sandbox/javascript/computation.ts';
import { collectSource } from '../../sandbox/javascript/collect-source.ts';
import { computationOfMessage } from '../../sandbox/javascript/from-message.ts';
import { pooledWorkers } from '../../sandbox/javascript/pooled-workers.ts';
import { prepareComputation } from '../../sandbox/javascript/prepared.ts';
import { prepareInWorker } from '../../sandbox/javascript/prepare-in-worker.ts';
import { runOnTwin } from '../../sandbox/javascript/run-post.ts';
import type { ColumnSource } from '../../sandbox/javascript/source.ts';
import type { WorkerPool } from '../../sandbox/pool.ts';
import { twinTables } from '../datasets/twin-tables.ts';

export interface CodeDebugNeeds {
  readonly pool: WorkerPool;
  readonly jobNeeds: Pick<JobNeeds, 'activeAgreements' | 'nowMs'>;
  readonly manifestOf: (dataset: string) => Promise<DatasetManifest>;
}

/** Time of one run on a twin, milliseconds. */
const DEBUG_MS = 10_000;
/** Rows for which a row function's numbers are shown. */
const SHOWN_ROWS = 20;
const UNIT = '__gb_unit';

/**
 * Runs code on a synthetic twin and answers everything that it said: the one place where errors, stacks and console of consumer
 * code go to the consumer. The twin is made of the policy alone, so there is nothing to protect.
 */
export async function debugCode(
  needs: CodeDebugNeeds,
  asker: Pick<Job, 'asker' | 'agreementIds'>,
  request: DebugJobRequest,
  signal: AbortSignal,
): Promise<DebugJobResponse> {
  const { program } = request;
  if (program === null) return refused(reason('program-not-valid', 'there is no program'));
  const parsed = computationOfMessage(program);
  if (parsed.kind === 'refused') return refused(...parsed.reasons.map((text) => reason('program-not-valid', text)));
  return runOnSyntheticRows(needs, asker, parsed.computation, { ...request, timeoutMs: DEBUG_MS, signal });
}

interface SyntheticRun {
  /** Rows of the twin; 0 means the default. */
  readonly rows: number;
  readonly seed: number;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** The same for a program that was read already. */
export async function runOnSyntheticRows(
  needs: CodeDebugNeeds,
  asker: Pick<Job, 'asker' | 'agreementIds'>,
  computation: JavaScriptComputation,
  run: SyntheticRun,
): Promise<DebugJobResponse> {
  const { signal } = run;
  if (computation.mode === 'post')
    return refused(reason('program-not-valid', 'code over released results is debugged with the results themselves'));
  const twin = await twinSource(needs, asker, computation, run);
  if ('code' in twin) return refused(twin);

  const workers = pooledWorkers(needs.pool, { party: asker.asker.party, signal });
  if (computation.mode === 'rowFunction') {
    // The checker's complaints first: what it refuses would never run on rows.
    const checked = await prepareComputation(workers, computation, { columns: twin.columns, rowsPerUnit: 1 });
    if (checked.kind === 'refused') return refused(...checked.reasons.map(reasonOf));
  }
  const source = computation.mode === 'rowFunction' ? overRows(computation.source) : computation.source;
  const prepared = await prepareInWorker(workers, { language: computation.language, source });
  if (prepared.kind === 'refused') return refused(...prepared.reasons.map(reasonOf));
  if (prepared.kind !== 'program') return refused(reason('program-not-readable', 'the program could not be read'));
  const ran = await runOnTwin(workers, { factory: prepared.factory }, twin, {
    tier: 'balanced',
    timeoutMs: run.timeoutMs,
    nowMs: needs.jobNeeds.nowMs(),
    seed: run.seed,
    libraries: computation.libraries ?? [],
    signal,
  });
  if (ran.kind === 'failed')
    return refused(reason('program-failed', `the program ended without an answer: ${ran.detail}`));
  return { console: ran.console, result: ran.result ?? '', error: ran.error ?? '', reasons: [] };
}

const refused = (...reasons: readonly Reason[]): DebugJobResponse => ({ console: [], result: '', error: '', reasons });

const reasonOf = ({ line, column, message }: Complaint): Reason =>
  reason('program-refused', message, { at: { line, column } });

/** The row function over the first rows, as plain code. Only ever run on a twin. */
function overRows(source: string): string {
  const main = source.trim().replace(/;+$/, '');
  return `const $row=(
${main}
);
export default (input) => Array.from({ length: Math.min(input.rows, ${SHOWN_ROWS}) }, (_, i) => {
  const row = {};
  for (const name of Object.keys(input.columns)) {
    const value = input.columns[name][i], labels = input.labels?.[name];
    row[name] = labels === undefined ? (value === value ? value : undefined) : (labels[value] ?? null);
  }
  return { row, result: $row(row) };
});`;
}

async function twinSource(
  needs: CodeDebugNeeds,
  { asker, agreementIds }: Pick<Job, 'asker' | 'agreementIds'>,
  computation: Exclude<JavaScriptComputation, { readonly mode: 'post' }>,
  { rows, seed }: Pick<SyntheticRun, 'rows' | 'seed'>,
): Promise<ColumnSource | Reason> {
  const agreements = agreementsOf(needs.jobNeeds, { asker, agreementIds });
  if ('kind' in agreements) return agreements.reasons[0] ?? reason('agreement-not-active', 'no agreement is active');
  const names: string[] = [];
  for (const { dataset, policy } of agreements) {
    const manifest = await needs.manifestOf(dataset);
    const mayRead = (column: (typeof policy.tables)[number]['columns'][number]): boolean =>
      grantsFor(column, asker.party, asker.groups).length > 0;
    for (const { name, schema, batch } of twinTables(manifest, policy, { rows, seed, mayRead })) {
      names.push(name);
      if (name !== computation.table && dataset !== computation.table && `${dataset}.${name}` !== computation.table)
        continue;
      const groupBy = computation.mode === 'blocks' ? undefined : computation.groupBy;
      const wanted = [...new Set([...computation.columns, ...(groupBy === undefined ? [] : [groupBy.column])])];
      const places = wanted.map((column) => schema.findIndex((one) => one.name === column));
      const missing = wanted.filter((_, i) => places[i] === -1);
      if (missing.length > 0)
        return reason('column-not-granted', `\`${missing.join('`, `')}\` may not be read by code`);
      const unit = columnFromCells(
        { kind: 'int32' },
        Array.from({ length: batch.rowCount }, (_, i) => i),
      );
      const picked = places.map((place) => schema[place]).filter((column) => column !== undefined);
      const columns = places.map((place) => batch.columns[place]).filter((column) => column !== undefined);
      return collectSource([...picked, { name: UNIT, type: { kind: 'int32' }, nullable: false }], UNIT, [
        { rowCount: batch.rowCount, columns: [...columns, unit] },
      ]);
    }
  }
  return reason('table-unknown', `table \`${computation.table}\` is not in the datasets of the job`, {
    remedy: `tables: ${names.join(', ')}`,
  });
}
