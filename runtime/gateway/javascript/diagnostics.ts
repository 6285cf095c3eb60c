import type { DebugJobResponse } from '../../gen/messages.ts';
import type { Job } from '../../job/job.ts';
import { type Reason, reason } from '../../policy/reason.ts';
import type { JavaScriptComputation } from '../../sandbox/javascript/computation.ts';
import type { SubmittedProgram } from './engine.ts';

export interface CodeDiagnosticsNeeds {
  /** Runs code on synthetic data and tells all that it said; see code-debug.ts. */
  readonly runOnSyntheticRows: (
    asker: Pick<Job, 'asker' | 'agreementIds'>,
    computation: JavaScriptComputation,
    run: { readonly rows: number; readonly seed: number; readonly timeoutMs: number; readonly signal: AbortSignal },
  ) => Promise<DebugJobResponse>;
}

/** Time of a run for `explain`, milliseconds. */
const TRIAL_MS = 2_000;
/** Longest part of an error of the program that is told. */
const MAX_ERROR = 300;

/**
 * What goes wrong when a program runs on synthetic rows. Among real rows nobody is told that a block failed, it counts as the
 * default: without this a consumer pays for noise around its own defaults. Row functions cannot fail, and `post` has no twin.
 */
export async function codeDiagnostics(
  needs: CodeDiagnosticsNeeds,
  job: Job,
  signal: AbortSignal,
): Promise<readonly Reason[]> {
  if (job.computation.kind !== 'javascript') return [];
  const { parsed } = job.computation.program as SubmittedProgram;
  if (parsed.kind === 'refused') return [];
  const { computation } = parsed;
  if (computation.mode !== 'blocks' && computation.mode !== 'approved') return [];
  const run = { rows: 0, seed: 1, timeoutMs: TRIAL_MS, signal };
  const said = await needs.runOnSyntheticRows(job, computation, run);
  if (said.reasons.length > 0) return said.reasons;
  const wrong =
    said.error === ''
      ? computation.mode === 'blocks' && wrongShape(computation, said.result)
      : said.error.slice(0, MAX_ERROR);
  if (wrong === false || wrong === null) return [];
  const consequence =
    computation.mode === 'blocks'
      ? 'a block in which that happens counts as the declared defaults'
      : 'a group in which that happens has no rows';
  return [
    reason('program-failed', `on synthetic rows: ${wrong}; ${consequence}, and nobody is told`, {
      remedy: '`job debug` shows all that the program says there',
    }),
  ];
}

const NO_JSON_NUMBERS: readonly string[] = ['NaN', 'Infinity', '-Infinity'];

/** Why the answer is not the declared numbers, as far as its JSON tells; null where nothing is wrong. */
export function wrongShape(
  { outputs }: { readonly outputs: readonly { readonly name: string }[] },
  result: string,
): string | null {
  const names = outputs.map(({ name }) => name);
  const wanted = `expected ${names.length === 1 ? 'a number, or ' : ''}${names.length} in an array, or an object of ${names.join(', ')}`;
  let value: unknown;
  try {
    value = JSON.parse(result);
  } catch {
    // An object that was cut off may well hold the numbers.
    if (result.startsWith('{')) return null;
    value = NO_JSON_NUMBERS.includes(result) ? Number(result) : null;
  }
  if (typeof value === 'number') return names.length === 1 ? null : `the program returned one number: ${wanted}`;
  if (typeof value !== 'object' || value === null) return `the program returned no numbers: ${wanted}`;
  // A typed array is shown as an object of its places.
  const isList = Array.isArray(value) || Object.keys(value).every((key, place) => key === String(place));
  const fields = value as Readonly<Record<string, unknown>>;
  const count = Object.keys(fields).length;
  if (isList && count !== names.length) return `the program returned ${count} values: ${wanted}`;
  const found = isList ? Object.values(fields) : names.map((name) => fields[name]);
  // NaN is shown as null, and is a number.
  const missing = names.filter((_, place) => typeof found[place] !== 'number' && found[place] !== null);
  return missing.length === 0 ? null : `the program returned no number for ${missing.join(', ')}: ${wanted}`;
}
