import type { JavaScriptProgram } from '../gen/messages.ts';
import { approvalDigest } from '../sandbox/javascript/approval.ts';
import { computationOfMessage } from '../sandbox/javascript/from-message.ts';
import type { SubmittedProgram } from './javascript-engine.ts';

/** A submitted message as plain data. Code of method `approved` carries its digest, whatever the message says it is. */
export function submittedProgram(message: JavaScriptProgram): SubmittedProgram {
  const parsed = computationOfMessage(message);
  const isApproved = parsed.kind === 'ok' ? parsed.computation.mode === 'approved' : message.method === 'approved';
  return {
    image: message.image === '' ? 'javascript' : message.image,
    codeDigest:
      parsed.kind === 'ok' && parsed.computation.mode === 'approved'
        ? approvalDigest(parsed.computation)
        : isApproved
          ? 'sha256:'
          : null,
    approvers: [],
    parsed,
    microEpsilon: message.microEpsilon === 0n ? null : Number(message.microEpsilon),
  };
}
