import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { ROOT } from './runtime.ts';

/** A decryptor of its own process, until its first answer; disposing ends it. */
export async function decryptorProcess(
  args: readonly string[],
  runtime: { readonly address: string; readonly credential: string },
): Promise<{ readonly at: string } & AsyncDisposable> {
  const main = join(ROOT, 'runtime', 'cli', 'main.ts');
  const child = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', main, 'decryptor', ...args, '--server', runtime.address, '--json'],
    { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, GLOVEBOX_CREDENTIAL: runtime.credential } },
  );
  const lines: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    lines.push(line);
    if (line === '}' || (line.startsWith('{') && line.endsWith('}'))) break;
  }
  return {
    at: (JSON.parse(lines.join('\n')) as { readonly listening: string }).listening,
    [Symbol.asyncDispose]: async () => {
      const gone = once(child, 'exit');
      child.kill('SIGTERM');
      await gone;
    },
  };
}
