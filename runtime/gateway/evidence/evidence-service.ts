import type { VerifyReceiptResponse } from '../../gen/messages.ts';
import type { EvidenceServiceHandlers } from '../../gen/services.ts';
import { readEntry, sha256Hex, sigstoreBundle } from '../../evidence/entry.ts';
import { ownerInWords, recogniseReceipt, type RecognisedVerdict } from '../../evidence/known-logs.ts';
import { type Caller, hasRole } from '../../identity/party.ts';
import { reason } from '../../policy/reason.ts';
import { Fault } from '../../rpc/fault.ts';
import { requireRole } from '../access.ts';
import type { GatewayNeeds } from '../needs.ts';
import { listedLogs } from '../parties/trust-list.ts';

/** Most entries in one answer. */
export const MAX_ENTRIES = 1000;

/** The log: receipts to whom they belong, everything to operators and auditors. Entries hold digests and pseudonyms only. */
export function evidenceService(needs: GatewayNeeds): EvidenceServiceHandlers {
  const { store } = needs;
  const sizeOf = (checkpoint: string): bigint => BigInt(checkpoint.split('\n')[1] ?? '0');
  return {
    getReceipt: async (caller, request) => {
      const position = await positionOf(needs, caller, request.of);
      const document = await documentOf(needs, position, request.form);
      if (document === undefined) throw new Fault('not-found', `the log has no entry ${position}`);
      return {
        receipt: {
          id: `log/${position}`,
          logIndex: BigInt(position),
          document: Buffer.from(document),
          recordedAtMs: needs.nowMs(),
        },
      };
    },
    getCheckpoint: async () => {
      const checkpoint = await store.checkpoint();
      return {
        checkpoint,
        verifierKey: store.verifierKeyText,
        treeSize: sizeOf(checkpoint),
        rootHash: Buffer.from(checkpoint.split('\n')[2] ?? '', 'base64').toString('hex'),
      };
    },
    listEntries: async (caller, request) => {
      requireRole(caller, 'read the log', 'operator', 'auditor');
      const size = Number(sizeOf(await store.checkpoint()));
      const start = Number(request.start);
      const end = Math.min(size, start + Math.min(request.limit === 0 ? 100 : request.limit, MAX_ENTRIES));
      const entries = start >= end ? [] : await store.entries(start, end);
      return {
        entries: entries.map((body, index) => {
          const opened = readEntry(body);
          return {
            index: BigInt(start + index),
            kind: opened.kind === 'entry' ? opened.event.kind : 'invalid',
            recordedAtMs: opened.kind === 'entry' ? opened.event.atMs : 0,
            jobId:
              opened.kind === 'entry'
                ? (opened.event.subjects.find(({ name }) => name.startsWith('job/'))?.name.slice(4) ?? '')
                : '',
            body,
            leafHash: sha256Hex(Buffer.concat([Buffer.from([0]), body])),
          };
        }),
        nextStart: end < size ? BigInt(end) : null,
      };
    },
    export: async function* (caller, request) {
      requireRole(caller, 'export the log', 'operator', 'auditor');
      const checkpoint = await store.checkpoint();
      const size = Number(sizeOf(checkpoint));
      const end = request.end === 0n ? size : Math.min(size, Number(request.end));
      yield {
        chunk: Buffer.from(
          `${JSON.stringify({ format: 'glovebox-evidence/1', checkpoint, verifierKey: store.verifierKeyText, start: Number(request.start), end })}\n`,
        ),
      };
      for (let at = Number(request.start); at < end; at += MAX_ENTRIES) {
        const entries = await store.entries(at, Math.min(end, at + MAX_ENTRIES));
        yield { chunk: Buffer.from(entries.map((entry) => `${Buffer.from(entry).toString('base64')}\n`).join('')) };
      }
    },
    verify: (_caller, request) => {
      const verdict = recogniseReceipt(Buffer.from(request.document).toString('utf8'), [
        { key: store.verifierKey, owner: { kind: 'own' } },
        ...listedLogs(needs),
      ]);
      return Promise.resolve(answerOf(verdict));
    },
  };
}

function answerOf(verdict: RecognisedVerdict): VerifyReceiptResponse {
  const none = { isValid: false, checks: [], reasons: [], isGenuine: false, authority: '', trustEndedAtMs: 0 };
  if (verdict.kind === 'refused')
    return { ...none, reasons: [reason('receipt-not-valid', `the receipt is not valid: ${verdict.reason}`)] };
  const { owner, checkpoint } = verdict;
  const told = { ...none, isGenuine: true, authority: 'authority' in owner ? owner.authority : '' };
  const isIncluded = 'the entry is in the tree of the checkpoint';
  if (verdict.kind === 'trustEnded')
    return {
      ...told,
      trustEndedAtMs: verdict.owner.atMs,
      checks: [isIncluded],
      reasons: [reason('receipt-trust-ended', `the receipt is ${verdict.reason}`)],
    };
  const isSigned =
    owner.kind === 'trusted'
      ? `the checkpoint is signed by the log \`${checkpoint.origin}\` of a runtime on the trust list: ${ownerInWords(owner)}`
      : 'the checkpoint is signed by the log key';
  return { ...told, isValid: true, checks: [isIncluded, isSigned] };
}

/** An entry in the form that was asked for; undefined when the log has no such entry. */
async function documentOf(
  needs: Pick<GatewayNeeds, 'store' | 'receiptOf'>,
  position: number,
  form: string,
): Promise<string | Uint8Array | undefined> {
  if (form === '') return await needs.receiptOf(position);
  if (form !== 'dsse' && form !== 'sigstore')
    throw new Fault('argument-not-valid', `a receipt has no form \`${form}\`: dsse or sigstore, or none`);
  const envelope = await needs.store.envelope(position);
  return envelope === undefined || form === 'dsse' ? envelope : sigstoreBundle(envelope);
}

async function positionOf(
  needs: GatewayNeeds,
  caller: Caller,
  of: Parameters<EvidenceServiceHandlers['getReceipt']>[1]['of'],
): Promise<number> {
  if (of === null) throw new Fault('argument-not-valid', 'name a job or a place in the log');
  if (of.kind === 'logIndex') {
    requireRole(caller, 'read receipts by their place', 'operator', 'auditor');
    return Number(of.logIndex);
  }
  const job = await needs.store.job(of.jobId);
  const position = job?.body.evidence.at(-1);
  if (
    job === undefined ||
    position === undefined ||
    !(job.owner === caller.party || hasRole(caller, 'operator', 'auditor'))
  )
    throw new Fault('not-found', `no job \`${of.jobId}\` of yours`);
  return position;
}
