import { consumerBudget } from '../ledger/budget.ts';
import type { BudgetLine } from '../ledger/reservation.ts';
import type { HomomorphicRelease } from '../policy/model.ts';
import { type Denied, denied, reason } from '../policy/reason.ts';
import { grantsFor } from '../policy/rights.ts';
import type { Basis, OutputColumn } from '../release/candidate.ts';
import type { ColumnBatch, ColumnData, Schema } from '../release/columns.ts';
import { DEFAULT_RELEASE_LIMITS, termsOf } from '../release/terms.ts';
import { budgetLines } from './budget-lines.ts';
import type { JobNeeds, Preparer } from './needs.ts';
import type { AdmittedPermit } from './admission.ts';
import type { Execution, ExecutionSummary, Prepared } from './prepare.ts';

/** What a consumer asks for: a program of the closed set, by name. */
export interface HomomorphicRequest {
  readonly name: string;
  readonly dataset: string;
  readonly columns: readonly string[];
  /** Digests of uploaded objects: the encrypted query, for programs that take one. */
  readonly inputs: readonly string[];
  readonly parameters: Readonly<Record<string, number>>;
  readonly weights: readonly number[];
}

/** What the homomorphic path needs: datasets by name, and workers that compute on ciphertext without any secret. */
export interface HomomorphicEngine {
  /** Digest of the image in which programs run. */
  readonly image: string;
  /**
   * Finds the columns, plans the program and checks that it can run: reads no ciphertext. Overflow, missing noise room,
   * a missing decryptor are denials here, before anything is spent.
   */
  readonly open: (
    request: HomomorphicRequest,
    permit: AdmittedPermit,
    asker: { readonly party: string; readonly groups: readonly string[] },
    signal: AbortSignal,
  ) => Promise<OpenProgram | Denied>;
}

/** A program that could run. */
export interface OpenProgram {
  readonly kind: 'open';
  readonly dataset: { readonly name: string; readonly version: number; readonly digest: string };
  readonly shape: 'encryptedData' | 'encryptedQuery';
  readonly scheme: 'bgv' | 'bfv' | 'ckks';
  readonly securityBits: number;
  /** The privacy unit, and how many of them every released number rests on by the runtime's own count. */
  readonly unit: string;
  readonly units: number | 'counted while running';
  readonly rows: number;
  readonly canonical: string;
  readonly inWords: readonly string[];
  readonly guarantee: string;
  readonly resultBytes: number;
  /** Operations on ciphertext, as the plan tells them before the run. */
  readonly operations: number;
  /** Values that the query could solve for, and how many that may ever be. */
  readonly extraction: { readonly account: string; readonly charge: number; readonly cap: number } | null;
  /** Runs in a jailed worker; scalars come from the key holder's decryptor, ciphertext is only the asker's to read. */
  readonly run: (jobId: string, signal: AbortSignal) => Promise<ProgramResult>;
}

export type ProgramResult =
  | { readonly kind: 'scalars'; readonly scalars: readonly Scalar[]; readonly cpuMs: number }
  | { readonly kind: 'ciphertext'; readonly words: Uint8Array; readonly units: number; readonly cpuMs: number }
  /** One word for whatever went wrong once ciphertext was read. */
  | { readonly kind: 'failed' };

/** One number that a program declares. */
export interface Scalar {
  readonly name: string;
  readonly group: string | null;
  readonly number: number;
  readonly exact: string | null;
  readonly errorBound: number;
}

/** Media type of a result that only the asker can decrypt: residues of the query profile, 64-bit little-endian. */
export const ENCRYPTED_RESULT = 'application/vnd.glovebox.encrypted-result';

const text = (name: string, role: OutputColumn['role']): OutputColumn => ({
  name,
  type: { kind: 'utf8' },
  nullable: true,
  role,
});
const real = (name: string): OutputColumn => ({ name, type: { kind: 'float64' }, nullable: true, role: 'cell' });
/** Columns of a result in scalars. */
export const SCALAR_OUTPUTS: readonly OutputColumn[] = [
  text('name', 'key'),
  text('group', 'key'),
  real('value'),
  text('exact', 'cell'),
  real('error_bound'),
];
/** The only column of an encrypted result: its words, in order. */
export const CIPHERTEXT_OUTPUTS: readonly OutputColumn[] = [
  { name: 'ciphertext', type: { kind: 'int64' }, nullable: false, role: 'cell' },
];

