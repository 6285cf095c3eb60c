import { randomBytes } from 'node:crypto';
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openCheckpoint } from '../../evidence/checkpoint.ts';
import { cosignedAt } from '../../evidence/cosignature.ts';
import { parseNote, type VerifierKey } from '../../evidence/note.ts';
import { MAX_TIMESTAMP_BYTES, readTimestamp, timestampRequest } from '../../evidence/timestamp.ts';
import { formatAddCheckpoint, withCosignatures } from '../../evidence/witness.ts';
import type { Store } from '../../store/store.ts';
import type { LogEvent } from '../needs.ts';
import type { OtherHistory } from './rolled-back.ts';

/** A witness that the operator chose: where it is asked, and the key that its cosignatures are checked with. */
export interface WitnessAddress {
  readonly url: string;
  readonly key: VerifierKey;
}

export interface OutsideNeeds {
  readonly store: Pick<Store, 'checkpoint' | 'consistencyProof' | 'verifierKey'>;
  /** The log's folder: what others said about it is written beside it. */
  readonly folder: string;
  readonly nowMs: () => number;
  readonly log: (event: LogEvent) => void;
  readonly witnesses: readonly WitnessAddress[];
  /** RFC 3161 time-stamping authority; null for none. */
  readonly timestampUrl: string | null;
  /** Least time between two timestamps, milliseconds. */
  readonly timestampEveryMs: number;
  /** A witness has seen what this log does not hold. */
  readonly onOtherHistory?: (witness: string, seen: OtherHistory) => Promise<void>;
  /** A witness has cosigned this log. */
  readonly onCosigned?: (witness: string) => Promise<void>;
  /** How long one answer may take, body and all; default: 5 seconds. */
  readonly answerTimeoutMs?: number;
}

/** What the operator chose of it. */
export type OutsideOptions = Pick<OutsideNeeds, 'witnesses' | 'timestampUrl' | 'timestampEveryMs'> & {
  /** How many witnesses have to say that they have seen another history before everything is stopped; default: 1. */
  readonly witnessQuorum?: number;
};

/** A checkpoint that witnesses cosigned. */
export interface WitnessedCheckpoint {
  readonly size: number;
  readonly note: string;
}

/** Witnesses are asked about a log that grew, but not more often than this, milliseconds. */
export const WITNESS_EVERY_MS = 5000;
const ANSWER_TIMEOUT_MS = 5000;
const MAX_ANSWER_BYTES = 65_536;

/**
 * Has outsiders vouch for the log: witnesses cosign that it only grew, an authority signs when a checkpoint existed. Both
 * follow after the commit and never hold a job up; a failure is logged and tried again at the next look.
 */
export class OutsideCheckpoints {
  readonly #needs: OutsideNeeds;
  /** What each witness cosigned last, by its address. */
  readonly #known = new Map<string, number>();
  #witnessed: WitnessedCheckpoint | undefined;
  #askedAtMs = -Infinity;
  #stampedAtMs = -Infinity;
  #stampedSize = -1;
  #isWorking = false;
  #claims: Promise<void> = Promise.resolve();

  constructor(needs: OutsideNeeds) {
    this.#needs = needs;
  }

  /** The latest checkpoint with cosignatures. */
  get witnessed(): WitnessedCheckpoint | undefined {
    return this.#witnessed;
  }

  /** Looks once; looks that overlap are left out. Never rejects. */
  async work(): Promise<void> {
    if (this.#isWorking) return;
    this.#isWorking = true;
    try {
      const note = await this.#needs.store.checkpoint();
      const checkpoint = openCheckpoint(note, this.#needs.store.verifierKey);
      if (checkpoint === undefined || checkpoint.size === 0) return;
      if (checkpoint.size !== this.#witnessed?.size) await this.#askWitnesses(checkpoint.size, note);
      await this.#stamp(checkpoint.size, note);
    } catch (cause) {
      this.#needs.log({ level: 'warn', event: 'checkpoint.outside.failed', cause });
    } finally {
      this.#isWorking = false;
    }
  }

  async #askWitnesses(size: number, note: string): Promise<void> {
    if (this.#needs.nowMs() - this.#askedAtMs < WITNESS_EVERY_MS) return;
    this.#askedAtMs = this.#needs.nowMs();
    const answers = await Promise.all(
      this.#needs.witnesses.map((witness) =>
        this.#ask(witness, size, note).catch((cause: unknown) => {
          this.#needs.log({ level: 'warn', event: 'witness.failed', facts: { witness: witness.key.name }, cause });
          return '';
        }),
      ),
    );
    const lines = answers.join('');
    const cosigned = lines === '' ? undefined : withCosignatures(note, lines);
    if (cosigned === undefined) return;
    this.#write('witnessed', cosigned);
    this.#witnessed = { size, note: cosigned };
  }

