import { readFileSync, writeFileSync } from 'node:fs';
import type { RecordBatch } from 'apache-arrow';
import type { Command } from 'commander';
import type { Glovebox } from '../client/connect.ts';
import type { HomomorphicProgram, Job, JobRequest, ParameterValue } from '../gen/messages.ts';
import type { Init } from '../rpc/call.ts';
import { actAs, type CommonOptions, withCommon } from './command.ts';
import { programOf, type ProgramOptions } from './program-option.ts';
import { explainText } from './explain-text.ts';
import { type ExitCode, type Output, reasonLines, tableText, UsageError } from './output.ts';

interface JobOptions extends CommonOptions, ProgramOptions {
  readonly agreement?: readonly string[];
  readonly project?: string;
  readonly mandate?: string;
  readonly rule?: string;
  readonly purpose?: string;
  readonly sql?: string;
  readonly file?: string;
  readonly program?: string;
  readonly param?: readonly string[];
  readonly deadline?: string;
  readonly key?: string;
  readonly out?: string;
  readonly format?: string;
  readonly receipt?: string;
  readonly encryptModel?: string;
}

/** Rows shown to a person; the whole result goes to a file with --out. */
const SHOWN_ROWS = 200;

export function addJob(program: Command): void {
  const job = program.command('job').description('computations: run, explain, look at, stop');
  const withRequest = (command: Command, example: string): Command =>
    withCommon(command, example)
      .option('--sql <text>', 'the query')
      .option('--file <file>', 'the query in a file; - for standard input')
      .option(
        '--program <file>',
        'instead of a query: sandboxed code (TypeScript or JavaScript), or a homomorphic program (YAML or JSON)',
      )
      .option('--spec <file>', 'what the program reads and returns, YAML or JSON; see docs/sandboxed-code.md')
      .option('--agreement <id...>', 'agreements to use; default: your only active one')
      .option('--project <name>', 'a project, instead of agreements')
      .option('--mandate <id>', 'act for who gave you this mandate; the result is theirs')
      .option('--rule <id>', 'rule of the policy to use, when several would do')
      .option('--purpose <purpose>', 'what the result is for, e.g. RiskManagement')
      .option('--param <name=value...>', 'values of $name in the query')
      .option('--deadline <ms>', 'give up after so many milliseconds');

  withRequest(
    job.command('run [sql]').description('run a query and fetch what may leave'),
    `glovebox job run "select ward, count(*) from visits group by ward" --as acme.credential.json`,
  )
    .option('--out <file>', 'write the result to a file: .arrow, .csv or .json')
    .option('--receipt <file>', 'write the receipt to a file')
    .option(
      '--encrypt-model <file>',
      'for query programs: weights, vector or row in JSON, encrypted here under a key that nobody else ever has',
    )
    .option('--key <text>', 'idempotency key: the same key again is the same job')
    .action((sql: string | undefined, options: JobOptions) =>
      actAs(options, (glovebox, out) => runJob(glovebox, out, sql, options)),
    );

  withRequest(
    job.command('explain [sql]').description('what would happen, and why; costs nothing and reads no row'),
    `glovebox job explain "select * from visits" --as acme.credential.json`,
  ).action((sql: string | undefined, options: JobOptions) =>
    actAs(options, async (glovebox, out) => {
      const answer = await glovebox.jobs.explain({ job: await requestOf(sql, options) });
      out.answer(answer, explainText);
      return answer.wouldRun ? 0 : 1;
    }),
  );
  withCommon(
    job.command('debug').description('run code on a synthetic twin, with its errors and console; reads no row'),
    'glovebox job debug --program score.ts --spec score.yaml --as acme.credential.json',
  )
    .option('--program <file>', 'the source, or the description that names it')
    .option('--spec <file>', 'what the program reads and returns, YAML or JSON')
    .option('--agreement <id...>', 'agreements to use; default: your only active one')
    .option('--rows <number>', 'rows of the twin', '1000')
    .option('--seed <number>', 'another seed makes another twin', '1')
    .action((options: JobOptions & { rows: string; seed: string }) =>
      actAs(options, async (glovebox, out) => {
        const answer = await glovebox.jobs.debug({
          program: await programOf(options),
          agreementIds: options.agreement ?? [],
          rows: Number(options.rows),
          seed: Number(options.seed),
        });
        out.answer(answer, () =>
          answer.reasons.length > 0
            ? `not run:\n${reasonLines(answer.reasons)}`
            : [
                ...answer.console.map((line) => `console: ${line}`),
                answer.error === '' ? answer.result : answer.error,
              ].join('\n'),
        );
        return answer.reasons.length > 0 || answer.error !== '' ? 1 : 0;
      }),
    );
  withCommon(job.command('list').description('your jobs, newest first'), 'glovebox job list').action(
    (options: CommonOptions) =>
      actAs(options, async (glovebox, out) => {
        const { jobs } = await glovebox.jobs.list({});
        out.answer({ jobs }, () =>
          tableText(
            ['job', 'state', 'asker', 'datasets', 'when', 'why'],
            jobs.map((one) => [
              one.id,
              one.state,
              one.consumer,
              one.datasets.join(', '),
              new Date(one.submittedAtMs).toISOString(),
              one.reasons.map(({ code }) => code).join(', '),
            ]),
          ),
        );
      }),
  );
  withCommon(job.command('show <id>').description('one job with its receipt'), 'glovebox job show job-…')
    .option('--receipt <file>', 'write the receipt to a file')
    .option('--out <file>', 'fetch the result again, while it is kept')
    .action((id: string, options: JobOptions) =>
      actAs(options, async (glovebox, out) => {
        const { job: found } = await glovebox.jobs.get({ id });
        if (found === null) return 3;
        writeReceipt(found, options.receipt);
        if (options.out !== undefined && found.ticket !== null) await writeResult(glovebox, found.ticket, options.out);
        out.answer(shown(found), () => describe(found));
        return 0;
      }),
    );
  withCommon(job.command('watch <id>').description('follow a job to its end'), 'glovebox job watch job-…').action(
    (id: string, options: CommonOptions) =>
      actAs(options, async (glovebox, out) => {
        let last: Job | null = null;
        for await (const { job: now } of glovebox.jobs.watch({ id }, { timeoutMs: 3_600_000 })) {
          last = now;
          out.progress(`${now?.state ?? ''} ${now?.progress?.stage ?? ''}`);
        }
        out.endProgress();
        out.answer(last === null ? null : shown(last), () => (last === null ? '' : describe(last)));
        return last?.state === 'released' ? 0 : 1;
      }),
  );
  withCommon(
    job.command('cancel <id>').description('stop a job; nothing of it leaves'),
    'glovebox job cancel job-…',
  ).action((id: string, options: CommonOptions) =>
    actAs(options, async (glovebox, out) => {
      const { job: ended } = await glovebox.jobs.cancel({ id });
      out.answer(ended === null ? null : shown(ended), () => `${id} is ${ended?.state ?? ''}`);
    }),
  );
}

