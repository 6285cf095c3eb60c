import type { Command } from 'commander';
import { actAs, type CommonOptions, withCommon } from './command.ts';
import { tableText, UsageError } from './output.ts';
import { writeWhole } from './write-file.ts';

interface PeriodOptions extends CommonOptions {
  readonly from?: string;
  readonly to?: string;
}

/** Forms of a statement, each an option that names its file. */
const FORMS = ['focus', 'parquet', 'cloudevents'] as const;

export function addMeter(program: Command): void {
  const meter = program.command('meter').description('what was used and what it costs');
  withPeriod(
    meter.command('report').description('use and charges per agreement'),
    'glovebox meter report --from 2026-11-01 --focus november.csv',
  )
    .option('--agreement <id>', 'only this agreement', '')
    .option('--focus <file>', 'write a statement in FOCUS 1.0 columns as CSV')
    .option('--parquet <file>', 'the same as Parquet')
    .option('--cloudevents <file>', 'write the usage events as a CloudEvents 1.0 JSON batch')
    .action((options: PeriodOptions & { agreement: string } & Partial<Record<(typeof FORMS)[number], string>>) =>
      actAs(options, async (glovebox, out) => {
        const asked = FORMS.filter((form) => options[form] !== undefined);
        const period = { fromMs: timeOf(options.from), toMs: timeOf(options.to) };
        const report = await glovebox.meters.report({ ...period, agreementId: options.agreement });
        for (const format of asked) {
          const { statement } = await glovebox.meters.report({ ...period, agreementId: options.agreement, format });
          writeWhole(options[format] ?? '', statement);
        }
        const { statement: _statement, ...rest } = report;
        out.answer(rest, () =>
          tableText(
            [
              'agreement',
              'dataset',
              'consumer',
              'jobs',
              'rows (about)',
              'cells',
              'bytes',
              'epsilon',
              'charge',
              'settled',
            ],
            report.lines.map((line) => [
              line.agreementId,
              line.dataset,
              line.consumer,
              line.freeJobs === 0n ? line.jobs : `${line.jobs} (${line.freeJobs} free)`,
              line.rowsScanned,
              line.cellsReleased,
              line.bytesReleased,
              Number(line.microEpsilon) / 1e6,
              line.currency === '' ? 'free' : money(line.chargeMicros, line.currency),
              line.isFrozen
                ? 'frozen: disputed'
                : line.settledUntilMs === 0
                  ? ''
                  : `until ${new Date(line.settledUntilMs).toISOString().slice(0, 10)}`,
            ]),
          ),
        );
      }),
    );
  withCommon(
    meter.command('check').description('compare the meter with the evidence log; exit code 1 when they differ'),
    'glovebox meter check --as clearing.credential.json',
  ).action((options: CommonOptions) =>
    actAs(options, async (glovebox, out) => {
      const answer = await glovebox.meters.check({});
      out.answer(answer, () =>
        [
          ...answer.differences,
          ...answer.totals.map(
            ({ currency, meteredMicros, loggedMicros }) =>
              `${money(meteredMicros, currency)} metered, ${money(loggedMicros, currency)} logged`,
          ),
          `${answer.events} usage events, ${answer.entries} in the log: ${answer.isEqual ? 'equal' : 'NOT EQUAL'}`,
        ].join('\n'),
      );
      return answer.isEqual ? 0 : 1;
    }),
  );
  withCommon(
    meter.command('top-up <agreement>').description('add credit for a payment that was received, signed with your key'),
    'glovebox meter top-up agr-… --minor 10000 --as hospital.credential.json',
  )
    .requiredOption('--minor <amount>', 'in the smallest unit of the currency: 10000 is 100.00 CNY')
    .option('--order <id>', 'name of the payment; the same one counts once. Default: a new one')
    .action((agreement: string, options: CommonOptions & { minor: string; order?: string }) =>
      actAs(options, async (glovebox, out) => {
        if (!/^[1-9]\d{0,17}$/.test(options.minor)) throw new UsageError('--minor takes a positive whole number');
        const { order: id } = options;
        const answer = await glovebox.meters.addCredit({
          agreement,
          amountMinor: BigInt(options.minor),
          ...(id === undefined ? {} : { id }),
        });
        out.answer(answer, () => `${money(answer.creditLeftMicros, answer.currency)} of credit left`);
      }),
    );
  withPeriod(
    meter.command('split').description('split what was paid among providers (clearing, operator)'),
    'glovebox meter split --by shapley --as clearing.credential.json',
  )
    .option('--by <what>', 'charge, jobs, rows, units (people that the data is about) or shapley', 'charge')
    .option('--agreement <id...>', 'only jobs under these agreements')
    .option('--currency <code>', 'ISO 4217; default: the only one', '')
    .action((options: PeriodOptions & { by: string; agreement?: readonly string[]; currency: string }) =>
      actAs(options, async (glovebox, out) => {
        const answer = await glovebox.meters.split({
          by: options.by,
          fromMs: timeOf(options.from),
          toMs: timeOf(options.to),
          agreementIds: options.agreement ?? [],
          currency: options.currency,
        });
        out.answer(answer, () =>
          tableText(
            ['provider', `share (smallest unit of ${answer.currency || 'no currency'})`],
            [...answer.shares.map((one) => [one.provider, one.shareMinor]), ['total', answer.revenueMinor]],
          ),
        );
      }),
    );
  withCommon(
    meter.command('settle <agreement>').description('make the statement since the last settlement final'),
    'glovebox meter settle agr-… --until 2026-12-01 --as hospital.credential.json',
  )
    .option('--until <date>', 'end, exclusive; default: now')
    .action((agreementId: string, options: CommonOptions & { until?: string }) =>
      actAs(options, async (glovebox, out) => {
        const answer = await glovebox.meters.settle({ agreementId, untilMs: timeOf(options.until) });
        out.answer(
          answer,
          () =>
            `settled ${answer.jobs} jobs until ${new Date(answer.untilMs).toISOString()}${answer.currency === '' ? '' : `: ${money(answer.chargeMicros, answer.currency)}`}; log entry ${answer.logIndex}`,
        );
      }),
    );
}

function withPeriod(command: Command, example: string): Command {
  return withCommon(command, example)
    .option('--from <date>', 'start, inclusive; default: the beginning')
    .option('--to <date>', 'end, exclusive; default: now');
}

const money = (micros: bigint, currency: string): string => `${(Number(micros) / 1e6).toFixed(2)} ${currency}`;

function timeOf(text: string | undefined): number {
  if (text === undefined) return 0;
  const time = Date.parse(text);
  if (Number.isNaN(time)) throw new UsageError(`\`${text}\` is not a date, e.g. 2026-11-01`);
  return time;
}
