import type { ColumnGrant, SandboxRelease, ApprovedCodeRelease } from '../policy/model.ts';
import { type Denied, denied, reason } from '../policy/reason.ts';
import type { CatalogueColumn, CatalogueTable } from '../query/catalogue.ts';
import { type Loss, nanoRhoWithin } from '../release/accounting.ts';
import type { Basis, Certificate, OutputColumn } from '../release/candidate.ts';
import { termsOf } from '../release/terms.ts';
import { budgetLines } from './budget-lines.ts';
import { codeLossLines } from './loss-lines.ts';
import type { JobNeeds, Preparer } from './needs.ts';
import type { AdmittedPermit } from './admission.ts';
import type { Execution, ColumnAccuracy, Prepared } from './prepare.ts';
import type { OpenDataset } from './sql-engine.ts';

export type CodeMode = 'rowFunction' | 'blocks' | 'approved' | 'post';

/** A submitted program as the decision sees it: what it reads and gives, never how. */
export interface CodeFace {
  readonly kind: 'code';
  readonly mode: CodeMode;
  /** Null for code over released results. */
  readonly table: string | null;
  readonly columns: readonly string[];
  readonly groupColumn: string | null;
  /** Numbers that one row or block gives; 0 where the policy does not count them. */
  readonly outputs: number;
  /** Blocks that the consumer declares; null: the recommended number, or no blocks at all. */
  readonly blocks: number | null;
  /** Rounds of an iterative job; 1 for any other. */
  readonly rounds: number;
  /** Loss that the consumer wants to spend; null: all that the rule allows per job. */
  readonly microEpsilon: number | null;
  /** The dataset whose reviewers approved it; null when approvals play no part. */
  readonly approvedFor: string | null;
  /** Jobs whose released results it reads. */
  readonly results: readonly string[];
  /** Equal for equal programs; its digest goes into evidence. */
  readonly canonical: string;
  /** The engine's own form of it. */
  readonly computation: unknown;
}

/** What the JavaScript path needs: rows from jailed SQL workers, code in jailed JavaScript workers, noise here. */
export interface JavaScriptEngine {
  /** Reads what was submitted; refusals speak of the consumer's own words. */
  readonly read: (program: unknown) => CodeFace | Denied;
  readonly open: (permit: AdmittedPermit, party: string, groups: readonly string[]) => Promise<OpenDataset | Denied>;
  /** Parses the text in a worker without data and plans the run; reads no row. */
  readonly ready: (input: ReadyInput) => Promise<ReadyCode | Denied>;
  readonly image: string;
}

/** A loss as rho, in 10⁻⁹, and the delta at which it is worth the job's epsilon. */
export interface Concentrated {
  readonly nanoRho: number;
  readonly delta: number;
}

export interface ReadyInput {
  readonly code: CodeFace;
  readonly party: string;
  readonly jobId: string;
  readonly release: SandboxRelease | ApprovedCodeRelease;
  readonly clause: string;
  /** What may be spent on noise; 0 where none is added. */
  readonly microEpsilon: number;
  /** The same as rho, where losses add up as zero-concentrated differential privacy: Gaussian noise then. */
  readonly concentrated: Concentrated | null;
  /** Null for code over released results. */
  readonly data: {
    readonly dataset: OpenDataset;
    readonly table: CatalogueTable;
    readonly rowsPerUnit: number | null;
  } | null;
  readonly signal: AbortSignal;
}

export interface ReadyCode {
  readonly kind: 'ready';
  readonly outputs: readonly OutputColumn[];
  readonly certificates: readonly Certificate[];
  readonly inWords: readonly string[];
  readonly guarantee: string;
  readonly errors: readonly ColumnAccuracy[];
  readonly execute: (signal: AbortSignal, progress?: (done: number, total: number) => void) => Execution;
}