async function runJob(
  glovebox: Glovebox,
  out: Output,
  sql: string | undefined,
  options: JobOptions,
): Promise<ExitCode> {
  if (options.encryptModel !== undefined) {
    const { runWithEncryptedModel } = await import('./encrypted-model.ts');
    const program = await homomorphicProgramOf(options);
    if (program === null) throw new UsageError('--encrypt-model goes with a homomorphic program: --program FILE.yaml');
    return await runWithEncryptedModel(
      glovebox,
      out,
      { program, job: commonOf(options), modelFile: options.encryptModel },
      { shown, foot: footOf, onJob: (ended) => writeReceipt(ended, options.receipt) },
    );
  }
  const request = await requestOf(sql, options);
  const { job: submitted } = await glovebox.jobs.submit({ job: request });
  let job = submitted;
  if (job !== null && (job.state === 'queued' || job.state === 'running')) {
    for await (const { job: now } of glovebox.jobs.watch({ id: job.id }, { timeoutMs: 3_700_000 })) {
      job = now ?? job;
      out.progress(`${job.id} ${job.state} ${job.progress?.stage ?? ''}`);
    }
  } else if (job !== null) job = (await glovebox.jobs.get({ id: job.id })).job;
  out.endProgress();
  if (job === null) return 3;
  writeReceipt(job, options.receipt);
  const { ticket } = job;
  if (job.state !== 'released' || ticket === null) {
    const ended = job;
    out.answer({ job: shown(ended) }, () => `${ended.id} is ${ended.state}\n${reasonLines(ended.reasons)}`);
    return job.state === 'failed' ? 3 : 1;
  }
  const released = job;
  if (options.out !== undefined) {
    const rows = await writeResult(glovebox, ticket, options.out);
    out.answer(
      { job: shown(released), rows, file: options.out },
      () => `${rows} rows written to ${options.out ?? ''}\n${footOf(released)}`,
    );
    return 0;
  }
  // Arrow's library takes a while to load, and only results need it.
  const { cellsOf, columnsOf } = await import('./result-table.ts');
  const table = await glovebox.readTable(ticket);
  const columns = columnsOf(table);
  const rows = cellsOf(table);
  out.answer({ job: shown(released), columns, rows }, () => {
    const more =
      rows.length > SHOWN_ROWS ? `\n… and ${rows.length - SHOWN_ROWS} rows more: write them to a file with --out` : '';
    const intervals = intervalsOf(released);
    const cells = rows.slice(0, SHOWN_ROWS).map((row, at) =>
      columns.flatMap(({ name }) => {
        const half = intervals.get(name)?.(at);
        return half === undefined ? [row[name] ?? null] : [row[name] ?? null, half];
      }),
    );
    return `${tableText(
      columns.flatMap(({ name }) => (intervals.has(name) ? [name, '±'] : [name])),
      cells,
    )}${more}\n\n${footOf(released)}`;
  });
  return 0;
}

