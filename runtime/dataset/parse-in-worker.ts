/** The gateway's side of the parser worker. The answer is text from a process that met hostile input: parse it with care. */
import { frameType, jsonPayload, parseJsonPayload } from '../sandbox/channel.ts';
import { PARSER_LIMITS } from './limits.ts';
import { PARSE_FAIL_CODES, type ParseFailCode, type ParseJob, type PlannedStatement } from './parse-job.ts';
import { WorkerFault, type WorkerLink } from './worker-link.ts';

export type ParseAnswer<T> =
  | { readonly kind: 'text'; readonly value: T }
  | { readonly kind: 'refused'; readonly code: ParseFailCode };

/**
 * The consumer's text as the engine's `json_serialize_sql` prints it; a text that does not parse gives a tree with
 * `error: true`. Refused with `too-long` beyond 16 KiB. Throws `WorkerFault` when the worker died or lied.
 */
export async function parseInWorker(worker: WorkerLink, sql: string): Promise<ParseAnswer<string>> {
  if (Buffer.byteLength(sql) > PARSER_LIMITS.maxSqlBytes) return { kind: 'refused', code: 'too-long' };
  const answer = await ask(worker, { op: 'serialize', sql }, 1);
  if (answer.kind === 'refused') return answer;
  return { kind: 'text', value: answer.value[0] ?? '' };
}

/**
 * The bound plans (`json_serialize_plan`) of statements that the gateway printed, one text each, over empty tables that
 * `schema` makes. Throws `WorkerFault` when the worker died or lied.
 */
export async function planInWorker(
  worker: WorkerLink,
  schema: readonly string[],
  statements: readonly PlannedStatement[],
): Promise<ParseAnswer<readonly string[]>> {
  return ask(worker, { op: 'plan', schema, statements }, statements.length);
}

async function ask(worker: WorkerLink, job: ParseJob, texts: number): Promise<ParseAnswer<readonly string[]>> {
  let isOver = false;
  try {
    await worker.send(frameType.JOB, jsonPayload(job));
    const answer = await receive(worker, texts);
    isOver = true;
    return answer;
  } finally {
    if (!isOver) worker.kill();
  }
}

async function receive(worker: WorkerLink, texts: number): Promise<ParseAnswer<readonly string[]>> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for (;;) {
    const frame = await worker.next();
    if (frame === null) throw new WorkerFault('the parser worker died');
    if (frame.type === frameType.DATA) {
      bytes += frame.payload.byteLength;
      if (bytes > PARSER_LIMITS.maxTreeBytes * texts) throw new WorkerFault('the parser worker sent too much');
      parts.push(frame.payload);
    } else if (frame.type === frameType.FAIL) {
      const { code } = parseJsonPayload(frame.payload);
      const known = PARSE_FAIL_CODES.find((name) => name === code);
      if (known === undefined) throw new WorkerFault('the parser worker failed with an unknown code');
      return { kind: 'refused', code: known };
    } else if (frame.type === frameType.RESULT) {
      return { kind: 'text', value: cut(Buffer.concat(parts), parseJsonPayload(frame.payload)['lengths'], texts) };
    } else throw new WorkerFault(`the parser worker sent an unexpected frame ${frame.type}`);
  }
}

function cut(bytes: Buffer, lengths: unknown, texts: number): readonly string[] {
  if (!Array.isArray(lengths) || lengths.length !== texts) throw new WorkerFault('the parser worker sent other texts');
  let at = 0;
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  const values = lengths.map((length: unknown): string => {
    if (typeof length !== 'number' || !Number.isSafeInteger(length) || length < 0 || at + length > bytes.length) {
      throw new WorkerFault('the parser worker sent a wrong length');
    }
    try {
      return decoder.decode(bytes.subarray(at, (at += length)));
    } catch (cause) {
      throw new WorkerFault('the parser worker sent no text', { cause });
    }
  });
  if (at !== bytes.length) throw new WorkerFault('the parser worker sent more than its texts');
  return values;
}
