/** A worker process without a jail: the same entry and channel, for tests of what is said over it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { FrameDecoder, frameType, writeFrame, type Frame } from '../../runtime/sandbox/channel.ts';
import type { WorkerLink } from '../../runtime/dataset/worker-link.ts';

export interface BareWorker extends WorkerLink, AsyncDisposable {
  readonly pid: number;
}

export async function startBareWorker(entry: 'sql' | 'parser' | 'ingest'): Promise<BareWorker> {
  const file = fileURLToPath(new URL(`../../runtime/dataset/worker/${entry}-worker.ts`, import.meta.url));
  const child = spawn(process.execPath, [file], {
    stdio: ['ignore', 'inherit', 'inherit', 'pipe', 'pipe'],
    env: { ...process.env, UV_THREADPOOL_SIZE: '4', NODE_OPTIONS: '' },
  });
  const input = child.stdio[3] as Socket;
  const output = child.stdio[4] as Socket;
  input.on('error', () => undefined);
  const decoder = new FrameDecoder();
  const queue: Frame[] = [];
  const chunks = output[Symbol.asyncIterator]();
  const next = async (): Promise<Frame | null> => {
    for (;;) {
      const frame = queue.shift();
      if (frame !== undefined) return frame;
      const chunk = await chunks.next().catch(() => ({ done: true as const, value: undefined }));
      if (chunk.done === true) return null;
      queue.push(...decoder.push(chunk.value as Buffer));
    }
  };
  const ready = await next();
  if (ready?.type !== frameType.READY) throw new Error(`the ${entry} worker did not become ready`);
  const kill = (): void => void child.kill('SIGKILL');
  return {
    pid: child.pid ?? 0,
    send: (type, payload) => writeFrame(input, type, payload),
    next,
    kill,
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exited = once(child, 'exit');
      kill();
      await exited;
    },
  };
}
