import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runHomomorphicBench } from '../../benchmarks/homomorphic/bench.ts';

test('the benchmark checks every answer against plaintext and says what it ran on', async () => {
  const seen: string[] = [];
  const { machine, rows } = await runHomomorphicBench({
    sizes: [5000],
    workers: [1],
    runs: 1,
    programs: ['sum', 'group sums, 16 groups', 'dot product'],
    primitives: false,
    onRow: (row) => seen.push(row.kind),
  });
  assert.equal(machine.node, process.version);
  assert.equal(seen.length, 3);
  for (const row of rows) {
    assert.ok(row.kind === 'program' && row.isCorrect && row.securityBits >= 128);
    assert.ok(row.plaintextDuckDb.medianMs > 0 && row.stages.compute.medianMs > 0 && row.slowdownAgainstDuckDb > 0);
    assert.ok((row.noiseBitsLeftMeasured ?? 0) >= row.noiseBitsLeftWorstCase);
  }
});
