import type { ApproveCodeRequest, ApproveCodeResponse } from '../gen/messages.ts';
import type { CodeServiceClient } from '../gen/services.ts';
import type { CredentialBundle } from '../identity/credential.ts';
import type { CallOptions, Init } from '../rpc/call.ts';
import { signCodeApproval } from '../rpc/code-statement.ts';
import { approvalDigest } from '../sandbox/javascript/approval.ts';
import { computationOfMessage } from '../sandbox/javascript/from-message.ts';
import { GloveboxError } from './error.ts';
import { serviceClient, type Channel } from './channel.ts';

/** Days of an approval that does not say. */
const DEFAULT_DAYS = 180;

/** Code of a party; its signature is added to approvals. */
export function codeClient(channel: Channel, credential: CredentialBundle | null): CodeServiceClient {
  const service = serviceClient<CodeServiceClient>(channel, 'CodeService');
  if (credential === null) return service;
  return {
    ...service,
    /** Reads the code, signs its digest and approves it. */
    approve: async (request: Init<ApproveCodeRequest>, options?: CallOptions): Promise<ApproveCodeResponse> => {
      if (request.signature !== undefined && request.signature !== null) return await service.approve(request, options);
      const digest = request.digest ?? '';
      const { code } = await service.review({ digest }, options);
      // What is signed must be what is shown: the digest has to be that of the program that was read.
      const parsed = code?.program == null ? null : computationOfMessage(code.program);
      const isShown =
        parsed?.kind === 'ok' &&
        parsed.computation.mode === 'approved' &&
        approvalDigest(parsed.computation) === digest;
      if (!isShown) {
        throw new GloveboxError(`the code that the runtime shows is not that of \`${digest}\`; not signed`, {
          status: 9,
          code: 'signature-not-valid',
        });
      }
      const days = request.days === undefined || request.days === 0 ? DEFAULT_DAYS : request.days;
      const capacity = request.capacity ?? '';
      const signature = signCodeApproval(credential.party, credential.signingKey, {
        digest,
        dataset: code?.dataset ?? '',
        capacity,
        days,
      });
      return await service.approve({ ...request, days, signature }, options);
    },
  };
}