/** Half of each cell's 95 % interval, for columns that have them. */
function intervalsOf(job: Job): ReadonlyMap<string, (row: number) => number | string> {
  return new Map(
    job.errors
      .filter(({ low }) => low.length > 0)
      .map(({ column, low, high }) => [
        column,
        (row: number) => {
          const half = ((high[row] ?? Number.NaN) - (low[row] ?? Number.NaN)) / 2;
          return Number.isNaN(half) ? '' : Number(half.toPrecision(3));
        },
      ]),
  );
}

function footOf(job: Job): string {
  const withheld = job.withheld?.cells;
  return [
    `${job.id}: ${job.guarantee}`,
    ...job.errors.map(
      ({ column, halfWidth, confidence }) =>
        `${column}: within ±${Number(halfWidth.toPrecision(3))} of the exact value (${confidence * 100} %)`,
    ),
    ...job.budget
      .filter(({ microEpsilon }) => microEpsilon > 0n)
      .map(({ dataset, microEpsilon }) => `spent epsilon ${Number(microEpsilon) / 1e6} of ${dataset}`),
    `withheld cells: ${withheld === null || withheld === undefined ? 'none, or too few to say' : String(withheld)}`,
    job.receipt === null
      ? ''
      : `receipt: entry ${job.receipt.logIndex} of the evidence log (job show ${job.id} --receipt FILE, then evidence verify FILE)`,
  ]
    .filter((line) => line !== '')
    .join('\n');
}

async function requestOf(sql: string | undefined, options: JobOptions): Promise<Init<JobRequest>> {
  if (options.program !== undefined || options.spec !== undefined) {
    if (sql !== undefined || options.sql !== undefined || options.file !== undefined)
      throw new UsageError('give a query or a program, not both');
    const homomorphic = await homomorphicProgramOf(options);
    return {
      ...commonOf(options),
      computation:
        homomorphic === null
          ? { kind: 'javascript', javascript: await programOf(options) }
          : { kind: 'homomorphic', homomorphic },
    };
  }
  const given = [sql, options.sql, options.file].filter((text) => text !== undefined);
  if (given.length !== 1) throw new UsageError('give the query once: as an argument, with --sql, or with --file');
  const text = sql ?? options.sql ?? readFileSync(options.file === '-' ? 0 : (options.file ?? ''), 'utf8');
  const parameters: Record<string, Init<ParameterValue>> = {};
  for (const pair of options.param ?? []) {
    const [name = '', ...rest] = pair.split('=');
    if (rest.length === 0) throw new UsageError(`\`${pair}\` is not NAME=VALUE`);
    parameters[name] = { value: valueOf(rest.join('=')) };
  }
  return {
    ...commonOf(options),
    computation: { kind: 'sql', sql: { text, parameters } },
  };
}

