import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { readText, UnreadableFile } from '../../runtime/client/read-text.ts';
import { registerFiles } from '../../runtime/client/upload.ts';
import { GloveboxError } from '../../runtime/client/error.ts';
import type { CatalogServiceClient } from '../../runtime/gen/services.ts';

describe('files that somebody names', () => {
  const folder = mkdtempSync(join(tmpdir(), 'glovebox-files-'));
  after(() => rmSync(folder, { recursive: true }));
  const pipe = join(folder, 'pipe.csv');
  execFileSync('mkfifo', [pipe]);
  const endless = join(folder, 'endless.csv');
  symlinkSync('/dev/zero', endless);
  const sparse = join(folder, 'sparse.parquet');
  writeFileSync(sparse, '');
  truncateSync(sparse, 2 ** 33);

  it('are read whole, and not beyond a limit', () => {
    const file = join(folder, 'text');
    writeFileSync(file, 'a policy');
    assert.equal(readText(file), 'a policy');
    assert.throws(
      () => readText(sparse, 2 ** 20),
      (error) => error instanceof UnreadableFile && error.code === 'EFBIG',
    );
  });

  it('are not waited for where nobody writes, nor read where there is no end', () => {
    for (const path of [pipe, endless])
      assert.throws(
        () => readText(path),
        (error) => error instanceof UnreadableFile && error.code === 'ENOTFILE' && error.path === path,
      );
  });

  it('are named when they are folders', () => {
    assert.throws(
      () => readText(folder),
      (error) => error instanceof UnreadableFile && error.code === 'EISDIR' && error.path === folder,
    );
  });

  it('are not sent when they are no files or begin as none of the formats does', async () => {
    const sent = async (path: string): Promise<number> => {
      let bytes = 0;
      const catalogue = {
        registerDataset: async function* (parts: AsyncIterable<{ part?: { kind: string; chunk?: Uint8Array } }>) {
          for await (const { part } of parts) bytes += part?.chunk?.length ?? 0;
          yield* [];
        },
      } as unknown as CatalogServiceClient;
      for await (const _ of registerFiles(catalogue, { name: 'x' }, [{ path }]));
      return bytes;
    };
    for (const path of [pipe, endless, sparse, folder])
      await assert.rejects(
        sent(path),
        (error) =>
          error instanceof GloveboxError && error.code === 'argument-not-valid' && error.message.includes(path),
      );
    const csv = join(folder, 'rows.csv');
    writeFileSync(csv, 'a\n1\n');
    assert.equal(await sent(csv), 4);
  });
});
