import { parentPort, workerData } from 'node:worker_threads';
import { openNodeSealBackend } from '../../runtime/homomorphic/node-seal-backend.ts';
import { planProgram, type ColumnInput } from '../../runtime/homomorphic/plan.ts';
import { parseProgram } from '../../runtime/homomorphic/program.ts';
import { PROFILES, type ProfileId } from '../../runtime/homomorphic/profiles.ts';
import { blocksIn, computeBlocks } from './compute.ts';

/** What a measuring thread gets: its own copy of everything, as another process would have. */
export interface ThreadData {
  readonly program: unknown;
  readonly inputs: readonly ColumnInput[];
  readonly files: readonly Uint8Array[];
  readonly relinearisationKeys: readonly { readonly profile: ProfileId; readonly bytes: Uint8Array }[];
}

const data = workerData as ThreadData;
const backend = await openNodeSealBackend();
for (const { profile, bytes } of data.relinearisationKeys) backend.open(PROFILES[profile]).useRelinearisationKey(bytes);
const plan = planProgram(parseProgram(data.program), data.inputs);
const blocks = await Promise.all(data.files.map((file) => blocksIn(file)));
computeBlocks(plan, backend, blocks);
parentPort?.on('message', (message: { readonly rounds: number }) => {
  for (let round = 0; round < message.rounds; round++) computeBlocks(plan, backend, blocks);
  parentPort?.postMessage('done');
});
parentPort?.postMessage('ready');
