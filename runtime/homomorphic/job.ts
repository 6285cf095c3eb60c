import { parseColumnHeader, columnHeaderText, type ColumnHeader, type ColumnTotals } from './column.ts';
import { HomomorphicFault, type HomomorphicFaultCode } from './fault.ts';
import { isProfileId, type ProfileId } from './profiles.ts';
import { parseProgram, type HomomorphicProgram } from './program.ts';

/*
 * The conversation of gateway and worker: the gateway sends JOB; the worker asks for bytes of its inputs one chunk at a
 * time with CONTROL `{ want: i }` and gets one DATA frame, empty at the end of that input; output goes out as DATA
 * frames; RESULT ends the job. So memory on both sides is bounded by one chunk per input, whatever their sizes.
 */

/** What a homomorphic worker is asked to do. Inputs come in this order: keys, then the query or the columns. */
export type HomomorphicJob =
  /** Validate an uploaded column, give back its stored form. Inputs: the upload. */
  | { readonly kind: 'ingest' }
  /** Run a program over stored columns. Inputs: relinearisation keys as listed, then one file per column. */
  | {
      readonly kind: 'encryptedData';
      readonly program: HomomorphicProgram;
      readonly columns: readonly { readonly header: ColumnHeader; readonly totals: ColumnTotals }[];
      readonly relinearisationKeys: readonly ProfileId[];
    }
  /** Answer an encrypted query. Inputs: the query file, then each column as little-endian 64-bit scaled integers. */
  | { readonly kind: 'encryptedQuery'; readonly rows: number };

/** What a worker says at the end; the bytes it sent before are the output. */
export type HomomorphicResult =
  | {
      readonly kind: 'ingest';
      readonly header: ColumnHeader;
      readonly upload: ColumnTotals;
      readonly stored: ColumnTotals;
    }
  | { readonly kind: 'encryptedData'; readonly parts: number }
  | { readonly kind: 'encryptedQuery'; readonly digest: string; readonly ciphertexts: number };

/** Codes that a worker may fail with; the rest becomes `worker-failed`. */
export const WORKER_FAULTS: readonly HomomorphicFaultCode[] = [
  'bad-ciphertext',
  'bad-key',
  'bad-column',
  'bad-program',
  'out-of-range',
  'no-parameters',
];

/** Reads a job from the gateway's JSON; the gateway is trusted, but a mismatch must not run. */
export function parseJob(input: Readonly<Record<string, unknown>>): HomomorphicJob {
  switch (input['kind']) {
    case 'ingest':
      return { kind: 'ingest' };
    case 'encryptedQuery': {
      const rows = input['rows'];
      if (typeof rows !== 'number' || !Number.isSafeInteger(rows) || rows < 1) throw malformed();
      return { kind: 'encryptedQuery', rows };
    }
    case 'encryptedData': {
      const { columns, relinearisationKeys } = input;
      if (
        !Array.isArray(columns) ||
        !Array.isArray(relinearisationKeys) ||
        !relinearisationKeys.every((id) => isProfileId(id))
      )
        throw malformed();
      const { shape: _, ...program } = input['program'] as HomomorphicProgram;
      return {
        kind: 'encryptedData',
        program: parseProgram(program),
        columns: (columns as unknown[]).map((column) => {
          const { header, totals } = column as { header: ColumnHeader; totals: ColumnTotals };
          return { header: parseColumnHeader(columnHeaderText(header)), totals: parseTotals(totals) };
        }),
        relinearisationKeys: relinearisationKeys as ProfileId[],
      };
    }
    default:
      throw malformed();
  }
}

/** Reads a worker's result; the worker counts as hostile once it has met foreign bytes. */
export function parseJobResult(job: HomomorphicJob, input: Readonly<Record<string, unknown>>): HomomorphicResult {
  if (input['kind'] !== job.kind) throw malformed();
  const count = (key: string): number => {
    const value = input[key];
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw malformed();
    return value;
  };
  switch (job.kind) {
    case 'ingest':
      return {
        kind: 'ingest',
        header: parseColumnHeader(columnHeaderText(input['header'] as ColumnHeader)),
        upload: parseTotals(input['upload']),
        stored: parseTotals(input['stored']),
      };
    case 'encryptedData':
      return { kind: 'encryptedData', parts: count('parts') };
    case 'encryptedQuery':
      return {
        kind: 'encryptedQuery',
        digest: String(input['digest']).slice(0, 80),
        ciphertexts: count('ciphertexts'),
      };
  }
}

function parseTotals(input: unknown): ColumnTotals {
  const { rows, blocks, digest } = (typeof input === 'object' && input !== null ? input : {}) as Record<
    string,
    unknown
  >;
  const isWhole =
    typeof rows === 'number' &&
    Number.isSafeInteger(rows) &&
    typeof blocks === 'number' &&
    Number.isSafeInteger(blocks) &&
    typeof digest === 'string' &&
    /^sha256:[0-9a-f]{64}$/.test(digest);
  if (!isWhole) throw malformed();
  return { rows, blocks, digest };
}

function malformed(): HomomorphicFault {
  return new HomomorphicFault('worker-failed', 'a message between gateway and worker is malformed');
}
