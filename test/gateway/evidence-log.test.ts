import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { agreedWorld, COUNT_QUERY, runtimeWorld } from './runtime-world.ts';

const CLI = join(import.meta.dirname, '../../runtime/cli/main.ts');
const run = (...words: readonly string[]): Promise<{ code: number; text: string }> =>
  new Promise((resolve) => {
    execFile(process.execPath, [CLI, ...words], { timeout: 60_000 }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code ?? -1), text: stdout + stderr }),
    );
  });

test('a copy of the log is verified offline, reports what happened, and shows the lineage of a result', async () => {
  await using world = await runtimeWorld();
  const { acme } = await agreedWorld(world);
  const { job } = await acme.jobs.submit({
    job: { computation: { kind: 'sql', sql: { text: COUNT_QUERY } } },
    wait: true,
  });
  await acme.jobs.submit({ job: { computation: { kind: 'sql', sql: { text: 'SELECT * FROM visits' } } }, wait: true });
  const bundle = join(world.folder, 'bundle');
  const chunks: Uint8Array[] = [];
  for await (const { chunk } of world.operator.evidence.export({})) chunks.push(chunk);
  writeFileSync(bundle, Buffer.concat(chunks));
  const key = join(world.folder, 'log.pub');
  writeFileSync(key, (await world.operator.evidence.getCheckpoint({})).verifierKey);

  const verified = await run('evidence', 'verify-log', bundle, '--key', key, '--json');
  assert.equal(verified.code, 0, verified.text);
  const report = await run('compliance', 'report', bundle, '--json');
  const said = JSON.parse(report.text) as { verdicts: Record<string, number>; releasedWhileStopped: unknown[] };
  assert.deepEqual(said.verdicts, { permit: 1, deny: 1 });
  assert.deepEqual(said.releasedWhileStopped, []);
  const shown = await run('lineage', 'show', `result/${job?.id ?? ''}`, '--log', bundle);
  assert.match(shown.text, /dataset\/visits@1 +job\//);

  // The published folder says the same; the lines of a changed copy are not those of the root.
  const copy = join(world.folder, 'copy');
  cpSync(join(world.folder, 'data', 'evidence'), copy, { recursive: true });
  // An older, shorter bundle is kept for readers that come between two writes: the longest is the one that counts.
  const bundles = readdirSync(copy, { recursive: true, encoding: 'utf8' }).filter((one) =>
    /entries\/.*\.p\/\d+$/.test(one),
  );
  const place = join(
    copy,
    bundles.toSorted((a, b) => Number(b.split('/').at(-1)) - Number(a.split('/').at(-1)))[0] ?? '',
  );
  const bytes = readFileSync(place);
  bytes[bytes.length - 5] = (bytes[bytes.length - 5] ?? 0) ^ 1;
  writeFileSync(place, bytes);
  const tampered = await run('evidence', 'verify-log', copy, '--key', key);
  assert.equal(tampered.code, 1, tampered.text);
  assert.match(tampered.text, /NOT valid/);
  writeFileSync(bundle, readFileSync(bundle, 'utf8').split('\n').slice(0, -2).join('\n'));
  assert.equal((await run('evidence', 'verify-log', bundle, '--key', key)).code, 1);
});