/** Prepares sandboxed code: method and columns under the policy, loss and noise, the parsed program, the bound rows. */
export function prepareJavaScript(engine: JavaScriptEngine, needs: Pick<JobNeeds, 'sha256'>): Preparer {
  return async ({ job, permits, release, clause, signal }) => {
    if (job.computation.kind !== 'javascript') throw new Error('not a JavaScript job');
    if (release.mode !== 'sandbox' && release.mode !== 'approvedCode')
      throw new Error(`no code runs in mode ${release.mode}`);
    const code = engine.read(job.computation.program);
    if (code.kind === 'denied') return code;
    const { party, groups } = job.asker;
    const common = { code, party, jobId: job.id, signal };
    const digest = needs.sha256(code.canonical);

    if (code.mode === 'post') {
      const refused = problemOfMode(code, release, clause);
      if (refused !== null) return refused;
      const ready = await engine.ready({ ...common, release, clause, microEpsilon: 0, concentrated: null, data: null });
      if (ready.kind === 'denied') return ready;
      return preparedOf(ready, {
        digest,
        release,
        clause,
        image: engine.image,
        units: [],
        basis: { kind: 'postProcessed' },
        datasets: [],
        // What it reads has left already: nothing is drawn on but the uses that every job counts.
        budget: budgetLines(party, permits),
        microEpsilon: 0,
      });
    }

    const found = await tableOf(engine, code, permits, party, groups);
    if (found.kind === 'denied') return found;
    const { permit, dataset, table } = found;
    // Terms of datasets that the code does not read must not weaken or tighten the answer.
    const { release: terms, clause: of } = permit.permit;
    if (terms.mode !== release.mode) throw new Error('a permit of another mode');
    const refused =
      problemOfMode(code, terms, of) ??
      problemOfApproval(code, dataset, of) ??
      problemOfUnits(table, of) ??
      problemOfColumns(code, table, of);
    if (refused !== null) return refused;

    const spent = terms.mode === 'sandbox' ? spentBy(code, terms) : null;
    const { microEpsilon, concentrated } = spent ?? { microEpsilon: 0, concentrated: null };
    if (concentrated !== null && concentrated.nanoRho < 1)
      return denied(reason('epsilon-too-small', 'the budget of the job is too small for any noise', { clause: of }));
    const rowsPerUnit = terms.mode === 'sandbox' ? terms.maxRowsPerUnit : null;
    const ready = await engine.ready({
      ...common,
      release: terms,
      clause: of,
      microEpsilon,
      concentrated,
      data: { dataset, table, rowsPerUnit },
    });
    if (ready.kind === 'denied') return ready;
    return preparedOf(ready, {
      digest,
      release: terms,
      clause: of,
      image: engine.image,
      units: [UNIT],
      basis: spent === null ? { kind: 'certified' } : { kind: 'noised', microEpsilon, delta: concentrated?.delta ?? 0 },
      datasets: [
        { name: dataset.name, version: dataset.version, digest: dataset.digest, rows: Number(table.rowCount) },
      ],
      budget: [...budgetLines(party, [permit]), ...linesOf(party, dataset.name, terms, spent)],
      microEpsilon,
    });
  };
}

/** Name of the one privacy unit in certificates and terms. */
export const UNIT = 'unit';

interface Decided {
  readonly digest: string;
  readonly release: SandboxRelease | ApprovedCodeRelease;
  readonly clause: string;
  readonly image: string;
  readonly units: readonly string[];
  readonly basis: Basis;
  readonly datasets: Prepared['datasets'];
  readonly budget: Prepared['budget'];
  readonly microEpsilon: number;
}

function preparedOf(ready: ReadyCode, decided: Decided): Prepared {
  const { outputs, certificates, inWords, guarantee, errors, execute } = ready;
  const { release, clause, units, ...rest } = decided;
  const hidden = certificates.flatMap((one) =>
    one.kind === 'units' ? [{ name: one.column, type: { kind: 'int64' as const }, nullable: false }] : [],
  );
  return {
    kind: 'prepared',
    ...rest,
    terms: termsOf(release, { clause, units, outputs, mediaTypes: [], isDominanceApplied: true }),
    schema: [...outputs.map(({ name, type, nullable }) => ({ name, type, nullable })), ...hidden],
    certificates,
    inWords,
    guarantee,
    isOrdered: true,
    errors,
    execute,
  };
}

