/**
 * The release gate: every byte that goes to a consumer, in every mode, is returned by `passGate`.
 *
 * It trusts nothing that it can check again. Shapes come from a worker and are checked to the byte; columns must be
 * exactly those of the decision; each row must carry certificates for each privacy unit; what fails is withheld, and
 * whatever is missing, odd or unknown denies the whole release. The result is a fresh canonical copy: no buffer that a
 * worker filled ever leaves.
 */
import type { Mode } from '../policy/model.ts';
import { denied, reason, type Denied, type Reason } from '../policy/reason.ts';
import { canonicalColumns } from './canonical-columns.ts';
import {
  batchByteLength,
  checkBatch,
  checkSchema,
  DEFAULT_COLUMN_LIMITS,
  sameType,
  type Column,
  type ColumnBatch,
  type Schema,
} from './columns.ts';
import type { Basis, Candidate, Certificate, OpaqueCandidate, ReleaseTerms, TableCandidate } from './candidate.ts';
import { KEEP, verdictsOf, type RowVerdict } from './row-verdict.ts';
import { sortedBatch } from './sort-rows.ts';
import { summarise, type Withheld, type WithheldCode } from './withheld.ts';

/** What may leave, and what the consumer is told about the rest. */
export type Released =
  | {
      readonly kind: 'released';
      readonly content: 'table';
      readonly schema: Schema;
      readonly batches: readonly ColumnBatch[];
      readonly rows: number;
      readonly bytes: number;
      readonly withheld: Withheld;
    }
  | {
      readonly kind: 'released';
      readonly content: 'opaque';
      readonly mediaType: string;
      readonly payload: Uint8Array;
      readonly bytes: number;
      readonly withheld: Withheld;
    };

/** Limits on what the gate looks at, before anything is withheld. */
export const GATE_LIMITS = { maxBatches: 4096, maxCandidateRows: 1 << 22 } as const;

/** Decides what of a candidate leaves; a denial names the clause and never speaks of rows. */
export function passGate(candidate: Candidate, terms: ReleaseTerms): Released | Denied {
  const problem = problemOfTerms(terms) ?? problemOfBasis(candidate.basis, terms);
  if (problem !== null) return denied(problem);
  switch (candidate.kind) {
    case 'table':
      return passTable(candidate, terms);
    case 'opaque':
      return passOpaque(candidate, terms);
    default:
      return denied(reason('release-unknown-kind', 'this kind of result cannot be released', { clause: terms.clause }));
  }
}

/** What each mode may rest on. A mode or basis that is not here denies. */
const BASES: Readonly<Record<Mode, readonly Basis['kind'][]>> = {
  aggregate: ['certified'],
  differentialPrivacy: ['noised'],
  homomorphic: ['certifiedWhole'],
  sandbox: ['noised', 'postProcessed'],
  approvedCode: ['certified', 'certifiedWhole'],
};

function problemOfTerms(terms: ReleaseTerms): Reason | null {
  const isCount = (value: number, least: number): boolean => Number.isSafeInteger(value) && value >= least;
  const share = terms.dominance?.share ?? 0;
  const isSound =
    isCount(terms.maxRows, 0) &&
    isCount(terms.maxBytes, 0) &&
    (terms.minUnits === null || isCount(terms.minUnits, 1)) &&
    (terms.maxMicroEpsilon === null || isCount(terms.maxMicroEpsilon, 0)) &&
    terms.maxDelta >= 0 &&
    terms.maxDelta < 1 &&
    share >= 0 &&
    share <= 1;
  return isSound ? null : fault('release-terms-unsound', 'the release terms are not sound', terms);
}

function problemOfBasis(basis: Basis, terms: ReleaseTerms): Reason | null {
  if (basis.kind === 'public') {
    return terms.units.length === 0
      ? null
      : fault('release-not-certified', 'the result rests on private tables', terms);
  }
  const allowed = (BASES[terms.mode] as readonly Basis['kind'][] | undefined) ?? [];
  if (!allowed.includes(basis.kind)) {
    return fault('release-not-certified', `the result lacks what mode ${terms.mode} demands before a release`, terms);
  }
  if (basis.kind === 'noised') return problemOfNoise(basis, terms);
  if (basis.kind === 'postProcessed') return null;
  if (terms.units.length === 0 || terms.minUnits === null) {
    return fault('release-not-certified', 'the terms name no privacy unit or no minimum of units', terms);
  }
  if (basis.kind === 'certified') return null;
  const { minUnits } = terms;
  const isMet = terms.units.every((unit) =>
    basis.units.some((stated) => stated.unit === unit && isCountAtLeast(stated.atLeast, minUnits)),
  );
  return isMet ? null : fault('release-too-few-units', 'the result rests on too few privacy units', terms);
}

