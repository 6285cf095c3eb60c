import { encodeParts } from './columns.ts';
import type { ColumnBatch } from './columns.ts';
import { guestTerms } from './lanes.ts';
import { answerBytes, withWorker } from './lease.ts';
import { javascriptLimits } from './limits.ts';
import type { ColumnSource, JobFailed, RunTerms } from './source.ts';
import { statusOf } from './status.ts';
import { bodyTaken, nextAnswer, sendColumns, sendEnd, startJob } from './worker-link.ts';
import type { JavaScriptWorkers } from './worker-link.ts';

/** Runs code over results that were already released to the same consumer; JSON in, JSON out. */
export async function runPost(
  workers: JavaScriptWorkers,
  job: { readonly factory: string; readonly input: unknown },
  terms: RunTerms,
): Promise<{ readonly kind: 'done'; readonly value: unknown } | JobFailed> {
  const input = JSON.stringify(job.input);
  if (Buffer.byteLength(input) > javascriptLimits.postBytes)
    return { kind: 'failed', detail: 'the released results are too large' };
  const guest = guestTerms(job.factory, emptySource, terms);
  return withWorker(workers, { ...terms, wallMs: terms.timeoutMs + javascriptLimits.startMs }, async (worker) => {
    const maxBytes = javascriptLimits.postBytes;
    await startJob(worker, { kind: 'post', terms: guest, input, maxBytes });
    const bytes = await nextAnswer(worker, {
      maxBytes: maxBytes + 1,
      timeoutMs: terms.timeoutMs + javascriptLimits.graceMs,
    });
    const status = statusOf(bytes[0]);
    if (status !== 'ok') return { kind: 'failed', detail: status ?? 'not an answer' };
    const value = decodeJson(bytes.subarray(1));
    return value === undefined ? { kind: 'failed', detail: 'not JSON' } : { kind: 'done', value: value.json };
  });
}

/** Runs code on synthetic data for its author and returns everything it said. Never call it with a dataset's rows. */
export async function runOnTwin(
  workers: JavaScriptWorkers,
  job: { readonly factory: string },
  twin: ColumnSource,
  terms: RunTerms,
): Promise<
  | { readonly kind: 'done'; readonly console: readonly string[]; readonly result?: string; readonly error?: string }
  | JobFailed
> {
  const batches: ColumnBatch[] = [];
  for await (const batch of twin.batches()) batches.push(batch);
  const parts = batches.map((batch) => ({ batch }));
  return withWorker(workers, { ...terms, wallMs: terms.timeoutMs + javascriptLimits.startMs }, async (worker) => {
    const maxCharacters = javascriptLimits.debugCharacters;
    await startJob(worker, { kind: 'debug', terms: guestTerms(job.factory, twin, terms), maxCharacters });
    await sendColumns(
      worker,
      { bytes: encodeParts(twin.columns, parts), rows: batches.reduce((sum, batch) => sum + batch.rows, 0) },
      0,
    );
    await sendEnd(worker);
    await bodyTaken(worker, terms.timeoutMs);
    const bytes = await nextAnswer(worker, {
      maxBytes: answerBytes,
      timeoutMs: terms.timeoutMs + javascriptLimits.graceMs,
    });
    const said = decodeJson(bytes)?.json;
    if (typeof said !== 'object' || said === null) return { kind: 'failed', detail: 'not an answer' };
    const { console: lines, result, error } = said as Record<string, unknown>;
    return {
      kind: 'done',
      console: Array.isArray(lines) ? lines.filter((line) => typeof line === 'string') : [],
      ...(typeof result === 'string' ? { result } : {}),
      ...(typeof error === 'string' ? { error } : {}),
    };
  });
}

const emptySource: ColumnSource = { columns: [], dictionaries: new Map(), units: 0, batches: () => [] };

function decodeJson(bytes: Uint8Array): { readonly json: unknown } | undefined {
  try {
    const json: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    return isShallow(json, javascriptLimits.postDepth) ? { json } : undefined;
  } catch {
    return undefined;
  }
}

function isShallow(value: unknown, depth: number): boolean {
  if (typeof value !== 'object' || value === null) return true;
  return depth > 0 && Object.values(value).every((each) => isShallow(each, depth - 1));
}
