import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { test } from 'node:test';

const MAIN = join(import.meta.dirname, '..', '..', 'runtime', 'cli', 'main.ts');

test('a command whose reader has gone (`… | head`) ends quietly, without a stack trace', async () => {
  for (const words of [['--help'], ['job', 'run', '--help'], ['image', 'verify', '--json']]) {
    const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', MAIN, ...words], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child.stdout.destroy();
    let complaints = '';
    child.stderr.on('data', (text: Buffer) => (complaints += text.toString()));
    const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
    assert.deepEqual([code, signal, complaints], [0, null, ''], words.join(' '));
  }
});
