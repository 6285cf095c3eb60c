import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { historiesIn } from '../../runtime/gateway/jobs/sketch-records.ts';
import { Histories, type SketchesBody, unpacked } from '../../runtime/job/histories.ts';
import type { LabelledSketch } from '../../runtime/release/judge-cells.ts';
import { shapeFor, sketchOf } from '../../runtime/release/sketch.ts';
import { runJob } from '../../runtime/job/run-job.ts';
import { type Ended, type JobWorld, newJob, runAndLook, startJobWorld } from './world.ts';

let world: JobWorld;
before(async () => {
  world = await startJobWorld({ differencing: 'guard' });
});
after(() => world[Symbol.asyncDispose]());

const rowsOf = ({ outcome }: Ended): number => (outcome?.kind === 'released' ? outcome.rows : -1);
const stored = async (): Promise<number> =>
  (await world.store.list<SketchesBody>('sketch')).reduce(
    (sum, { body }) => sum + body.labels.reduce((cells, one) => cells + one.cells, 0),
    0,
  );
const PARTS = 'select ward, count(*) as n from visits group by ward';
const TOTAL = 'select count(*) as n from visits';

describe('a job under `differencing: guard`', () => {
  it('whose release cannot be recorded leaves no sketch, and one that is released leaves them with it', async () => {
    const refused = await runAndLook(world, {
      text: PARTS,
      needs: {
        ledger: {
          ...world.needs.ledger,
          release: () => Promise.resolve({ kind: 'refused', reason: { code: 'stopped' } }),
        },
      },
    });
    assert.notEqual(refused.outcome?.kind, 'released');
    assert.equal(await stored(), 0);
    const released = await runAndLook(world, { text: PARTS });
    assert.ok(rowsOf(released) > 1);
    assert.equal(
      await stored(),
      2 * (rowsOf(released) + 1),
      'each cell, and their sum, by rows and by what they count',
    );
  });

  it('is compared with what was released before a restart', async () => {
    // A history that is read anew from the store is what a restart leaves.
    const [owner = ''] = (await world.store.list('sketch')).map((one) => one.owner);
    const { verdict } = await historiesIn(world.store).judge([owner], 16, (known) => ({
      shown: [],
      sizes: known.map((one) => [...one.values()].map(({ size }) => size)),
    }));
    const cells = (await stored()) / 2;
    assert.deepEqual(verdict.sizes, [[cells, cells]]);
  });

  it('is told that a total is withheld which would give away what the grouping left out', async () => {
    const ended = await runAndLook(world, { text: TOTAL });
    assert.equal(rowsOf(ended), 0);
    assert.ok(ended.outcome?.kind === 'released');
    assert.equal(ended.outcome.withheld.cells, 1n);
    assert.ok(ended.outcome.withheld.reasons.some(({ code }) => code === 'too-close'));
  });

  it('of two that run at once, one sees the other', async () => {
    const fresh = await startJobWorld({ differencing: 'guard' });
    try {
      const jobs = [PARTS, TOTAL].map((text) => newJob(text));
      const outcomes = await Promise.all(
        jobs.map((job) => runJob(fresh.needs, job, { signal: new AbortController().signal, report: () => undefined })),
      );
      const ended = outcomes.map((outcome) => (outcome.kind === 'released' ? outcome.rows : -1));
      assert.notDeepEqual(ended, [2, 1], 'both whole');
      assert.ok(ended[0] === 2 || ended[1] === 1, JSON.stringify(ended));
    } finally {
      await fresh[Symbol.asyncDispose]();
    }
  });
});

describe('stored sketches', () => {
  const cells: LabelledSketch[] = [1, 2, 3].map((i) => ({
    label: `l${i % 2}`,
    sketch: sketchOf(shapeFor(3), [BigInt(i)]),
  }));
  it('that are damaged are refused, not forgotten', async () => {
    const { records } = await new Histories(() => Promise.resolve([])).judge(['o'], 8, () => ({ shown: cells }));
    const [record] = records;
    assert.ok(record !== undefined);
    assert.deepEqual(
      unpacked(record),
      cells.toSorted((a, b) => (a.label < b.label ? -1 : 1)),
    );
    assert.throws(() => unpacked({ ...record, bytes: record.bytes.subarray(4) }), RangeError);
    assert.throws(() => unpacked({ ...record, body: { ...record.body, buckets: 7 } }), RangeError);
    const damaged = new Histories(() => Promise.resolve([{ ...record, bytes: record.bytes.subarray(4) }]));
    await assert.rejects(
      damaged.judge(['o'], 8, () => ({ shown: [] })),
      RangeError,
    );
  });
});
