/** What stands in the place of a file: nothing of it may hold up the gateway, or be taken for the file. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, rename, rm, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { buildLayout, type LayoutNeeds } from '../../runtime/dataset/layout.ts';
import { FileGuard, verifyDataset } from '../../runtime/dataset/verify.ts';
import type { LayoutSpec } from '../../runtime/query/layout.ts';
import { BenchFolder, LIMITS } from './bench-folder.ts';
import { parseHere } from './scope-parser.ts';

const ROWS = 'id,ward\n1,a\n1,b\n2,a\n';
const WARDS: LayoutSpec = {
  tables: [
    {
      name: 'visits',
      columns: ['ward'],
      units: [{ columns: ['id'], via: [] }],
      rows: null,
      bounds: {},
      maxRowsPerUnit: null,
      isTagged: true,
    },
  ],
};

const IN_ITS_PLACE: readonly (readonly [what: string, put: (path: string) => Promise<unknown>])[] = [
  ['a folder', (path) => mkdir(path)],
  ['a named pipe', (path) => promisify(execFile)('mkfifo', [path])],
  ['a device that never ends', (path) => symlink('/dev/zero', path)],
  ['a link to nowhere', (path) => symlink('/nowhere/at/all', path)],
];

describe('where a file should be and something else is', () => {
  for (const [what, put] of IN_ITS_PLACE) {
    it(`${what}: a layout is made again, and a file of record is told as changed`, { timeout: 15_000 }, async () => {
      await using bench = await BenchFolder.create();
      const { manifest, folder } = await bench.register('h/v', [await bench.source('visits.csv', ROWS)]);
      const needs: LayoutNeeds = {
        root: bench.root,
        parse: parseHere,
        limits: LIMITS,
        guard: new FileGuard(),
        hashKey: new Uint8Array(32).fill(7),
      };
      const { path, digest } = await buildLayout(needs, manifest, WARDS);
      for (const file of [path, join(dirname(path), 'layout.json')]) {
        await rm(file);
        await put(file);
        const again = await buildLayout(needs, manifest, WARDS);
        assert.equal(again.digest, digest);
      }
      for (const file of ['t0.parquet', 'manifest.json']) {
        const original = join(folder, file);
        await rename(original, `${original}.kept`);
        await put(original);
        const verified = await verifyDataset(bench.root, 'h/v', 1, manifest.digest);
        assert.equal(verified.kind === 'changed' && verified.files[0]?.file, file);
        if (file === 't0.parquet')
          await assert.rejects(buildLayout(needs, manifest, WARDS), /dataset `h\/v` version 1: t0\.parquet is/);
        await rm(original, { recursive: true });
        await rename(`${original}.kept`, original);
      }
      assert.equal((await verifyDataset(bench.root, 'h/v', 1, manifest.digest)).kind, 'intact');
    });
  }
});
