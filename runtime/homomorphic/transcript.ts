import { createHash, sign, verify, type KeyObject } from 'node:crypto';
import { HomomorphicFault } from './fault.ts';
import type { Plan } from './plan.ts';
import { parseProgram, type HomomorphicProgram } from './program.ts';
import type { ResultPart } from './run.ts';

/** What the runtime states, under its signature, about one computation over encrypted columns. */
export interface Transcript {
  readonly format: 'glovebox-homomorphic-transcript/2';
  readonly shape: 'encryptedData';
  readonly jobId: string;
  readonly agreementId: string;
  readonly consumer: string;
  readonly program: HomomorphicProgram;
  /** Input files by digest, in the program's order. */
  readonly inputs: readonly {
    readonly column: string;
    readonly digest: string;
    readonly rows: number;
    readonly blocks: number;
  }[];
  readonly keyId: string;
  /** Distinct units behind the smallest input, by the runtime's own count of keyed hashes. */
  readonly units: number;
  /** Fewest units that the rule lets any number rest on, groups and categories too; the key holder's own least holds beside it. */
  readonly minUnits: number;
  /** `sha256:` over the result ciphertexts in order. */
  readonly result: string;
  readonly createdAtMs: number;
}

/** A transcript as it travels: the exact text that was signed. */
export interface SignedTranscript {
  readonly text: string;
  /** Ed25519, base64. */
  readonly signature: string;
}

/** Facts about a job that only the runtime knows. */
export interface TranscriptFacts extends Pick<
  Transcript,
  'jobId' | 'agreementId' | 'consumer' | 'units' | 'minUnits' | 'createdAtMs'
> {
  /** Digests of the files as the key holder uploaded them, when the runtime computed over expanded copies. */
  readonly uploadDigests?: readonly string[];
}

/** Longest transcript that is read. */
export const TRANSCRIPT_LIMIT_BYTES = 256 * 1024;
/** Separates these signatures from everything else the key signs. */
const DOMAIN = 'glovebox-homomorphic-transcript/2\n';
const KEYS = [
  'format',
  'shape',
  'jobId',
  'agreementId',
  'consumer',
  'program',
  'inputs',
  'keyId',
  'units',
  'minUnits',
  'result',
  'createdAtMs',
] as const;

/** The transcript of a finished run. */
export function transcriptOf(plan: Plan, parts: readonly ResultPart[], facts: TranscriptFacts): Transcript {
  return {
    format: 'glovebox-homomorphic-transcript/2',
    shape: 'encryptedData',
    jobId: facts.jobId,
    agreementId: facts.agreementId,
    consumer: facts.consumer,
    program: plan.program,
    inputs: plan.inputs.map(({ header, totals }, i) => ({
      column: header.column,
      digest: facts.uploadDigests?.[i] ?? totals.digest,
      rows: totals.rows,
      blocks: totals.blocks,
    })),
    keyId: plan.inputs[0]?.header.keyId ?? '',
    units: facts.units,
    minUnits: facts.minUnits,
    result: resultDigest(parts),
    createdAtMs: facts.createdAtMs,
  };
}

/** Signs a transcript with the runtime's Ed25519 key. */
export function signTranscript(transcript: Transcript, privateKey: KeyObject): SignedTranscript {
  const text = JSON.stringify(Object.fromEntries(KEYS.map((key) => [key, transcript[key]])));
  return { text, signature: sign(null, Buffer.from(DOMAIN + text), privateKey).toString('base64') };
}

/** Verifies the signature over the exact text, then reads it strictly; throws `not-released` for anything else. */
export function openTranscript(signed: SignedTranscript, runtimeKey: KeyObject): Transcript {
  const isShort =
    typeof signed.text === 'string' &&
    signed.text.length <= TRANSCRIPT_LIMIT_BYTES &&
    typeof signed.signature === 'string';
  if (
    !isShort ||
    !verify(null, Buffer.from(DOMAIN + signed.text), runtimeKey, Buffer.from(signed.signature, 'base64'))
  ) {
    throw notOurs();
  }
  let input: unknown;
  try {
    input = JSON.parse(signed.text);
  } catch (error) {
    throw new HomomorphicFault('not-released', 'this transcript is not signed by the runtime', { cause: error });
  }
  const record = (typeof input === 'object' && input !== null ? input : {}) as Record<(typeof KEYS)[number], unknown>;
  const { jobId, agreementId, consumer, keyId, units, minUnits, result, createdAtMs, inputs } = record;
  const texts = [jobId, agreementId, consumer, keyId, result];
  const isWhole =
    Object.keys(record).join() === KEYS.join() &&
    record.format === 'glovebox-homomorphic-transcript/2' &&
    record.shape === 'encryptedData' &&
    texts.every((text) => typeof text === 'string' && text !== '' && text.length <= 256) &&
    [units, minUnits, createdAtMs].every(
      (count) => typeof count === 'number' && Number.isSafeInteger(count) && count >= 0,
    ) &&
    Array.isArray(inputs);
  if (!isWhole) throw notOurs();
  const { shape, ...program } = record.program as HomomorphicProgram;
  const parsed = parseProgram(program);
  if (parsed.shape !== shape) throw notOurs();
  return {
    ...(record as unknown as Transcript),
    program: parsed,
    inputs: (inputs as unknown[]).map(readInput),
  };
}

/** `sha256:` over every part: output, segment, length, residues. */
export function resultDigest(parts: readonly ResultPart[]): string {
  const hash = createHash('sha256');
  const head = Buffer.alloc(16);
  for (const part of parts) {
    head.writeUInt32LE(part.output, 0);
    head.writeUInt32LE(part.segment, 4);
    head.writeBigUInt64LE(BigInt(part.body.byteLength), 8);
    hash.update(head).update(part.body);
  }
  return `sha256:${hash.digest('hex')}`;
}

function readInput(input: unknown): Transcript['inputs'][number] {
  const record = (typeof input === 'object' && input !== null ? input : {}) as Record<string, unknown>;
  const { column, digest, rows, blocks } = record;
  const isWhole =
    Object.keys(record).join() === 'column,digest,rows,blocks' &&
    typeof column === 'string' &&
    typeof digest === 'string' &&
    typeof rows === 'number' &&
    Number.isSafeInteger(rows) &&
    typeof blocks === 'number' &&
    Number.isSafeInteger(blocks);
  if (!isWhole) throw notOurs();
  return { column, digest, rows, blocks };
}

function notOurs(): HomomorphicFault {
  return new HomomorphicFault('not-released', 'this transcript is not signed by the runtime');
}
