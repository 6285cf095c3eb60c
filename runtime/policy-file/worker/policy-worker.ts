// Reads policies beside the thread that answers calls; see ../read-beside.ts.
import { parentPort } from 'node:worker_threads';
import { type ParsedPolicy, parsePolicy } from '../parse-policy.ts';
import type { ReadAnswer, ReadOrder } from '../read-beside.ts';

let last: { readonly text: string; readonly file: string; readonly parsed: ParsedPolicy } | null = null;

parentPort?.on('message', ({ id, text, file, problems }: ReadOrder) => {
  // Places are asked for right after the document they are in.
  if (last?.text !== text || last.file !== file) last = { text, file, parsed: parsePolicy(text, file) };
  const { parsed } = last;
  const answer: ReadAnswer =
    parsed.kind === 'complaints'
      ? { id, kind: 'complaints', complaints: parsed.complaints }
      : problems === null
        ? { id, kind: 'policy', policy: parsed.policy, named: parsed.document.metadata.version ?? null }
        : { id, kind: 'complaints', complaints: problems.map((one) => parsed.complaintAt(one.path, one.message)) };
  parentPort?.postMessage(answer);
});
