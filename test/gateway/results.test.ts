import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import * as fc from 'fast-check';
import { RESULT_LIFE_MS, type RecordedResult, Results } from '../../runtime/gateway/results.ts';
import type { ColumnBatch, Schema } from '../../runtime/release/columns.ts';
import { FlightReader } from '../../runtime/rpc/flight-framing.ts';

const SCHEMA: Schema = [{ name: 'n', type: { kind: 'int64' }, nullable: false }];
const batchOf = (...values: readonly bigint[]): ColumnBatch => ({
  rowCount: values.length,
  columns: [{ validity: null, offsets: null, values: new Uint8Array(BigInt64Array.from(values).buffer) }],
});

let folder: string;
let results: Results;
before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'glovebox-results-'));
  results = await Results.open(folder, () => Promise.resolve(true));
});
after(() => rmSync(folder, { recursive: true, force: true }));

const recorded = new Map<string, RecordedResult>();
async function framesOf(id: string): Promise<Uint8Array[]> {
  const frames: Uint8Array[] = [];
  for await (const frame of results.read(id, recorded.get(id) ?? { bytes: 0, sha256: '' })) frames.push(frame);
  return frames;
}

async function release(id: string, ...batches: readonly ColumnBatch[]): Promise<{ bytes: number; sha256: string }> {
  const writer = await results.create(id, SCHEMA);
  for (const batch of batches) await writer.write(batch);
  const written = await writer.finish();
  recorded.set(id, written);
  return written;
}

describe('results', () => {
  it('are read back as they were written, whatever the sizes of their batches', async () => {
    let next = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 50_000 }), { maxLength: 6 }), async (rowCounts) => {
        next += 1;
        const written = rowCounts.map((size, at) => Array.from({ length: size }, (_, row) => BigInt(row * 7 + at)));
        await release(`job-p${next}`, ...written.map((values) => batchOf(...values)));
        const reader = new FlightReader();
        const read: bigint[] = [];
        for (const frame of await framesOf(`job-p${next}`)) {
          for (const row of reader.read(frame)?.toArray() ?? [])
            read.push((row as unknown as { readonly n: bigint }).n);
        }
        assert.deepEqual(read, written.flat());
      }),
      { numRuns: 8 },
    );
  });

  it('do not exist under their name before they are whole, nor after they were discarded', async () => {
    const writer = await results.create('job-half', SCHEMA);
    await writer.write(batchOf(1n));
    assert.equal(results.exists('job-half'), false);
    await writer.discard();
    assert.deepEqual(
      readdirSync(folder).filter((name) => name.startsWith('job-half')),
      [],
    );
    const second = await results.create('job-half', SCHEMA);
    await second.finish();
    assert.equal(results.exists('job-half'), true);
    await second.discard(); // after a release that could not be recorded
    assert.equal(results.exists('job-half'), false);
    await second.discard();
  });

  it('that were cut off anywhere fail when read, and never pass for a shorter whole', async () => {
    await release('job-cut', batchOf(1n, 2n, 3n), batchOf(4n));
    const whole = readFileSync(join(folder, 'job-cut.frames'));
    for (let size = whole.length - 1; size >= 0; size -= 1) {
      truncateSync(join(folder, 'job-cut.frames'), size);
      await assert.rejects(framesOf('job-cut'), /not whole/, `cut at ${size}`);
    }
    // Neither do two copies of it pass for one.
    writeFileSync(join(folder, 'job-cut.frames'), Buffer.concat([whole, whole]));
    await assert.rejects(framesOf('job-cut'), /not whole/);
  });

  it('that are garbage fail without reading more than their length says they may', async () => {
    writeFileSync(join(folder, 'job-bad.frames'), Buffer.alloc(64, 0xff));
    await assert.rejects(framesOf('job-bad'), /too long/);
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (bytes) => {
        writeFileSync(join(folder, 'job-bad.frames'), bytes);
        await framesOf('job-bad').catch((error: unknown) => assert.ok(error instanceof Error));
      }),
      { numRuns: 50 },
    );
  });

  it('cannot be asked for under a name that leads elsewhere', async () => {
    for (const id of ['../keys/units', 'job/1', '', 'JOB', 'a'.repeat(81), 'job-1.frames', '.', '\0'])
      await assert.rejects(async () => results.exists(id), /not a job id/);
  });

  it('whose release was never recorded are removed at the next start, and so are half written ones', async () => {
    await release('job-known', batchOf(1n));
    await release('job-lost', batchOf(1n));
    writeFileSync(join(folder, 'job-part.frames.part'), 'half');
    writeFileSync(join(folder, 'stray.tmp'), '');
    await Results.open(folder, (id) => Promise.resolve(id === 'job-known'));
    assert.deepEqual(readdirSync(folder), ['job-known.frames']);
  });

  it('are removed when their time is over, not before', async () => {
    await release('job-old', batchOf(1n));
    const now = Date.now();
    const old = new Date(now - RESULT_LIFE_MS - 1000);
    utimesSync(join(folder, 'job-old.frames'), old, old);
    await release('job-new', batchOf(1n));
    await results.sweep(now);
    assert.equal(results.exists('job-old'), false);
    assert.equal(results.exists('job-new'), true);
  });
});
