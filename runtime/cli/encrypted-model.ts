import { readText } from '../client/read-text.ts';
import type { EncryptedModel } from '../client/encrypted-query.ts';
import type { Glovebox } from '../client/connect.ts';
import type { HomomorphicProgram, Job, JobRequest } from '../gen/messages.ts';
import type { Init } from '../rpc/call.ts';
import { type ExitCode, type Output, reasonLines, tableText, UsageError } from './output.ts';

const KNOWN = ['weights', 'intercept', 'decimals', 'count', 'row', 'vector'];
/** Answers shown to a person; all of them with --json. */
const SHOWN = 200;

/** Encrypts the model of a file here, runs a program with it, and tells what only this process can decrypt. */
export async function runWithEncryptedModel(
  glovebox: Glovebox,
  out: Output,
  request: { readonly program: Init<HomomorphicProgram>; readonly job: Init<JobRequest>; readonly modelFile: string },
  tell: {
    readonly shown: (job: Job) => unknown;
    readonly foot: (job: Job) => string;
    readonly onJob: (job: Job) => void;
  },
): Promise<ExitCode> {
  const { isEncryptedQuery, runEncryptedQuery } = await import('../client/encrypted-query.ts');
  const { program, job } = request;
  if (!isEncryptedQuery(program))
    throw new UsageError(
      `program \`${program.name ?? ''}\` takes no encrypted model; queryLinear, queryLogistic, queryDot and lookup do`,
    );
  const model = readModel(request.modelFile);
  const outcome = await runEncryptedQuery(
    glovebox,
    { program, job, model },
    { onChange: (now) => out.progress(`${now.id} ${now.state} ${now.progress?.stage ?? ''}`) },
  ).catch((error: unknown) => {
    throw error instanceof RangeError ? new UsageError(`\`${request.modelFile}\`: ${error.message}`) : error;
  });
  out.endProgress();
  if (outcome.job !== null) tell.onJob(outcome.job);
  if (outcome.kind === 'refused') {
    const { job: ended, reasons } = outcome;
    out.answer({ job: ended === null ? null : tell.shown(ended), reasons }, () => `refused:\n${reasonLines(reasons)}`);
    return ended?.state === 'failed' ? 3 : 1;
  }
  const { job: released, answers } = outcome;
  out.answer({ job: tell.shown(released), answers }, () => {
    const hasRows = answers.some(({ row }) => row !== null);
    const cells = answers
      .slice(0, SHOWN)
      .map(({ name, row, value }) => [...(hasRows ? [row] : []), name, Number(value.toPrecision(12))]);
    const more = answers.length > SHOWN ? `\n… and ${answers.length - SHOWN} more: use --json` : '';
    return `${tableText(hasRows ? ['row', 'name', 'value'] : ['name', 'value'], cells)}${more}\ndecrypted here: nobody else can read it\n\n${tell.foot(released)}`;
  });
  return 0;
}

function readModel(file: string): EncryptedModel {
  let value: unknown;
  try {
    value = JSON.parse(readText(file));
  } catch (cause) {
    throw new UsageError(
      `cannot read the model \`${file}\`: it is a JSON file such as { "weights": { "age": 0.01 } }`,
      { cause },
    );
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new UsageError(`\`${file}\` holds no model`);
  const model = value as Record<string, unknown>;
  const complain = (what: string): never => {
    throw new UsageError(`\`${file}\`: ${what}`);
  };
  const isNumber = (one: unknown): boolean => typeof one === 'number' && Number.isFinite(one);
  for (const key of Object.keys(model))
    if (!KNOWN.includes(key)) complain(`unknown key \`${key}\`; known are ${KNOWN.join(', ')}`);
  const { weights, vector, intercept, decimals, count, row } = model;
  const isTable = typeof weights === 'object' && weights !== null && Object.values(weights).every(isNumber);
  if (weights !== undefined && !isTable) complain('`weights` has one number for each column');
  if (vector !== undefined && !(Array.isArray(vector) && vector.every(isNumber)))
    complain('`vector` is a list of numbers');
  for (const [name, one] of Object.entries({ intercept, decimals, count, row }))
    if (one !== undefined && !isNumber(one)) complain(`\`${name}\` is a number`);
  for (const [name, one] of Object.entries({ count, row }))
    if (one !== undefined && !(Number.isSafeInteger(one) && (one as number) >= 0))
      complain(`\`${name}\` is a whole number`);
  return model;
}
