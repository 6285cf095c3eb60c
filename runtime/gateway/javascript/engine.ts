import type { CodeFace, JavaScriptEngine, ReadyCode, ReadyInput } from '../../job/prepare-javascript.ts';
import { limitsInWords } from '../../policy/release-in-words.ts';
import { type Denied, denied, type Reason, reason } from '../../policy/reason.ts';
import type { CatalogueTable } from '../../query/catalogue.ts';
import type { Complaint } from '../../sandbox/javascript/complaint.ts';
import type { JavaScriptComputation, ParsedComputation } from '../../sandbox/javascript/computation.ts';
import { pooledWorkers } from '../../sandbox/javascript/pooled-workers.ts';
import { type PreparedComputation, prepareComputation } from '../../sandbox/javascript/prepared.ts';
import type { RowProgram } from '../../sandbox/javascript/row-function/program.ts';
import type { GroupKey } from '../../sandbox/javascript/source.ts';
import { declaredTexts, kindOfType, textKeys } from './rows.ts';
import type { ReadColumn } from './row-request.ts';
import { approvedRun } from './approved.ts';
import { blocksRun } from './blocks.ts';
import { postRun } from './post.ts';
import { rowFunctionRun } from './row-function.ts';
import type { JavaScriptRunNeeds } from './run.ts';

/** The program of a JavaScript job: plain data, read from the message, and what the registry says of its code. */
export interface SubmittedProgram {
  readonly image: string;
  /** `sha256:…` of code that asks to run as approved; null for any other. */
  readonly codeDigest: string | null;
  /** Capacities in which different parties approve this digest now. */
  readonly approvers: readonly string[];
  /** The dataset whose reviewers judged it; null when nobody did. */
  readonly approvedFor: string | null;
  /** Whether a reviewer rejected or revoked it: then no list of digests lets it in either. */
  readonly isRejected: boolean;
  readonly parsed: ParsedComputation;
  /** Loss that the consumer wants to spend, in micro-epsilon; null: all that the rule allows for one job. */
  readonly microEpsilon: number | null;
}

/** The JavaScript path over real workers: text is parsed where no data is, code runs where no secret is, noise is added here. */
export function javaScriptEngine(needs: JavaScriptRunNeeds, image: string): JavaScriptEngine {
  return {
    image,
    open: needs.open,
    read: (program) => {
      const { parsed, microEpsilon, approvedFor, isRejected } = program as SubmittedProgram;
      if (isRejected) return denied(reason('code-rejected', 'a reviewer rejected this code or took its approval back'));
      if (parsed.kind === 'refused') {
        return denied(
          ...some(
            parsed.reasons.map((text) => reason('program-not-valid', text, { remedy: 'see docs/sandboxed-code.md' })),
          ),
        );
      }
      return { ...faceOf(parsed.computation, microEpsilon), approvedFor };
    },
    ready: (input) => ready(needs, input),
  };
}

function faceOf(computation: JavaScriptComputation, microEpsilon: number | null): Omit<CodeFace, 'approvedFor'> {
  const { mode } = computation;
  const isOverTable = mode !== 'post';
  const groupBy = mode === 'rowFunction' || mode === 'approved' ? computation.groupBy : undefined;
  return {
    kind: 'code',
    mode,
    table: isOverTable ? computation.table : null,
    columns: isOverTable ? computation.columns : [],
    groupColumn: groupBy?.column ?? null,
    outputs: mode === 'rowFunction' || mode === 'blocks' ? computation.outputs.length : 0,
    blocks: mode === 'blocks' ? (computation.blocks.count ?? null) : null,
    rounds: mode === 'rowFunction' ? (computation.iterate?.rounds ?? 1) : 1,
    microEpsilon,
    results: mode === 'post' ? computation.results : [],
    canonical: JSON.stringify([computation, microEpsilon]),
    computation,
  };
}

