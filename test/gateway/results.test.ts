import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fc } from '../property.ts';
import { RESULT_LIFE_MS, Results } from '../../runtime/gateway/results/results.ts';
import type { WrittenResult } from '../../runtime/job/needs.ts';
import type { ColumnBatch, Schema } from '../../runtime/release/columns.ts';
import { FlightReader } from '../../runtime/rpc/flight-framing.ts';

const SCHEMA: Schema = [{ name: 'n', type: { kind: 'int64' }, nullable: false }];
const batchOf = (...values: readonly bigint[]): ColumnBatch => ({
  rowCount: values.length,
  columns: [{ validity: null, offsets: null, values: new Uint8Array(BigInt64Array.from(values).buffer) }],
});
const manyFrom = (first: number): ColumnBatch =>
  batchOf(...Array.from({ length: 50_000 }, (_, row) => BigInt(first + row)));

let folder: string;
let results: Results;
before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'glovebox-results-'));
  results = await Results.open(folder, () => Promise.resolve(true));
});
after(() => rmSync(folder, { recursive: true, force: true }));

const recorded = new Map<string, WrittenResult>();
async function framesOf(id: string): Promise<Uint8Array[]> {
  const frames: Uint8Array[] = [];
  for await (const frame of results.read(id, recorded.get(id) ?? { bytes: 0, sha256: '' })) frames.push(frame);
  return frames;
}

async function release(id: string, ...batches: readonly ColumnBatch[]): Promise<WrittenResult> {
  const writer = await results.create(id, SCHEMA);
  for (const batch of batches) await writer.write(batch);
  const written = await writer.finish();
  recorded.set(id, written);
  return written;
}

