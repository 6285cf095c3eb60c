import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { enableCompileCache, getCompileCacheDir } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { keptText } from '../../runtime/sandbox/kept-text.ts';

const own = mkdtempSync(join(tmpdir(), 'glovebox-kept-'));
after(() => rmSync(own, { recursive: true, force: true }));
// Where the runner has one already, that one is used: it cannot be changed in a running process.
if (getCompileCacheDir() === undefined) enableCompileCache(own);
const folder = join(getCompileCacheDir() ?? '', 'glovebox-workers');
const filesNow = (): readonly string[] => readdirSync(folder).map((name) => join(folder, name));
/** Inputs that nobody used before, and how often their text was made. */
function maker(inputs: readonly string[] = [randomUUID()]): {
  readonly get: () => string;
  readonly made: () => number;
} {
  let made = 0;
  const get = (): string =>
    keptText('test/1', inputs, () => {
      made += 1;
      return `text of ${inputs.join()}`;
    });
  return { get, made: () => made };
}

describe('a kept text', () => {
  it('is made once for the same inputs', () => {
    const { get, made } = maker();
    assert.equal(get(), get());
    assert.equal(made(), 1);
  });

  it('is another for other inputs, also for such that only meet elsewhere', () => {
    const word = randomUUID();
    assert.equal(maker([`${word}a`, 'b']).get(), `text of ${word}a,b`);
    assert.equal(maker([word, 'ab']).get(), `text of ${word},ab`);
  });

  it('is made again when its file was cut off or changed', () => {
    const { get, made } = maker();
    const before = new Set(readdirSync(folder).length > 0 ? filesNow() : []);
    const right = get();
    const [file = ''] = filesNow().filter((path) => !before.has(path) && readFileSync(path, 'utf8').endsWith(right));
    const whole = readFileSync(file, 'utf8');
    for (const damaged of ['', whole.slice(0, 40), whole.slice(0, -1), `${whole}x`, whole.replace('text', 'evil')]) {
      writeFileSync(file, damaged);
      assert.equal(get(), right);
      assert.equal(readFileSync(file, 'utf8'), whole);
    }
    assert.equal(made(), 6);
  });
});
