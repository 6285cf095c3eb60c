import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { loadImage } from '../../runtime/sandbox/image.ts';
import { imageLibraries } from '../../runtime/sandbox/javascript/libraries.ts';
import { runOnTwin } from '../../runtime/sandbox/javascript/run-post.ts';
import { buildLibraries } from '../../sandbox-images/javascript/build.ts';
import { factory, jailedWorkers, numbersSource, terms } from './jailed.ts';

const root = join(import.meta.dirname, '..', '..');
const { pool, workers } = await jailedWorkers(3);
const x = Array.from({ length: 100 }, (_, i) => i % 10);

/** A use of each library, and what it must give. */
const uses: Readonly<Record<string, readonly [code: string, expected: string]>> = {
  'simple-statistics': ['ss.linearRegression(Array.from(i.columns.x, (v, k) => [v, i.columns.y[k]])).m', '2'],
  'd3-array': ['[d3.median(i.columns.x), d3.quantile(i.columns.y, 0.25)]', '[4.5,5]'],
  'ml-matrix': [
    'mlMatrix.solve(new mlMatrix.Matrix([[2, 0], [0, 4]]), mlMatrix.Matrix.columnVector([2, 8])).to1DArray()',
    '[1,2]',
  ],
  'ml-regression': ['new mlRegression.SLR(Array.from(i.columns.x), Array.from(i.columns.y)).slope', '2'],
  'ml-kmeans': [
    'mlKmeans.kmeans([[1, 1], [1, 2], [9, 9], [9, 8]], 2, { initialization: [[1, 1], [9, 9]] }).centroids',
    '[[1,1.5],[9,8.5]]',
  ],
  'ml-pca': [
    'new mlPca.PCA([[1, 2], [2, 4], [3, 6.1]]).getExplainedVariance().map((v) => Math.round(v * 1000))',
    '[1000,0]',
  ],
  'ml-logistic-regression': [
    '(() => { const { Matrix } = mlMatrix; const l = new mlLogisticRegression({ numSteps: 200, learningRate: 0.05 }); l.train(new Matrix([[0], [1], [8], [9]]), Matrix.columnVector([0, 0, 1, 1])); return Array.from(l.predict(new Matrix([[0], [9]]))) })()',
    '[0,1]',
  ],
  jstat: ['Math.round(jStat.normal.cdf(1.96, 0, 1) * 1e6)', '975002'],
};

suite('the image', () => {
  test('every library loads and works in the hardened realm', async () => {
    await Promise.all(
      imageLibraries.map(async ({ file }) => {
        const [code, expected] = uses[file] ?? ['', ''];
        const libraries = file === 'ml-logistic-regression' ? ['ml-matrix', file] : [file];
        const said = await runOnTwin(workers, { factory: factory(`(i) => (${code})`) }, numbersSource(x), {
          ...terms,
          libraries,
        });
        assert.deepEqual(said, { kind: 'done', console: [], result: expected }, file);
      }),
    );
  });

  test('is pinned: what is committed is what the sources build, and its digest is the one in use', async () => {
    const image = await loadImage(root, 'javascript');
    assert.equal(await pool.imageDigest('javascript'), image.digest);
    const built = await buildLibraries();
    assert.equal(image.manifest.files.length, built.length);
    for (const { path, text } of built) {
      assert.equal(await readFile(join(root, 'sandbox-images/javascript', path), 'utf8'), text, path);
      const pinned = image.manifest.files.find((each) => each.path === path);
      assert.equal(pinned?.sha256, createHash('sha256').update(text).digest('hex'), path);
    }
  });

  test('a job that names a library which is not in the image gets nothing', async () => {
    const said = await runOnTwin(workers, { factory: factory('() => 1') }, numbersSource([1]), {
      ...terms,
      libraries: ['fs'],
    });
    assert.notEqual(said.kind === 'done' ? said.result : undefined, '1');
  });
});