  /** The cosignature lines of one witness; tells it from where on the log grew, and believes it when it says otherwise. */
  async #ask({ url, key }: WitnessAddress, size: number, note: string, isRetry = false): Promise<string> {
    const old = this.#known.get(url) ?? 0;
    const proof = old === 0 || old >= size ? [] : await this.#needs.store.consistencyProof(old, size);
    const question = Buffer.from(formatAddCheckpoint({ old, proof, checkpoint: note }));
    const answer = await this.#post(url, 'text/plain', question);
    const text = answer.body.toString('utf8');
    if (answer.status === 409 && !isRetry && /^\d{1,15}\n$/.test(text) && Number(text) <= size) {
      this.#known.set(url, Number(text));
      return this.#ask({ url, key }, size, note, true);
    }
    const seen = otherHistory(answer.status, text, size, isRetry);
    if (seen !== null) {
      // One after the other: each counts those before it.
      this.#claims = this.#claims.then(() => this.#needs.onOtherHistory?.(key.name, seen));
      await this.#claims;
    }
    if (answer.status !== 200) throw new Error(`the witness answered ${answer.status}`);
    const cosigned = withCosignatures(note, text);
    const parsed = cosigned === undefined ? undefined : parseNote(cosigned);
    if (parsed === undefined || cosignedAt(parsed, key) === undefined)
      throw new Error('the witness gave no valid cosignature');
    this.#known.set(url, size);
    await this.#needs.onCosigned?.(key.name);
    return text;
  }

  async #stamp(size: number, note: string): Promise<void> {
    const { timestampUrl, timestampEveryMs, nowMs } = this.#needs;
    if (timestampUrl === null || size === this.#stampedSize || nowMs() - this.#stampedAtMs < timestampEveryMs) return;
    const nonce = randomBytes(8);
    const question = timestampRequest(Buffer.from(note), nonce);
    const answer = await this.#post(timestampUrl, 'application/timestamp-query', question);
    if (answer.status !== 200 || answer.body.length > MAX_TIMESTAMP_BYTES)
      throw new Error(`the time-stamping authority answered ${answer.status}`);
    const stamp = readTimestamp(answer.body, Buffer.from(note), nonce);
    if (stamp.kind === 'refused') throw new Error(`the timestamp is not of our checkpoint: ${stamp.reason}`);
    const name = `timestamp/${String(size).padStart(16, '0')}`;
    this.#write(`${name}.checkpoint`, note);
    this.#write(`${name}.tsr`, answer.body);
    this.#stampedSize = size;
    this.#stampedAtMs = nowMs();
    this.#needs.log({ level: 'info', event: 'checkpoint.timestamped', facts: { size } });
  }

  async #post(url: string, type: string, body: Uint8Array): Promise<Answer> {
    return await post(url, type, body, this.#needs.answerTimeoutMs ?? ANSWER_TIMEOUT_MS);
  }

  #write(name: string, content: string | Uint8Array): void {
    const file = join(this.#needs.folder, name);
    mkdirSync(join(file, '..'), { recursive: true, mode: 0o700 });
    writeFileSync(`${file}.new`, content, { mode: 0o600 });
    renameSync(`${file}.new`, file);
  }
}

/** What a refusal says of the log; null: nothing. */
function otherHistory(status: number, text: string, size: number, isRetry: boolean): OtherHistory | null {
  if (status === 422) return { kind: 'forked' };
  if (status !== 409 || !/^\d{1,15}\n$/.test(text)) return null;
  if (Number(text) > size) return { kind: 'ahead', size: Number(text) };
  // Asked from the very size that the witness named, it still refuses: it has another root there.
  return isRetry ? { kind: 'forked' } : null;
}

interface Answer {
  readonly status: number;
  readonly body: Buffer;
}

async function post(url: string, type: string, body: Uint8Array, timeoutMs: number): Promise<Answer> {
  const answer = await fetch(url, {
    method: 'POST',
    body: Buffer.from(body),
    headers: { 'content-type': type },
    redirect: 'error',
    signal: AbortSignal.timeout(timeoutMs),
  });
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of (answer.body ?? []) as AsyncIterable<Uint8Array>) {
    length += part.length;
    if (length > MAX_ANSWER_BYTES) throw new Error('the answer is too long');
    parts.push(part);
  }
  return { status: answer.status, body: Buffer.concat(parts) };
}