function problemOfNoise(basis: Basis & { kind: 'noised' }, terms: ReleaseTerms): Reason | null {
  if (!isCountAtLeast(basis.microEpsilon, 1) || !(basis.delta >= 0)) {
    return fault('release-not-noised', 'the result does not state its privacy loss', terms);
  }
  if (terms.maxMicroEpsilon === null || basis.microEpsilon > terms.maxMicroEpsilon || basis.delta > terms.maxDelta) {
    return fault('release-over-budget', 'the result would cost more privacy than the terms allow', terms);
  }
  return null;
}

function isCountAtLeast(value: number, least: number): boolean {
  return Number.isSafeInteger(value) && value >= least;
}

function passOpaque(candidate: OpaqueCandidate, terms: ReleaseTerms): Released | Denied {
  if (!terms.mediaTypes.includes(candidate.mediaType)) {
    return denied(fault('release-media-type', 'this media type may not be released', terms));
  }
  if (!(candidate.bytes instanceof Uint8Array) || candidate.bytes.length > terms.maxBytes) {
    return denied(fault('release-too-large', `the result has more than ${terms.maxBytes} bytes`, terms));
  }
  const payload = Uint8Array.from(candidate.bytes);
  const { mediaType } = candidate;
  return { kind: 'released', content: 'opaque', mediaType, payload, bytes: payload.length, withheld: NOTHING_WITHHELD };
}

const NOTHING_WITHHELD: Withheld = summarise([], 0, null);

function passTable(candidate: TableCandidate, terms: ReleaseTerms): Released | Denied {
  const problem = problemOfColumns(candidate, terms) ?? problemOfBatches(candidate, terms);
  if (problem !== null) return denied(problem);
  const tally = { cells: 0, hasSmallGroup: false };
  const batches: ColumnBatch[] = [];
  for (const batch of candidate.batches) {
    const kept = releasedPart(candidate, batch, terms, tally);
    if (kept.rowCount > 0) batches.push(kept);
  }
  if (tally.hasSmallGroup && terms.smallGroups === 'refuse') {
    return denied(fault('release-too-few-units', 'a group rests on too few privacy units', terms));
  }
  return boundedRelease(
    candidate,
    terms,
    batches,
    summarise(codesInForce(candidate, terms), tally.cells, terms.minUnits),
  );
}

/** The surviving rows of one batch, with withheld cells as null and certificate columns gone. */
function releasedPart(
  candidate: TableCandidate,
  batch: ColumnBatch,
  terms: ReleaseTerms,
  tally: { cells: number; hasSmallGroup: boolean },
): ColumnBatch {
  const { outputs } = terms;
  const verdicts = verdictsOf(candidate, batch, terms);
  const isWhole = verdicts.every((verdict) => verdict === KEEP);
  const keep = verdicts.flatMap((verdict, row) => (verdict.kind === 'drop' ? [] : [row]));
  const cellsPerRow = outputs.filter((output) => output.role !== 'key').length;
  for (const verdict of verdicts) {
    tally.hasSmallGroup ||= verdict.isSmallGroup;
    tally.cells += verdict.kind === 'drop' ? cellsPerRow : verdict.hidden.size;
  }
  const selection = { keep, hides: (column: number, row: number) => hides(verdicts[row], column) };
  const columns = canonicalColumns(outputs, batch, isWhole ? null : selection);
  for (const column of columns) tally.cells += column.notFinite;
  return { rowCount: keep.length, columns: columns.map((column) => column.data) };
}

function hides(verdict: RowVerdict | undefined, column: number): boolean {
  return verdict === undefined || verdict.kind === 'drop' || verdict.hidden.has(column);
}

function boundedRelease(
  candidate: TableCandidate,
  terms: ReleaseTerms,
  parts: readonly ColumnBatch[],
  withheld: Withheld,
): Released | Denied {
  const schema = releasedSchema(terms);
  const rows = parts.reduce((sum, batch) => sum + batch.rowCount, 0);
  if (rows > terms.maxRows) {
    const remedy = `ask for at most ${terms.maxRows} rows, for example with LIMIT`;
    return denied({
      ...fault('release-too-many-rows', `the result has more than ${terms.maxRows} rows`, terms),
      remedy,
    });
  }
  const batches = candidate.isOrdered ? parts : sortedBatch(schema, parts);
  const bytes = batches.reduce((sum, batch) => sum + batchByteLength(batch), 0);
  if (bytes > terms.maxBytes) {
    return denied(fault('release-too-large', `the result has more than ${terms.maxBytes} bytes`, terms));
  }
  return { kind: 'released', content: 'table', schema, batches, rows, bytes, withheld };
}

/** The schema of what leaves. Every column is nullable, whatever happened: the schema must not depend on rows. */
export function releasedSchema(terms: ReleaseTerms): Schema {
  return terms.outputs.map(({ name, type }) => ({ name, type, nullable: true }));
}

