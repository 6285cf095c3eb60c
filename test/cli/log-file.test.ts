import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, unlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { LogFile } from '../../runtime/cli/log-file.ts';

describe('the log file', () => {
  let folder = '';
  let file = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'glovebox-log-'));
    file = join(folder, 'g.log');
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const line = (n: number): string => `${JSON.stringify({ n, filler: 'x'.repeat(80) })}\n`;
  const numbersIn = (name: string): readonly number[] =>
    readFileSync(join(folder, name), 'utf8')
      .trimEnd()
      .split('\n')
      .map((text) => (JSON.parse(text) as { n: number }).n);

  it('is put aside before it grows beyond its limit, keeps only so many, and tears no line', () => {
    const log = new LogFile({ file, maxBytes: 1000, keep: 2 });
    for (let n = 0; n < 100; n++) log.write(line(n));
    log.close();
    const names = readdirSync(folder).toSorted();
    assert.deepEqual(names, ['g.log', 'g.log.1', 'g.log.2']);
    for (const name of names) assert.ok(statSync(join(folder, name)).size <= 1000);
    const kept = names.toReversed().flatMap(numbersIn);
    assert.deepEqual(
      kept,
      Array.from({ length: kept.length }, (_, at) => 100 - kept.length + at),
    );
    assert.equal(statSync(file).mode & 0o777, 0o600);
  });

  it('with nothing to keep is emptied, and goes on where it was after a restart', () => {
    const first = new LogFile({ file, maxBytes: 1000, keep: 0 });
    for (let n = 0; n < 25; n++) first.write(line(n));
    first.close();
    assert.ok(statSync(file).size <= 1000);
    const before = statSync(file).size;
    const second = new LogFile({ file, maxBytes: 1000, keep: 0 });
    second.write('1\n');
    second.close();
    assert.equal(statSync(file).size, before + 2);
  });

  it('writes to a new file after it was moved away and opened again', () => {
    const log = new LogFile({ file, maxBytes: 1e6, keep: 1 });
    log.write(line(1));
    renameSync(file, `${file}.moved`);
    log.write(line(2));
    log.reopen();
    log.write(line(3));
    log.close();
    assert.deepEqual(numbersIn('g.log.moved'), [1, 2]);
    assert.deepEqual(numbersIn('g.log'), [3]);
  });

  it('a full disk loses lines, not the runtime, and the next line that fits says how many', () => {
    symlinkSync('/dev/full', file);
    const log = new LogFile({ file, maxBytes: 1e6, keep: 1 });
    for (let n = 0; n < 5; n++) log.write(line(n));
    unlinkSync(file);
    log.reopen();
    log.write(line(5));
    log.close();
    const [told = '', after = ''] = readFileSync(file, 'utf8').split('\n');
    assert.deepEqual({ ...(JSON.parse(told) as object), time: '' }, { level: 40, time: '', msg: 'log.lost', lines: 5 });
    assert.equal((JSON.parse(after) as { n: number }).n, 5);
  });

  it('stops the start when it cannot be opened', () => {
    assert.throws(() => new LogFile({ file: join(folder, 'none', 'g.log'), maxBytes: 1e6, keep: 1 }), /ENOENT/);
  });
});
