import { writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import { actAs, type CommonOptions, withCommon } from './command.ts';
import { tableText, UsageError } from './output.ts';

export function addMeter(program: Command): void {
  const meter = program.command('meter').description('what was used and what it costs');
  withCommon(
    meter.command('report').description('use and charges per agreement'),
    'glovebox meter report --from 2026-11-01 --focus november.csv',
  )
    .option('--from <date>', 'start, inclusive; default: the beginning')
    .option('--to <date>', 'end, exclusive; default: now')
    .option('--agreement <id>', 'only this agreement', '')
    .option('--focus <file>', 'write a statement in FOCUS 1.0 CSV')
    .action((options: CommonOptions & { from?: string; to?: string; agreement: string; focus?: string }) =>
      actAs(options, async (glovebox, out) => {
        const report = await glovebox.meters.report({
          fromMs: timeOf(options.from),
          toMs: timeOf(options.to),
          agreementId: options.agreement,
          format: options.focus === undefined ? '' : 'focus',
        });
        if (options.focus !== undefined) writeFileSync(options.focus, report.statement);
        const { statement: _statement, ...rest } = report;
        out.answer(rest, () =>
          tableText(
            ['agreement', 'dataset', 'consumer', 'jobs', 'rows scanned', 'cells', 'bytes', 'epsilon', 'charge'],
            report.lines.map((line) => [
              line.agreementId,
              line.dataset,
              line.consumer,
              line.jobs,
              line.rowsScanned,
              line.cellsReleased,
              line.bytesReleased,
              Number(line.microEpsilon) / 1e6,
              line.currency === '' ? 'free' : `${(Number(line.chargeMicros) / 1e6).toFixed(2)} ${line.currency}`,
            ]),
          ),
        );
      }),
    );
}

function timeOf(text: string | undefined): number {
  if (text === undefined) return 0;
  const time = Date.parse(text);
  if (Number.isNaN(time)) throw new UsageError(`\`${text}\` is not a date, e.g. 2026-11-01`);
  return time;
}