function commonOf(options: JobOptions): Init<JobRequest> {
  return {
    agreementIds: options.agreement ?? [],
    project: options.project ?? '',
    mandateId: options.mandate ?? '',
    ruleId: options.rule ?? '',
    purpose: options.purpose ?? '',
    deadlineMs: options.deadline === undefined ? 0 : Number(options.deadline),
    ...(options.key === undefined ? {} : { idempotencyKey: options.key }),
  };
}

/** A homomorphic program of a YAML or JSON file, which has a `name`; null for sandboxed code. The runtime judges what it says. */
async function homomorphicProgramOf({ program: file, spec }: JobOptions): Promise<Init<HomomorphicProgram> | null> {
  if (file === undefined || spec !== undefined || !/(^-|\.(ya?ml|json))$/.test(file)) return null;
  const { parse } = await import('yaml');
  let value: unknown;
  try {
    value = parse(readFileSync(file === '-' ? 0 : file, 'utf8'), { maxAliasCount: 0 });
  } catch (error) {
    throw new UsageError(`\`${file}\` is neither YAML nor JSON: ${(error as Error).message.split('\n')[0] ?? ''}`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new UsageError(`\`${file}\` holds no program`);
  if (!Object.hasOwn(value, 'name')) return null;
  const known = ['name', 'dataset', 'columns', 'inputs', 'parameters', 'weights'];
  for (const key of Object.keys(value))
    if (!known.includes(key))
      throw new UsageError(`\`${file}\`: unknown key \`${key}\`; known are ${known.join(', ')}`);
  return value as Init<HomomorphicProgram>;
}

function valueOf(text: string): ParameterValue['value'] {
  if (text === 'true' || text === 'false') return { kind: 'boolean', boolean: text === 'true' };
  if (/^-?\d{1,15}$/.test(text)) return { kind: 'integer', integer: BigInt(text) };
  if (/^-?\d+(\.\d+)?(e[+-]?\d+)?$/i.test(text)) return { kind: 'number', number: Number(text) };
  return { kind: 'text', text };
}

async function writeResult(glovebox: Glovebox, ticket: Uint8Array, file: string): Promise<number> {
  const batches: RecordBatch[] = [];
  for await (const batch of glovebox.readBatches(ticket)) batches.push(batch);
  const [{ Table, tableToIPC }, { cellsOf, csvText }] = await Promise.all([
    import('apache-arrow'),
    import('./result-table.ts'),
  ]);
  const table = new Table(batches);
  if (file.endsWith('.csv')) writeFileSync(file, csvText(table));
  else if (file.endsWith('.json')) writeFileSync(file, `${JSON.stringify(cellsOf(table), null, 2)}\n`);
  else if (file.endsWith('.arrow')) writeFileSync(file, tableToIPC(table, 'file'));
  else throw new UsageError(`\`${file}\`: the ending says the format: .arrow, .csv or .json`);
  return table.numRows;
}

function writeReceipt(job: Job, file: string | undefined): void {
  if (file !== undefined && job.receipt !== null) writeFileSync(file, job.receipt.document);
}

/** A job for machines: its receipt as text, and no ticket, which works only once. */
function shown(job: Job): Readonly<Record<string, unknown>> {
  const { ticket: _ticket, ticketExpiresAtMs: _expires, receipt, ...rest } = job;
  return {
    ...rest,
    receipt: receipt === null ? null : { ...receipt, document: Buffer.from(receipt.document).toString('utf8') },
  };
}

function describe(job: Job): string {
  return [
    `${job.id} of ${job.consumer}: ${job.state}, ${new Date(job.submittedAtMs).toISOString()}`,
    `datasets: ${job.datasets.join(', ')}; mode ${job.mode}; isolation ${job.isolation}`,
    job.rowCount === null ? '' : `released ${job.rowCount} rows, ${job.resultBytes ?? 0n} bytes`,
    job.reasons.length === 0 ? '' : reasonLines(job.reasons),
    job.guarantee,
    job.receipt === null
      ? ''
      : `receipt (entry ${job.receipt.logIndex}):\n${Buffer.from(job.receipt.document).toString('utf8')}`,
  ]
    .filter((line) => line !== '')
    .join('\n');
}