describe('results', () => {
  it('that are small are handed over once as they lie in their file, and no more when they were removed', async () => {
    await release('job-fresh', batchOf(1n, 2n), batchOf(3n));
    const latest = results.take('job-fresh');
    assert.deepEqual(
      latest?.map((frame) => Buffer.from(frame)),
      (await framesOf('job-fresh')).map((frame) => Buffer.from(frame)),
    );
    assert.equal(results.take('job-fresh'), null);
    await release('job-gone', batchOf(1n));
    await results.remove('job-gone');
    assert.equal(results.take('job-gone'), null);
    await release('job-first', batchOf(1n));
    for (let n = 0; n < 32; n += 1) await release(`job-next-${n}`, batchOf(1n));
    assert.equal(results.take('job-first'), null, 'of many only the latest are remembered');
    const discarded = await results.create('job-discarded', SCHEMA);
    await discarded.write(batchOf(1n));
    await discarded.finish();
    await discarded.discard();
    assert.equal(results.take('job-discarded'), null, 'what did not leave is not there to be taken');
    await release('job-wide', manyFrom(0));
    assert.equal(results.take('job-wide'), null);
  });

  it('are read back as they were written, whatever the sizes of their batches', async () => {
    let next = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 50_000 }), { maxLength: 12 }), async (rowCounts) => {
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
    // Neither do two copies of it pass for one.
    const wrong = [...Array(whole.length).keys()].map((size) => whole.subarray(0, size));
    for (const bytes of [...wrong, Buffer.concat([whole, whole])]) {
      writeFileSync(join(folder, 'job-cut.frames'), bytes);
      await assert.rejects(framesOf('job-cut'), { code: 'result-changed' }, `of ${bytes.length} bytes`);
    }
  });

  it('that are large never give out a byte that was changed, wherever it is', async () => {
    const written = await release('job-large', ...Array.from({ length: 8 }, (_, at) => manyFrom(at * 100_000)));
    assert.ok(written.framesSha256);
    const path = join(folder, 'job-large.frames');
    const original = readFileSync(path);
    const frames = await framesOf('job-large');
    await results.copy('job-large', 'job-copy', written);
    assert.deepEqual(readFileSync(join(folder, 'job-copy.frames')), original, 'a copy can be checked like it');
    const end = original.length;
    const places = [
      0,
      3,
      4,
      5,
      200,
      frames[0]?.length ?? 0,
      end >> 2,
      end >> 1,
      end - 200,
      end - 132,
      end - 131,
      end - 1,
    ];
    for (const place of places) {
      const changed = Buffer.from(original);
      changed[place] = (changed[place] ?? 0) ^ 1;
      writeFileSync(path, changed);
      const given: Uint8Array[] = [];
      const reading = async (): Promise<void> => {
        for await (const frame of results.lend('job-large', written)) given.push(Uint8Array.from(frame));
      };
      await assert.rejects(reading(), { code: 'result-changed' }, `changed at ${place}`);
      assert.ok(given.length < frames.length);
      assert.deepEqual(given, frames.slice(0, given.length), `changed at ${place}`);
      assert.equal(results.exists('job-large'), false, 'and it is kept no more');
    }
    for (const size of [0, 2, 4, 1000, end >> 1, end - 128, end - 1]) {
      writeFileSync(path, original.subarray(0, size));
      await assert.rejects(framesOf('job-large'), { code: 'result-changed' }, `cut at ${size}`);
    }
    writeFileSync(path, Buffer.concat([original, Buffer.alloc(36)]));
    await assert.rejects(framesOf('job-large'), { code: 'result-changed' });
  });

  it('that are large and of a version that kept no digests of frames hold the last one back until all is compared', async () => {
    const { bytes, sha256 } = await release('job-older', ...Array.from({ length: 6 }, (_, at) => manyFrom(at)));
    const path = join(folder, 'job-older.frames');
    const frames = await framesOf('job-older');
    const original = readFileSync(path).subarray(0, bytes + 4 * frames.length);
    recorded.set('job-older', { bytes, sha256 });
    writeFileSync(path, original);
    assert.deepEqual(await framesOf('job-older'), frames);
    const changed = Buffer.from(original);
    changed[1000] = (changed[1000] ?? 0) ^ 1;
    writeFileSync(path, changed);
    let given = 0;
    const reading = async (): Promise<void> => {
      for await (const _ of results.lend('job-older', { bytes, sha256 })) given += 1;
    };
    await assert.rejects(reading(), { code: 'result-changed' });
    assert.equal(given, frames.length - 1);
  });

  it('that are small now and were large for an earlier version are read by the digests that it kept', async () => {
    const written = await release('job-between', manyFrom(0));
    assert.equal(written.framesSha256, undefined);
    const frames = await framesOf('job-between');
    const path = join(folder, 'job-between.frames');
    const digests = Buffer.concat(frames.map((frame) => hash('sha256', frame, 'buffer')));
    const original = Buffer.concat([readFileSync(path), Buffer.alloc(4), digests]);
    recorded.set('job-between', { ...written, framesSha256: hash('sha256', digests) });
    writeFileSync(path, original);
    assert.deepEqual(await framesOf('job-between'), frames);
    original[1000] = (original[1000] ?? 0) ^ 1;
    writeFileSync(path, original);
    await assert.rejects(framesOf('job-between'), { code: 'result-changed' });
  });

  it('that are garbage fail without reading more than their length says they may', async () => {
    for (const bytes of [200, 1 << 20]) {
      recorded.set('job-bad', { bytes, sha256: '00' });
      writeFileSync(join(folder, 'job-bad.frames'), Buffer.alloc(64, 0xff));
      await assert.rejects(framesOf('job-bad'), { code: 'result-changed' });
    }
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), fc.boolean(), async (garbage, isIndexed) => {
        recorded.set('job-bad', { bytes: 1 << 20, sha256: '00', ...(isIndexed ? { framesSha256: '00' } : {}) });
        writeFileSync(join(folder, 'job-bad.frames'), garbage);
        await assert.rejects(framesOf('job-bad'), { code: 'result-changed' });
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
    writeFileSync(join(folder, 'job-half.frames.part'), '');
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
