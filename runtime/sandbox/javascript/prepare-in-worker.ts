import { answerBytes, withWorker } from './lease.ts';
import { javascriptLimits } from './limits.ts';
import type { Prepared, PrepareRequest } from './prepare.ts';
import type { JobFailed } from './source.ts';
import { WorkerLost, decodePrepared, nextAnswer, startJob } from './worker-link.ts';
import type { JavaScriptWorkers } from './worker-link.ts';

/** Parses (and strips) a consumer's text in a worker that holds no data; its complaints may be shown to the consumer. */
export async function prepareInWorker(
  workers: JavaScriptWorkers,
  request: PrepareRequest,
): Promise<Prepared | JobFailed> {
  const { rowNames } = request;
  const face = rowNames && {
    columns: rowNames.columns,
    parameters: rowNames.parameters,
    outputs: rowNames.outputs.length,
  };
  return withWorker(workers, { tier: 'balanced', wallMs: javascriptLimits.prepareTimeoutMs }, async (worker) => {
    await startJob(worker, { kind: 'prepare', request });
    const bytes = await nextAnswer(worker, { maxBytes: answerBytes, timeoutMs: javascriptLimits.prepareTimeoutMs });
    const prepared = decodePrepared(bytes, face);
    if (prepared === undefined) throw new WorkerLost('the worker answered no program');
    return prepared;
  });
}
