import type {
  ApproveCodeRequest,
  ApproveCodeResponse,
  RejectCodeRequest,
  RejectCodeResponse,
  RevokeCodeRequest,
  RevokeCodeResponse,
} from '../gen/messages.ts';
import type { CodeServiceClient } from '../gen/services.ts';
import type { CredentialBundle } from '../identity/credential.ts';
import type { CallOptions, Init } from '../rpc/call.ts';
import type { JwsSignatureParts } from '../identity/jws.ts';
import { signCodeApproval, signCodeObjection } from '../rpc/code-statement.ts';
import { approvalDigest } from '../sandbox/javascript/approval.ts';
import { computationOfMessage } from '../sandbox/javascript/from-message.ts';
import { GloveboxError } from './error.ts';
import { serviceClient, type Channel } from './channel.ts';

/** Days of an approval that does not say. */
const DEFAULT_DAYS = 180;

/** Code of a party; its signature is added to what it says about code: approvals, rejections and revocations. */
export function codeClient(channel: Channel, credential: CredentialBundle | null): CodeServiceClient {
  const service = serviceClient<CodeServiceClient>(channel, 'CodeService');
  if (credential === null) return service;
  const objection = async (
    verdict: 'rejected' | 'revoked',
    request: { readonly digest?: string; readonly note?: string },
    options?: CallOptions,
  ): Promise<JwsSignatureParts> => {
    const { digest = '', note = '' } = request;
    const { code } = await service.review({ digest }, options);
    const said = { digest, dataset: code?.dataset ?? '', verdict, note };
    return signCodeObjection(credential.party, credential.signingKey, said);
  };
  return {
    ...service,
    reject: async (request: Init<RejectCodeRequest>, options?: CallOptions): Promise<RejectCodeResponse> =>
      await service.reject(
        { ...request, signature: request.signature ?? (await objection('rejected', request, options)) },
        options,
      ),
    revoke: async (request: Init<RevokeCodeRequest>, options?: CallOptions): Promise<RevokeCodeResponse> =>
      await service.revoke(
        { ...request, signature: request.signature ?? (await objection('revoked', request, options)) },
        options,
      ),
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
