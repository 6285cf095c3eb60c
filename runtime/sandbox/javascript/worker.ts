/**
 * Entry of the jailed JavaScript worker: one job, then the gateway kills the process. It has no secret, no file and no
 * network; the isolate inside it is for order between blocks, the process and its jail are the boundary.
 */
import { readFileSync } from 'node:fs';
import { SyncWorkerChannel, frameType } from '../channel.ts';
import { warmUp, runWorkerJob } from './worker-run.ts';

const channel = new SyncWorkerChannel();
// The same place in the source tree and in the jail: the image's pinned files lie at their own relative path.
const folder = `${import.meta.dirname}/../../../sandbox-images/javascript/dist`;
const texts = new Map<string, string>();
/** Libraries of the image, read when a job names them. */
const libraries = {
  get: (name: string): string | undefined => {
    const known = texts.get(name);
    if (known !== undefined || !/^[a-z0-9-]+$/.test(name)) return known;
    try {
      const text = readFileSync(`${folder}/${name}.js`, 'utf8');
      texts.set(name, text);
      return text;
    } catch {
      return undefined; // not in this image
    }
  },
};
warmUp();
channel.ready();
try {
  runWorkerJob(channel, libraries);
} catch {
  // No text: it may hold consumer data. The gateway knows that the job did not end.
  channel.sendJson(frameType.FAIL, { code: 'fault' });
}