function problemOfColumns(candidate: TableCandidate, terms: ReleaseTerms): Reason | null {
  if (checkSchema(candidate.schema).kind === 'bad')
    return fault('release-odd-shape', 'the result has an odd schema', terms);
  const { outputs } = terms;
  const matches = outputs.length > 0 && outputs.every((output, i) => isSameColumn(output, candidate.schema[i]));
  if (!matches)
    return fault('release-odd-columns', 'the result does not have exactly the columns that were decided', terms);
  const hidden = new Map(candidate.schema.slice(outputs.length).map((column) => [column.name, column]));
  const used = new Set(candidate.certificates.flatMap(certificateColumns));
  const isComplete = [...used].every((name) => hidden.has(name)) && [...hidden.keys()].every((name) => used.has(name));
  if (!isComplete || !candidate.certificates.every((certificate) => hasRightTypes(certificate, hidden, terms))) {
    return fault('release-odd-certificates', 'the result has other columns than its certificates name', terms);
  }
  return candidate.basis.kind === 'certified' ? problemOfCoverage(candidate.certificates, terms) : null;
}

/** Each privacy unit must be certified for the whole row, and, where dominance is ruled, each cell for dominance. */
function problemOfCoverage(certificates: readonly Certificate[], terms: ReleaseTerms): Reason | null {
  const covers = (unit: string): boolean =>
    certificates.some((stated) => stated.kind === 'units' && stated.unit === unit && stated.cells === null);
  if (!terms.units.every(covers)) return fault('release-not-certified', 'a privacy unit is not certified', terms);
  if (terms.dominance === null) return null;
  const ruled = certificates.filter((stated) => stated.kind === 'dominance');
  const isRuled = (name: string): boolean => ruled.some(({ cells }) => cells === null || cells.includes(name));
  const isCovered = terms.outputs.every((output) => output.role !== 'cell' || isRuled(output.name));
  return isCovered ? null : fault('release-not-certified', 'a cell is not certified for dominance', terms);
}

function certificateColumns(certificate: Certificate): readonly string[] {
  return certificate.kind === 'dominance' ? [certificate.top, certificate.total] : [certificate.column];
}

function hasRightTypes(certificate: Certificate, hidden: ReadonlyMap<string, Column>, terms: ReleaseTerms): boolean {
  const known = new Set(terms.outputs.map((output) => output.name));
  if (certificate.cells !== null && !certificate.cells.every((name) => known.has(name))) return false;
  const kindOf = (name: string): string | undefined => hidden.get(name)?.type.kind;
  switch (certificate.kind) {
    case 'units':
    case 'leftOut':
      return kindOf(certificate.column) === 'int64' && hidden.get(certificate.column)?.nullable === false;
    case 'suppressed':
      return kindOf(certificate.column) === 'bool';
    case 'dominance': {
      const top = hidden.get(certificate.top)?.type;
      const total = hidden.get(certificate.total)?.type;
      return top !== undefined && total !== undefined && sameType(top, total) && NUMERIC.has(top.kind);
    }
    default:
      return false;
  }
}

const NUMERIC: ReadonlySet<string> = new Set(['int64', 'float64', 'decimal128']);

function problemOfBatches(candidate: TableCandidate, terms: ReleaseTerms): Reason | null {
  const { batches, schema } = candidate;
  const isInLimits =
    batches.length <= GATE_LIMITS.maxBatches &&
    batches.every((batch) => checkBatch(schema, batch, DEFAULT_COLUMN_LIMITS).kind === 'ok') &&
    batches.reduce((sum, batch) => sum + batch.rowCount, 0) <= GATE_LIMITS.maxCandidateRows;
  return isInLimits ? null : fault('release-odd-shape', 'the result is not well formed', terms);
}

function isSameColumn(output: Column, given: Column | undefined): boolean {
  return given !== undefined && given.name === output.name && sameType(given.type, output.type);
}

function codesInForce(candidate: TableCandidate, terms: ReleaseTerms): readonly WithheldCode[] {
  const has = (kind: Certificate['kind']): boolean => candidate.certificates.some((stated) => stated.kind === kind);
  const codes: WithheldCode[] = [];
  if (terms.minUnits !== null && has('units')) codes.push('too-few-units');
  if (has('leftOut')) codes.push('too-few-left-out');
  if (has('dominance')) codes.push('dominated');
  if (has('suppressed')) codes.push('suppressed');
  if (terms.outputs.some((output) => NOT_ALWAYS_FINITE.has(output.type.kind))) codes.push('not-finite');
  return codes;
}

const NOT_ALWAYS_FINITE: ReadonlySet<string> = new Set(['float64', 'date32', 'timestampMicros']);

function fault(code: string, message: string, terms: ReleaseTerms): Reason {
  return reason(code, message, { clause: terms.clause });
}
