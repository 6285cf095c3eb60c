import { readPolicy, ReaderBusy, type ReadPolicy } from '../../policy-file/read-beside.ts';
import { Fault } from '../../rpc/fault.ts';

const RETRY_MS = 1000;

/** Reads a policy that a caller sent; throws the fault `rate-exceeded` while too many long ones are being read. */
export async function policyOfCaller(document: string, file: string): Promise<ReadPolicy> {
  try {
    return await readPolicy(document, file);
  } catch (cause) {
    if (!(cause instanceof ReaderBusy)) throw cause;
    throw new Fault('rate-exceeded', 'too many long policies are being read; try again later', {
      retryAfterMs: RETRY_MS,
      cause,
    });
  }
}