/** Prepares a homomorphic program: rights, scheme, security, plan and counts are checked before anything is reserved. */
export function prepareHomomorphic(engine: HomomorphicEngine, needs: Pick<JobNeeds, 'sha256'>): Preparer {
  return async ({ job, permits, release, clause, signal }) => {
    if (job.computation.kind !== 'homomorphic') throw new Error('not a homomorphic job');
    if (release.mode !== 'homomorphic') throw new Error('a homomorphic job was admitted under another mode');
    const request = job.computation.program as HomomorphicRequest;
    const [permit] = permits;
    if (permit === undefined || permits.length > 1) {
      return denied(
        reason('agreement-ambiguous', 'a homomorphic program runs under one agreement', {
          remedy: 'name the agreement of the dataset that the program is for',
        }),
      );
    }
    const refused = problemOfRequest(request, permit, release, clause, job.asker);
    if (refused !== null) return refused;
    const open = await engine.open(request, permit, job.asker, signal);
    if (open.kind === 'denied') return open;
    const unfit = problemOfTerms(open, release, clause);
    if (unfit !== null) return unfit;
    return prepared(engine, needs, { open, release, clause, permits, consumer: job.asker.party, jobId: job.id });
  };
}

function prepared(
  engine: HomomorphicEngine,
  needs: Pick<JobNeeds, 'sha256'>,
  input: {
    readonly open: OpenProgram;
    readonly release: HomomorphicRelease;
    readonly clause: string;
    readonly permits: readonly AdmittedPermit[];
    readonly consumer: string;
    readonly jobId: string;
  },
): Prepared {
  const { open, release, clause, permits, consumer, jobId } = input;
  const isOpaque = open.shape === 'encryptedQuery';
  const outputs = isOpaque ? CIPHERTEXT_OUTPUTS : SCALAR_OUTPUTS;
  const schema: Schema = outputs.map(({ name, type, nullable }) => ({ name, type, nullable }));
  const mediaTypes = isOpaque ? [ENCRYPTED_RESULT] : [];
  return {
    kind: 'prepared',
    datasets: [{ ...open.dataset, rows: open.rows }],
    digest: needs.sha256(open.canonical),
    terms: termsOf(release, { clause, units: [open.unit], outputs, mediaTypes, isDominanceApplied: true }),
    schema,
    certificates: [],
    basis: {
      kind: 'certifiedWhole',
      units: [{ unit: open.unit, atLeast: open.units === 'counted while running' ? 0 : open.units }],
    },
    budget: [...budgetLines(consumer, permits), ...queryLines(consumer, open, release)],
    microEpsilon: 0,
    ciphertextOperations: open.operations,
    inWords: open.inWords,
    guarantee: open.guarantee,
    image: engine.image,
    isOrdered: true,
    ...(isOpaque ? { mediaType: ENCRYPTED_RESULT } : {}),
    execute: (signal) => execute(open, jobId, signal),
  };
}

function execute(open: OpenProgram, jobId: string, signal: AbortSignal): Execution {
  let summary: ExecutionSummary = { kind: 'failed' };
  let basis: Basis | null = null;
  async function* batches(): AsyncGenerator<ColumnBatch, void, void> {
    const result = await open.run(jobId, signal);
    if (result.kind === 'failed') return;
    const reasons = [reason('too-few-units', 'groups over too few units are withheld')];
    summary = {
      kind: 'done',
      rowsScanned: open.rows,
      cpuMs: result.cpuMs,
      withheld: { cells: null, reasons: result.kind === 'scalars' ? reasons : [] },
    };
    if (result.kind === 'scalars') {
      yield scalarBatch(result.scalars);
      return;
    }
    basis = { kind: 'certifiedWhole', units: [{ unit: open.unit, atLeast: result.units }] };
    yield {
      rowCount: result.words.byteLength / 8,
      columns: [{ validity: null, values: result.words, offsets: null }],
    };
  }
  const counted = { batches: batches(), summary: () => summary };
  if (open.units !== 'counted while running') return counted;
  return { ...counted, basis: () => basis ?? { kind: 'certifiedWhole', units: [] } };
}

/** What the policy says of programs, columns and schemes; pure. */
function problemOfRequest(
  request: HomomorphicRequest,
  { agreement, permit }: AdmittedPermit,
  release: HomomorphicRelease,
  clause: string,
  asker: { readonly party: string; readonly groups: readonly string[] },
): Denied | null {
  if (request.dataset !== '' && request.dataset !== agreement.dataset) {
    return denied(
      reason('dataset-not-covered', `agreement \`${agreement.id}\` is not for dataset \`${request.dataset}\``, {
        remedy: 'name the agreement of that dataset',
      }),
    );
  }
  if (!release.programs.includes(request.name)) {
    return denied(
      reason('program-not-allowed', `program \`${request.name.slice(0, 64)}\` is not allowed`, {
        clause: `${clause}.release.programs`,
        remedy: `allowed are: ${release.programs.join(', ')}`,
      }),
    );
  }
  const grants = permit.policy.tables.flatMap(({ columns }) => columns);
  for (const name of request.columns) {
    const held = grants
      .filter((column) => column.name === name)
      .flatMap((column) => grantsFor(column, asker.party, asker.groups));
    const rights = held.flatMap((grant) => grant.rights);
    const byCategory = BY_CATEGORY.has(request.name);
    const needed = byCategory ? (['group', 'aggregate'] as const) : (['aggregate'] as const);
    if (!needed.some((right) => rights.includes(right))) {
      return denied(
        reason('column-right-missing', `column \`${name.slice(0, 128)}\` may not be used by \`${request.name}\``, {
          clause: `columns.${name.slice(0, 128)}`,
          remedy: `it needs the right ${needed.map((right) => `\`${right}\``).join(' or ')}`,
        }),
      );
    }
    const wanted = functionOf(request);
    const functions = held.flatMap((grant) => (grant.rights.includes('aggregate') ? grant.functions : []));
    if (!byCategory && !functions.includes(wanted)) {
      return denied(
        reason(
          'column-right-missing',
          `\`${request.name}\` gives what \`${wanted}\` of column \`${name.slice(0, 128)}\` gives`,
          {
            clause: `columns.${name.slice(0, 128)}`,
            remedy: `of this column only ${[...new Set(functions)].join(', ')} may be computed`,
          },
        ),
      );
    }
  }
  return null;
}

