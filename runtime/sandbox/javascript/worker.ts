/**
 * Entry of the jailed JavaScript worker: one job, then the gateway kills the process. It has no secret, no file and no
 * network; the isolate inside it is for order between blocks, the process and its jail are the boundary.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { SyncWorkerChannel, frameType } from '../channel.ts';
import { warmUp, runWorkerJob } from './worker-run.ts';

const channel = new SyncWorkerChannel();
const libraries = new Map<string, string>();
// The same place in the source tree and in the jail: the image's pinned files lie at their own relative path.
const folder = `${import.meta.dirname}/../../../sandbox-images/javascript/dist`;
try {
  for (const file of readdirSync(folder)) {
    if (file.endsWith('.js')) libraries.set(file.slice(0, -3), readFileSync(`${folder}/${file}`, 'utf8'));
  }
} catch {
  // an image without libraries
}
warmUp();
channel.ready();
try {
  runWorkerJob(channel, libraries);
} catch {
  // No text: it may hold consumer data. The gateway knows that the job did not end.
  channel.sendJson(frameType.FAIL, { code: 'fault' });
}
