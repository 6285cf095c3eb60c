// A thread has an environment, an exit code and output streams of its own: what a command uses of a process.
import { parentPort } from 'node:worker_threads';
import { runCommandLine } from '../../runtime/cli/program.ts';
import type { Told } from './commands.ts';

type Write = (text: string | Uint8Array, ...rest: readonly unknown[]) => boolean;

function collect(stream: { write: Write }): () => string {
  let text = '';
  stream.write = (chunk, ...rest) => {
    text += typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString();
    const done = rest.find((one) => typeof one === 'function') as (() => void) | undefined;
    done?.();
    return true;
  };
  return () => {
    const all = text;
    text = '';
    return all;
  };
}

const stdout = collect(process.stdout as { write: Write });
const stderr = collect(process.stderr as { write: Write });
const before = { ...process.env };
parentPort?.on('message', ({ args, env }: Told) => {
  for (const name of Object.keys(process.env)) if (!(name in before)) delete process.env[name];
  Object.assign(process.env, before, env);
  process.exitCode = 0;
  void (async () => {
    await runCommandLine(args);
    parentPort?.postMessage({ exit: process.exitCode ?? 0, stdout: stdout(), stderr: stderr() });
  })();
});
