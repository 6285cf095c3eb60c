import { type Denied, denied } from '../policy/reason.ts';
import type { Basis, ReleaseTerms } from '../release/candidate.ts';
import type { ColumnBatch, Schema } from '../release/columns.ts';
import { passGate, releasedSchema } from '../release/gate.ts';
import type { StoredSketches } from './histories.ts';
import { GENERIC_FAILURE, type WithheldNote } from './job.ts';
import type { JobNeeds, JobRun, Usage } from './needs.ts';
import type { ColumnAccuracy, Prepared } from './prepare.ts';
import { rulesInForce } from './withheld-rules.ts';

/** A result that passed the gate and lies, whole, in a file that nobody can fetch yet. */
export interface Disclosed {
  readonly kind: 'disclosed';
  readonly schema: Schema;
  readonly rows: number;
  readonly bytes: number;
  readonly sha256: string;
  readonly framesSha256?: string;
  readonly withheld: WithheldNote;
  readonly errors: readonly ColumnAccuracy[];
  readonly usage: Usage;
  /** Makes the file survive a loss of power. */
  readonly settle: () => Promise<void>;
  /** To be stored with the release. */
  readonly sketches: readonly StoredSketches[];
  readonly discard: () => Promise<void>;
}

/**
 * Runs the computation and passes every batch through the release gate into the result's file. Memory stays flat: a
 * batch is gone when the next one comes. What the worker answers waits for `durable`, the reservation on disk.
 */
export async function disclose(
  needs: JobNeeds,
  jobId: string,
  prepared: Prepared,
  run: JobRun,
  durable: Promise<void> = Promise.resolve(),
): Promise<Disclosed | Denied> {
  const { terms, schema, certificates, basis, isOrdered } = prepared;
  const outputs = releasedSchema(terms);
  const execution = prepared.execute(run.signal, run.progress);
  const batches = new OnceDurable(execution.batches, durable);
  const writer = await batches.meanwhile(() => needs.openResult(jobId, outputs));
  try {
    let rows = 0;
    let bytes = 0;
    for await (const batch of batches) {
      run.signal.throwIfAborted();
      if (rows === 0) run.report('disclose');
      const left = { ...terms, maxRows: terms.maxRows - rows, maxBytes: terms.maxBytes - bytes };
      if (prepared.mediaType !== undefined) {
        const opaque = passOpaque(execution.basis?.() ?? basis, prepared.mediaType, batch, left);
        if (opaque.kind === 'denied') {
          await writer.discard();
          return opaque;
        }
        await writer.write(opaque.batch);
        rows += opaque.batch.rowCount;
        bytes += opaque.bytes;
        continue;
      }
      const released = passGate(
        { kind: 'table', basis: execution.basis?.() ?? basis, schema, certificates, batches: [batch], isOrdered },
        left,
      );
      if (released.kind === 'denied') {
        await writer.discard();
        return released;
      }
      if (released.content !== 'table') throw new Error('the gate answered a table with something else');
      for (const one of released.batches) await writer.write(one);
      rows += released.rows;
      bytes += released.bytes;
    }
    const summary = execution.summary();
    if (summary.kind === 'failed') {
      await writer.discard();
      return denied(summary.reason ?? GENERIC_FAILURE);
    }
    const file = await writer.finish();
    return {
      kind: 'disclosed',
      schema: outputs,
      rows,
      ...file,
      withheld: { ...summary.withheld, reasons: rulesInForce(terms, prepared) },
      errors: summary.errors ?? [],
      sketches: summary.sketches ?? [],
      usage: {
        rowsScanned: summary.rowsScanned,
        cellsReleased: rows * terms.outputs.filter(({ role }) => role !== 'key').length,
        bytesReleased: file.bytes,
        cpuMs: summary.cpuMs,
      },
      settle: () => writer.settle(),
      discard: () => writer.discard(),
    };
  } catch (error) {
    await writer.discard();
    throw error;
  }
}

/**
 * Starts the worker at once and gives out its batches from `durable` on. INVARIANT: nothing that rests on rows is looked at
 * by this process, told or written before the debit is on disk: the end of a job, good or bad, is a later transaction, and
 * those keep their order. A crash in between loses a computation that nobody heard of, and with it the debit: as if the
 * machine had died a moment before the job began.
 */
class OnceDurable implements AsyncIterable<ColumnBatch> {
  readonly #iterator: AsyncIterator<ColumnBatch>;
  readonly #first: Promise<IteratorResult<ColumnBatch>>;
  readonly #durable: Promise<void>;

  constructor(batches: AsyncIterable<ColumnBatch>, durable: Promise<void>) {
    this.#iterator = batches[Symbol.asyncIterator]();
    this.#first = this.#iterator.next();
    // It is awaited below, or its failure no longer matters.
    this.#first.catch(() => undefined);
    this.#durable = durable;
  }

  /** Does something else once the debit is on disk, while the worker works; if that fails the worker is stopped. */
  async meanwhile<T>(work: () => Promise<T>): Promise<T> {
    try {
      await this.#durable;
      return await work();
    } catch (error) {
      await this.#iterator.return?.();
      throw error;
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<ColumnBatch> {
    try {
      await this.#durable;
      for (let one = await this.#first; one.done !== true; one = await this.#iterator.next()) yield one.value;
    } finally {
      await this.#iterator.return?.();
    }
  }
}

/** Bytes that only the asker can read pass the gate as such; they travel as 64-bit words, the only form a result has. */
function passOpaque(
  basis: Basis,
  mediaType: string,
  batch: ColumnBatch,
  terms: ReleaseTerms,
): { readonly kind: 'passed'; readonly batch: ColumnBatch; readonly bytes: number } | Denied {
  const released = passGate({ kind: 'opaque', basis, mediaType, bytes: batch.columns[0]?.values ?? EMPTY }, terms);
  if (released.kind === 'denied') return released;
  if (released.content !== 'opaque' || released.payload.byteLength % WORD_BYTES !== 0)
    throw new Error('an opaque result is not made of whole words');
  const columns = [{ validity: null, values: released.payload, offsets: null }];
  return {
    kind: 'passed',
    batch: { rowCount: released.payload.byteLength / WORD_BYTES, columns },
    bytes: released.bytes,
  };
}

const EMPTY = new Uint8Array(0);
const WORD_BYTES = 8;