interface Spent {
  readonly microEpsilon: number;
  readonly concentrated: Concentrated | null;
}

/** A job never costs more than (epsilon, delta): rho is rounded down to what stays within both. */
function spentBy(code: CodeFace, { microEpsilonPerJob, accounting, delta }: SandboxRelease): Spent {
  const microEpsilon = Math.min(code.microEpsilon ?? microEpsilonPerJob, microEpsilonPerJob);
  const concentrated = accounting === 'pure' ? null : { nanoRho: nanoRhoWithin(microEpsilon, delta), delta };
  return { microEpsilon, concentrated };
}

function linesOf(
  party: string,
  dataset: string,
  terms: SandboxRelease | ApprovedCodeRelease,
  spent: Spent | null,
): ReturnType<typeof codeLossLines> {
  if (spent === null || terms.mode !== 'sandbox') return [];
  const { microEpsilon, concentrated } = spent;
  const loss: Loss =
    concentrated === null
      ? { kind: 'pure', microEpsilon, femtoDelta: 0 }
      : { kind: 'zcdp', nanoRho: concentrated.nanoRho, femtoDelta: 0 };
  return codeLossLines(party, dataset, terms, { loss, microEpsilon });
}

/** Whether the rule offers this way of running code, and as many numbers as asked. */
function problemOfMode(code: CodeFace, release: SandboxRelease | ApprovedCodeRelease, clause: string): Denied | null {
  if (release.mode === 'approvedCode') {
    if (code.mode === 'approved') return null;
    return denied(
      reason('method-not-allowed', `rule \`${clause}\` is for approved code`, {
        clause,
        remedy: 'submit the code for approval, and name its digest in the job',
      }),
    );
  }
  const allowed: readonly string[] = release.methods;
  if (!allowed.includes(code.mode)) {
    return denied(
      reason('method-not-allowed', `method \`${code.mode}\` is not allowed`, {
        clause,
        remedy: `allowed methods: ${allowed.join(', ')}`,
      }),
    );
  }
  if (code.microEpsilon !== null && code.microEpsilon > release.microEpsilonPerJob) {
    return denied(
      reason('epsilon-too-large', `the job asks for epsilon ${code.microEpsilon / 1e6}`, {
        clause,
        remedy: `ask for at most ${release.microEpsilonPerJob / 1e6}`,
      }),
    );
  }
  if (code.outputs > release.outputs) {
    return denied(
      reason('too-many-outputs', `the program declares ${code.outputs} outputs`, {
        clause,
        remedy: `declare at most ${release.outputs}`,
      }),
    );
  }
  const { blocks, rounds } = release.limits;
  if (code.blocks !== null && blocks !== null && code.blocks > blocks) {
    return denied(
      reason('too-many-blocks', `the program asks for ${code.blocks} blocks`, {
        clause,
        remedy: `ask for at most ${blocks}, or name no number`,
      }),
    );
  }
  if (rounds !== null && code.rounds > rounds) {
    return denied(
      reason('too-many-rounds', `the program asks for ${code.rounds} rounds`, {
        clause,
        remedy: `ask for at most ${rounds}`,
      }),
    );
  }
  return null;
}

/** Reviewers of one dataset say nothing about another that happens to have such a table. */
function problemOfApproval({ approvedFor }: CodeFace, { name }: OpenDataset, clause: string): Denied | null {
  if (approvedFor === null || approvedFor === name) return null;
  return denied(
    reason('code-not-approved', 'the code was approved for another dataset', {
      clause,
      remedy: 'submit it for this one',
    }),
  );
}

