/** The probe's worker: says what it sees, and tries one forbidden thing when asked to. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createSocket } from 'node:dgram';
import { frameType, parseJsonPayload } from '../channel.ts';
import { WorkerChannel } from '../worker-channel.ts';

const attempts: Readonly<Record<string, () => unknown>> = {
  /** honest work: files of the image, a compiled loop, entropy */
  smoke: () => {
    let sum = 0;
    for (let i = 0; i < 1_000_000; i += 1) sum += i;
    return { sum, uid: process.getuid?.(), env: Object.keys(process.env).toSorted(), pid: process.pid };
  },
  files: () => ({
    root: list('/'),
    etc: existsSync('/etc/passwd'),
    proc: existsSync('/proc/self'),
    dev: existsSync('/dev'),
    home: existsSync('/home') || existsSync('/opt'),
    host: existsSync('/usr') || existsSync('/var'),
  }),
  write: () =>
    ['/x', '/app/x', '/tmp/x', '/n/x', '/data/x', '/dev/shm/x'].filter((path) =>
      succeeds(() => writeFileSync(path, 'x')),
    ),
  secrets: () =>
    ['/proc/1/environ', '/etc/shadow', '/etc/hostname'].filter((path) => succeeds(() => readFileSync(path))),
  socket: () => {
    createSocket('udp4').bind(0);
    return new Promise((resolve) => setTimeout(() => resolve('still alive'), 300));
  },
};

function list(path: string): readonly string[] {
  try {
    return readdirSync(path).toSorted();
  } catch {
    return [];
  }
}

function succeeds(step: () => unknown): boolean {
  try {
    step();
    return true;
  } catch {
    return false;
  }
}

const channel = new WorkerChannel();
await channel.ready();
for await (const frame of channel.frames()) {
  if (frame.type !== frameType.JOB) continue;
  const attempt = attempts[String(parseJsonPayload(frame.payload)['attempt'])];
  if (attempt === undefined) await channel.sendJson(frameType.FAIL, { code: 'UNKNOWN_ATTEMPT' });
  else await channel.sendJson(frameType.RESULT, { answer: await attempt() });
}
