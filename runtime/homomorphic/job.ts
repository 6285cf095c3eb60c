import { COLUMN_LIMITS, parseColumnHeader, columnHeaderText, type ColumnHeader, type ColumnTotals } from './column.ts';
import { HomomorphicFault, type HomomorphicFaultCode } from './fault.ts';
import { isProfileId, type ProfileId } from './profiles.ts';
import { parseProgram, type HomomorphicProgram } from './program.ts';
import { parseQueryHeader, queryHeaderText, type QueryHeader } from './query.ts';
import type { UnitCounts } from './units.ts';

/*
 * The conversation of gateway and worker: the gateway sends JOB; the worker asks for bytes of its inputs one chunk at a
 * time with CONTROL `{ want: i }` and gets one DATA frame, empty at the end of that input, or CONTROL `{ bytes, at }`
 * for a chunk in its memory file (fd 5), where each input has a place of its own; output goes out as DATA frames; RESULT ends the job. So memory on both sides is bounded by one chunk per input, whatever their sizes.
 */

/** What a homomorphic worker is asked to do. Inputs come in this order: keys, then the query or the columns. */
export type HomomorphicJob =
  /** Validate an uploaded column, give back its stored form. Inputs: the upload. */
  | { readonly kind: 'ingest' }
  /** Validate an uploaded key bundle, query or file of unit tags, and say what it is. Inputs: the upload. */
  | { readonly kind: 'inspect'; readonly what: Inspected['what'] }
  /**
   * Run a program over stored columns. Inputs: the public key bundle when relinearisation keys are listed, then one
   * file per column.
   */
  | {
      readonly kind: 'encryptedData';
      readonly program: HomomorphicProgram;
      readonly columns: readonly { readonly header: ColumnHeader; readonly totals: ColumnTotals }[];
      readonly relinearisationKeys: readonly ProfileId[];
    }
  /**
   * Answer an encrypted query. Inputs: the query file, then `given` little-endian 64-bit scaled integers of each column:
   * all of its rows, or for one number over totals or means a first block that holds just these.
   */
  | { readonly kind: 'encryptedQuery'; readonly rows: number; readonly given: number };

/** What an upload turned out to be. */
export type Inspected =
  | { readonly what: 'publicKey'; readonly keyId: string; readonly profiles: readonly ProfileId[] }
  | { readonly what: 'query'; readonly header: QueryHeader; readonly keyId: string }
  | { readonly what: 'unitTags'; readonly counts: UnitCounts };

/** What a worker says at the end; the bytes it sent before are the output. */
export type HomomorphicResult =
  | {
      readonly kind: 'ingest';
      readonly header: ColumnHeader;
      readonly upload: ColumnTotals;
      readonly stored: ColumnTotals;
    }
  | { readonly kind: 'inspect'; readonly found: Inspected }
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
    case 'inspect': {
      const { what } = input;
      if (what !== 'publicKey' && what !== 'query' && what !== 'unitTags') throw malformed();
      return { kind: 'inspect', what };
    }
    case 'encryptedQuery': {
      const { rows, given } = input;
      if (!isCount(rows) || !isCount(given) || given < 1 || given > rows) throw malformed();
      return { kind: 'encryptedQuery', rows, given };
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
    case 'inspect':
      return { kind: 'inspect', found: parseInspected(job.what, input['found']) };
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

function parseInspected(what: Inspected['what'], input: unknown): Inspected {
  const found = recordOf(input);
  switch (what) {
    case 'publicKey': {
      const profiles: unknown = found['profiles'];
      if (!Array.isArray(profiles) || !profiles.every((id) => isProfileId(id))) throw malformed();
      return { what, keyId: digestOf(found['keyId']), profiles };
    }
    case 'query':
      return {
        what,
        header: parseQueryHeader(queryHeaderText(found['header'] as QueryHeader)),
        keyId: digestOf(found['keyId']),
      };
    case 'unitTags': {
      const { rows, units, groupUnits, maxRowsPerUnit, alignment } = recordOf(found['counts']);
      if (!isCount(rows) || !isCount(units) || !isCount(maxRowsPerUnit)) throw malformed();
      if (!Array.isArray(groupUnits) || !groupUnits.every(isCount) || groupUnits.length > COLUMN_LIMITS.groups)
        throw malformed();
      return { what, counts: { rows, units, groupUnits, maxRowsPerUnit, alignment: digestOf(alignment) } };
    }
  }
}

const recordOf = (input: unknown): Readonly<Record<string, unknown>> =>
  typeof input === 'object' && input !== null ? (input as Record<string, unknown>) : {};
const isCount = (value: unknown): value is number =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;

function digestOf(value: unknown): string {
  if (typeof value !== 'string' || !/^sha256:[0-9a-f]{64}$/.test(value)) throw malformed();
  return value;
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