async function ready(needs: JavaScriptRunNeeds, input: ReadyInput): Promise<ReadyCode | Denied> {
  const { code, data, clause, party, signal } = input;
  const computation = code.computation as JavaScriptComputation;
  const columns = data === null ? [] : columnsOf(computation, data.table, clause);
  if ('kind' in columns) return columns;
  const workers = pooledWorkers(needs.pool, { party, signal });
  const answer = await prepareComputation(workers, computation, { columns, rowsPerUnit: data?.rowsPerUnit ?? 1 });
  if (answer.kind === 'failed') {
    signal.throwIfAborted();
    return denied(reason('program-not-readable', 'the program could not be read within its limits'));
  }
  if (answer.kind === 'refused') return denied(...some(answer.reasons.map(reasonOf)));
  const { prepared } = answer;
  const read = columns.map((column) => withTexts(column, prepared));
  const run = await runOf(needs, input, prepared, read);
  const limits = limitsInWords(input.release.limits);
  if (run.kind === 'denied' || limits.length === 0) return run;
  return { ...run, inWords: [...run.inWords, `the policy limits what the code may use: ${limits.join(', ')}`] };
}

function runOf(
  needs: JavaScriptRunNeeds,
  input: ReadyInput,
  prepared: PreparedComputation,
  read: readonly ReadColumn[],
): ReadyCode | Denied | Promise<ReadyCode | Denied> {
  switch (prepared.mode) {
    case 'rowFunction':
      return rowFunctionRun(needs, input, prepared, read);
    case 'blocks':
      return blocksRun(needs, input, prepared, read);
    case 'approved':
      return approvedRun(needs, input, prepared, read);
    case 'post':
      return postRun(needs, input, prepared);
  }
}

/** The columns that the code reads, with the form in which they reach it. */
function columnsOf(
  computation: JavaScriptComputation,
  table: CatalogueTable,
  clause: string,
): readonly ReadColumn[] | Denied {
  if (computation.mode === 'post') return [];
  const groupBy = computation.mode === 'blocks' ? undefined : computation.groupBy;
  const names = [...new Set([...computation.columns, ...(groupBy === undefined ? [] : [groupBy.column])])];
  const reasons: Reason[] = [];
  const columns = names.flatMap((name): readonly ReadColumn[] => {
    const column = table.columns.find((one) => one.name === name);
    const kind = column === undefined ? undefined : kindOfType(column.type);
    if (column === undefined || kind === undefined) {
      reasons.push(reason('column-type', `column \`${name}\` has a type that code cannot read`, { clause }));
      return [];
    }
    const listed = declaredTexts(column);
    if (kind === 'dictionary' && listed === undefined && computation.mode !== 'rowFunction') {
      // The code would see which texts occur in rows of other blocks and groups.
      reasons.push(
        reason('column-values-not-listed', `text column \`${name}\` has no listed values`, {
          clause,
          remedy: 'ask the provider to list its `values` in the policy, or compare it in a row function',
        }),
      );
      return [];
    }
    const texts = computation.mode === 'rowFunction' ? [] : (listed ?? []);
    return [{ name, kind, isNullable: true, type: column.type, texts, other: 'missing' }];
  });
  return reasons.length > 0 ? denied(...reasons) : columns;
}

/** A row function can tell apart the texts that it names and the keys it is grouped by, and no others. */
function withTexts(column: ReadColumn, prepared: PreparedComputation): ReadColumn {
  if (prepared.mode !== 'rowFunction' || column.kind !== 'dictionary') return column;
  const { groupBy } = prepared.computation;
  const keys: readonly GroupKey[] = groupBy?.column === column.name ? groupBy.keys : [];
  const texts = new Set([...textsIn(prepared.program, column.name), ...textKeys(keys)]);
  return { ...column, texts: [...texts], other: 'unlisted' };
}

function textsIn(program: RowProgram, column: string): readonly string[] {
  const found: string[] = [];
  const walk = (node: unknown): void => {
    if (typeof node !== 'object' || node === null) return;
    const { kind, column: of, text } = node as { kind?: unknown; column?: unknown; text?: unknown };
    if (kind === 'textIs' && of === column && typeof text === 'string') found.push(text);
    for (const child of Object.values(node)) walk(child);
  };
  walk(program.steps);
  return found;
}

const reasonOf = ({ line, column, message }: Complaint): Reason =>
  reason('program-refused', message, { at: { line, column }, remedy: 'see docs/sandboxed-code.md for the language' });

function some(reasons: readonly Reason[]): readonly Reason[] {
  return reasons.length > 0 ? reasons : [reason('program-not-valid', 'the program is not valid')];
}
