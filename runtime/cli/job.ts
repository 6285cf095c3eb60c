import type { Command } from 'commander';
import type { Glovebox } from '../client/connect.ts';
import type { Job } from '../gen/messages.ts';
import { actAs, type CommonOptions, withCommon } from './command.ts';
import { programOf } from './program-option.ts';
import { explainText } from './explain-text.ts';
import { type ExitCode, type Output, reasonLines, tableText, UsageError } from './output.ts';
import { type JobOptions, requestOf, commonOf, homomorphicProgramOf } from './job-request.ts';
import { footOf, rowsText, writeResult, writeReceipt, shown, describe } from './job-result.ts';
import { wholeNumber } from './whole-number.ts';

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
      .option(
        '--param <name=value...>',
        "values of $name in the query: numbers, true, false, texts and dates; '12' in quotes is a text",
      )
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
          rows: wholeNumber('--rows', options.rows),
          seed: wholeNumber('--seed', options.seed),
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
  out.answer({ job: shown(released), columns, rows }, () => rowsText(released, columns, rows));
  return 0;
}