/** Contributions are bounded per unit, so there must be exactly one kind of unit. */
function problemOfUnits(table: CatalogueTable, clause: string): Denied | null {
  if (table.isPublic || table.units.length === 0) {
    return denied(
      reason('unit-missing', `table \`${nameOf(table)}\` is public and has no privacy unit to protect`, {
        clause,
        remedy: 'read public tables with SQL, and run code over the result with method `post` or on your side',
      }),
    );
  }
  if (table.units.length > 1) {
    return denied(
      reason('several-units', `table \`${nameOf(table)}\` protects ${table.units.length} privacy units at once`, {
        clause,
        remedy: 'sandboxed code bounds the rows of one privacy unit: ask the provider for a table with one',
      }),
    );
  }
  return null;
}

/**
 * Code may read a column when the policy grants the consumer `aggregate`, `group` or `filter` on it. What code does with a
 * value cannot be told apart (a comparison is arithmetic), so any right by which values may shape a result is enough; in
 * these modes noise or thresholds protect, not the list of functions. `join`, `countDistinct`, `order`, `compare` and
 * `extremum` alone let nobody read. Keys of a group must have the right `group`.
 */
function problemOfColumns(code: CodeFace, table: CatalogueTable, clause: string): Denied | null {
  const reasons = [...new Set([...code.columns, ...(code.groupColumn === null ? [] : [code.groupColumn])])].flatMap(
    (name) => {
      const column = table.columns.find((one) => one.name === name);
      const readable = table.columns.filter((one) => hasRight(one, READING)).map((one) => one.name);
      if (column === undefined || !hasRight(column, READING)) {
        return [
          reason('column-not-granted', `column \`${name}\` may not be read by code`, {
            clause,
            remedy: `columns that may be read: ${readable.join(', ') || 'none'}`,
          }),
        ];
      }
      if (name === code.groupColumn && !hasRight(column, ['group'])) {
        return [
          reason('column-right-missing', `column \`${name}\` may not be grouped by`, {
            clause,
            remedy: 'the policy does not grant `group` on it',
          }),
        ];
      }
      return [];
    },
  );
  return reasons.length === 0 ? null : denied(...reasons);
}

const READING: readonly ColumnGrant['rights'][number][] = ['aggregate', 'group', 'filter'];

function hasRight(column: CatalogueColumn, rights: readonly ColumnGrant['rights'][number][]): boolean {
  return column.grants.some((grant) => grant.rights.some((right) => rights.includes(right)));
}

const nameOf = (table: CatalogueTable): string => table.names[0] ?? table.physical;

/** The one table that the code reads, in the one dataset of the agreements that has it. */
async function tableOf(
  engine: JavaScriptEngine,
  code: CodeFace,
  permits: readonly AdmittedPermit[],
  party: string,
  groups: readonly string[],
): Promise<
  | {
      readonly kind: 'found';
      readonly permit: AdmittedPermit;
      readonly dataset: OpenDataset;
      readonly table: CatalogueTable;
    }
  | Denied
> {
  const found: { permit: AdmittedPermit; dataset: OpenDataset; table: CatalogueTable }[] = [];
  const names: string[] = [];
  for (const permit of permits) {
    const dataset = await engine.open(permit, party, groups);
    if (dataset.kind === 'denied') return dataset;
    for (const table of dataset.tables) {
      names.push(nameOf(table));
      if (code.table !== null && table.names.includes(code.table)) found.push({ permit, dataset, table });
    }
  }
  const [only, second] = found;
  if (only === undefined) {
    return denied(
      reason('table-unknown', `table \`${code.table ?? ''}\` is not in the datasets of the job`, {
        remedy: `tables: ${names.join(', ')}`,
      }),
    );
  }
  if (second !== undefined) {
    return denied(
      reason('table-ambiguous', `table \`${code.table ?? ''}\` is in several datasets`, {
        remedy: `name one of: ${found.map(({ table }) => table.names.at(-1) ?? '').join(', ')}`,
      }),
    );
  }
  return { kind: 'found', ...only };
}
