/** A worker that does what its job names: honest work, and every way to misbehave. */
import { readFileSync, writeSync } from 'node:fs';
import { frameType, parseJsonPayload } from '../../../runtime/sandbox/channel.ts';
import { WorkerChannel } from '../../../runtime/sandbox/worker-channel.ts';

const channel = new WorkerChannel();
let jobs = 0;

const acts: Readonly<Record<string, (job: Readonly<Record<string, unknown>>) => unknown>> = {
  echo: (job) => channel.sendJson(frameType.RESULT, { text: job['text'], jobs, pid: process.pid }),
  read: (job) => channel.sendJson(frameType.RESULT, { text: readFileSync(String(job['path']), 'utf8') }),
  data: async (job) => {
    await channel.sendData(Buffer.alloc(Number(job['bytes']), 7));
    await channel.sendJson(frameType.RESULT, {});
  },
  scratch: async (job) => {
    const { readSync } = await import('node:fs');
    const bytes = Buffer.alloc(Number(job['bytes']));
    readSync(5, bytes, 0, bytes.length, 0);
    await channel.sendJson(frameType.RESULT, { text: bytes.toString('utf8') });
  },
  hang: () => {
    for (;;);
  },
  wait: () => {},
  exit: () => process.exit(0),
  crash: () => process.abort(),
  memory: () => {
    const kept: Buffer[] = [];
    for (;;) kept.push(Buffer.alloc(16 * 1024 * 1024, 1));
  },
  garbage: () => void writeSync(4, 'this is no frame at all'),
  oversize: () => {
    const header = Buffer.alloc(5);
    header.writeUInt32LE(0xffff_fff0, 0);
    header[4] = frameType.RESULT;
    writeSync(4, header);
  },
  unknownType: () => void writeSync(4, Buffer.from([0, 0, 0, 0, 200])),
  halfFrame: async () => {
    await channel.sendJson(frameType.RESULT, {});
    writeSync(4, Buffer.from([9, 0, 0]));
  },
  twice: async () => {
    await channel.sendJson(frameType.RESULT, { turn: 1 });
    await channel.sendJson(frameType.RESULT, { turn: 2 });
  },
  later: async () => {
    await channel.sendJson(frameType.RESULT, {});
    setTimeout(() => void channel.sendJson(frameType.RESULT, {}), 30);
  },
  readyAgain: () => channel.ready(),
  flood: async () => {
    for (;;) await channel.send(frameType.DATA, Buffer.alloc(1024 * 1024));
  },
};

await channel.ready();
for await (const frame of channel.frames()) {
  if (frame.type !== frameType.JOB) continue;
  jobs += 1;
  const job = parseJsonPayload(frame.payload);
  void acts[String(job['act'])]?.(job);
}