const BY_CATEGORY: ReadonlySet<string> = new Set(['histogram', 'countEqual']);

/** The aggregate function of SQL that tells as much of a column: whoever may not have it may not have the program. */
function functionOf({ name, parameters }: HomomorphicRequest): 'sum' | 'avg' | 'count' {
  if (name === 'count') return 'count';
  return name === 'mean' || parameters['mean'] === 1 ? 'avg' : 'sum';
}

function problemOfTerms(open: OpenProgram, release: HomomorphicRelease, clause: string): Denied | null {
  if (!release.schemes.includes(open.scheme)) {
    return denied(
      reason('scheme-not-allowed', `the program runs in ${open.scheme.toUpperCase()}`, {
        clause: `${clause}.release.schemes`,
        remedy: `allowed are: ${release.schemes.join(', ')}`,
      }),
    );
  }
  if (open.securityBits < release.securityBits) {
    return denied(
      reason('security-too-low', `the columns are encrypted at ${open.securityBits}-bit security`, {
        clause: `${clause}.release.securityBits`,
        remedy: `at least ${release.securityBits} bits are asked for: the provider has to encrypt them again`,
      }),
    );
  }
  if (open.units !== 'counted while running' && open.units < release.minUnits) {
    return denied(
      reason('too-few-units', `the dataset has fewer than ${release.minUnits} privacy units`, {
        clause: `${clause}.release.minUnits`,
      }),
    );
  }
  if (open.shape === 'encryptedQuery' && open.resultBytes > DEFAULT_RELEASE_LIMITS.maxBytes) {
    return denied(
      reason('release-too-large', `the result would have ${open.resultBytes} bytes`, {
        clause,
        remedy: `at most ${DEFAULT_RELEASE_LIMITS.maxBytes} bytes leave at once`,
      }),
    );
  }
  return null;
}

/**
 * Programs are linear equations in the rows; enough of them solve for the rows. Each counts against the rule's
 * `maxQueries`, and encrypted ones, whose independence cannot be seen, against the values they could solve for.
 */
function queryLines(consumer: string, open: OpenProgram, release: HomomorphicRelease): readonly BudgetLine[] {
  const { name: dataset } = open.dataset;
  const lines: BudgetLine[] = [];
  if (release.maxQueries !== null) {
    lines.push({
      budget: consumerBudget('count', { dataset, consumer, rule: 'homomorphic queries' }),
      amount: 1n,
      limit: BigInt(release.maxQueries),
    });
  }
  if (open.extraction !== null) {
    const { account, charge, cap } = open.extraction;
    lines.push({
      budget: consumerBudget('rows', { dataset, consumer, rule: `homomorphic ${account}` }),
      amount: BigInt(charge),
      limit: BigInt(cap),
    });
  }
  return lines;
}

function scalarBatch(scalars: readonly Scalar[]): ColumnBatch {
  return {
    rowCount: scalars.length,
    columns: [
      texts(scalars.map(({ name }) => name)),
      texts(scalars.map(({ group }) => group)),
      reals(scalars.map((scalar) => scalar.number)),
      texts(scalars.map(({ exact }) => exact)),
      reals(scalars.map(({ errorBound }) => errorBound)),
    ],
  };
}

function texts(cells: readonly (string | null)[]): ColumnData {
  const encoded = cells.map((cell) => new TextEncoder().encode(cell ?? ''));
  const offsets = new Int32Array(cells.length + 1);
  encoded.forEach((bytes, i) => (offsets[i + 1] = (offsets[i] ?? 0) + bytes.byteLength));
  const values = new Uint8Array(offsets.at(-1) ?? 0);
  encoded.forEach((bytes, i) => values.set(bytes, offsets[i]));
  const validity = new Uint8Array((cells.length + 7) >> 3);
  cells.forEach((cell, i) => {
    if (cell !== null) validity[i >> 3] = (validity[i >> 3] ?? 0) | (1 << (i & 7));
  });
  return { validity, values, offsets };
}

function reals(cells: readonly number[]): ColumnData {
  return { validity: null, values: new Uint8Array(Float64Array.from(cells).buffer), offsets: null };
}
