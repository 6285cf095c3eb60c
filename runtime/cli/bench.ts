import { existsSync } from 'node:fs';
import { loadavg } from 'node:os';
import { type Command, Option } from 'commander';
import { growthInWords, growthOf } from '../../benchmarks/scale/growth.ts';
import type { BenchReport, Measurement } from '../../benchmarks/measurement.ts';
import { act } from './command.ts';
import { type ExitCode, type Output, tableText, UsageError } from './output.ts';
import { wholeNumber } from './whole-number.ts';
import { writeWhole } from './write-file.ts';

interface BenchCommandOptions {
  readonly rows?: string;
  readonly runs?: string;
  readonly json?: string | boolean;
  readonly quick?: boolean;
  readonly cache?: string;
  readonly resume?: boolean;
}

const KINDS = ['end-to-end', 'sql', 'sandbox', 'homomorphic', 'ledger', 'scale', 'all'] as const;
type Kind = (typeof KINDS)[number];
const DEFAULT_ROWS = 10_000_000;
const QUICK_ROWS = 200_000;
const DEFAULT_RUNS = 7;
const QUICK_RUNS = 3;

export function addBench(program: Command): void {
  const bench = program
    .command('bench')
    .description('measure this machine: every figure beside its floor, the same work without Glovebox in the same run');
  for (const kind of KINDS) {
    bench
      .command(kind)
      .description(ABOUT[kind])
      .option('--rows <n>', `rows of the large dataset (default: ${DEFAULT_ROWS}; ${QUICK_ROWS} with --quick)`)
      .option('--runs <n>', `runs of each figure (default: ${DEFAULT_RUNS}; ${QUICK_RUNS} with --quick)`)
      .option('--quick', 'a few minutes at most: small data, few runs; ratios are rough')
      .addOption(new Option('--json [file]', 'write the whole report as JSON, to a file or to standard output'))
      .option('--resume', 'leave out what the file of --json holds already, of the same question on this machine')
      .option('--cache <dir>', 'where prepared data is kept (default: $XDG_CACHE_HOME/glovebox/bench)')
      .addHelpText('after', `\nExample:\n  glovebox bench ${kind} --quick --json results.json\n`)
      .action((options: BenchCommandOptions) =>
        act({ json: options.json === true }, (out) => runBench(kind, options, out)),
      );
  }
  bench
    .command('report <results...>')
    .description('one self-contained page with plots from one or several results; several are compared')
    .requiredOption('--html <file>', 'the page to write')
    .addHelpText('after', '\nExample:\n  glovebox bench report before.json after.json --html report.html\n')
    .action((results: readonly string[], options: { readonly html: string }) =>
      act({}, async (out) => {
        const { page } = await import('../../benchmarks/html/page.ts');
        const { readReports } = await import('../../benchmarks/html/read-reports.ts');
        const reports = readReports(results);
        if (reports.kind === 'bad') throw new UsageError(reports.problem);
        writeWhole(options.html, page(reports.reports));
        out.answer({ html: options.html }, () => `wrote ${options.html}`);
      }),
    );
}

const ABOUT: Readonly<Record<Kind, string>> = {
  'end-to-end': 'whole jobs over mutual TLS: fixed cost, large queries, concurrency, streaming',
  sql: 'what the threshold costs in the engine, formulation by formulation',
  sandbox: 'row functions and blocks against a plain Node loop and a plain SQL expression',
  homomorphic: 'programs on ciphertext against plaintext and against the primitive operations',
  ledger: 'durable debits and the evidence log against fdatasync',
  scale: 'how costs grow with rows, datasets, parties and the log, each fitted for its growth',
  all: 'everything',
};

async function runBench(kind: Kind, options: BenchCommandOptions, out: Output): Promise<ExitCode> {
  const isQuick = options.quick === true;
  const rows = wholeNumber('--rows', options.rows ?? String(isQuick ? QUICK_ROWS : DEFAULT_ROWS), {
    from: 1000,
    to: 1e9,
  });
  const runs = wholeNumber('--runs', options.runs ?? String(isQuick ? QUICK_RUNS : DEFAULT_RUNS), {
    from: 1,
    to: 1000,
  });
  const { measure } = await import('../../benchmarks/measure.ts');
  const loadAtStart = loadavg();
  const command = `glovebox bench ${kind}`;
  const file = typeof options.json === 'string' ? options.json : null;
  const write = (done: BenchReport): void => {
    if (file !== null) writeWhole(file, `${JSON.stringify(done, null, 1)}\n`);
  };
  const report = await measure({
    kinds: kind === 'all' ? KINDS.filter((one) => one !== 'all') : [kind],
    command,
    rows,
    runs,
    isQuick,
    cache: options.cache ?? null,
    loadAtStart,
    progress: (text) => out.progress(text),
    say: (line) => {
      out.endProgress();
      process.stderr.write(`${line}\n`);
    },
    onPart: write,
    earlier: options.resume === true ? await earlierReport(file, { command, options: { rows, runs, isQuick } }) : null,
  });
  out.endProgress();
  write(report);
  out.answer(report, reportText);
  if ((report.failures ?? []).length > 0) return 3;
  return report.measurements.every(({ goal }) => goal?.isMet !== false) ? 0 : 1;
}

/** What `--resume` goes on from; null when there is no file yet. Throws for a report of something else. */
async function earlierReport(
  file: string | null,
  asked: { readonly command: string; readonly options: BenchReport['options'] },
): Promise<BenchReport | null> {
  if (file === null) throw new UsageError('--resume needs the file of the earlier run: --json FILE');
  if (!existsSync(file)) return null;
  const [{ readReports }, { unlike }] = await Promise.all([
    import('../../benchmarks/html/read-reports.ts'),
    import('../../benchmarks/measure.ts'),
  ]);
  const read = readReports([file]);
  if (read.kind === 'bad') throw new UsageError(read.problem);
  const [earlier] = read.reports;
  const problem = earlier === undefined ? null : unlike(earlier.report, asked);
  if (problem !== null)
    throw new UsageError(`cannot go on from \`${file}\`: ${problem}; move it away or leave out --resume`);
  return earlier?.report ?? null;
}

/** The report as tables for a terminal. */
export function reportText(report: BenchReport): string {
  const { machine, versions } = report;
  const groups = [...new Set(report.measurements.map(({ group }) => group))];
  const tables = groups.map((group) => {
    const rows = report.measurements.filter((one) => one.group === group);
    return `\n${group}\n${tableText(HEAD, rows.map(cellsOf))}`;
  });
  const staged = report.measurements.filter(({ stages }) => stages !== null);
  const stages = staged.map(
    ({ name, stages: spent }) =>
      `  ${name}: ${Object.entries(spent ?? {})
        .map(([stage, ms]) => `${stage} ${number(ms)}`)
        .join(', ')}`,
  );
  const scaled = report.measurements.filter(({ section, at }) => section === 'scale' && at !== null);
  const growths = [...new Set(scaled.map(({ group, name }) => `${group}: ${name}`))].flatMap((label) => {
    const own = scaled.filter(({ group, name }) => `${group}: ${name}` === label);
    const growth = growthOf(own.map(({ at, value }) => ({ size: at?.value ?? 0, cost: value.median })));
    return growth === null ? [] : [`  ${label} ${growthInWords(growth, own[0]?.unit ?? '')}`];
  });
  const goals = report.measurements.flatMap(({ name, goal }) =>
    goal === null ? [] : [`  ${goal.isMet ? 'met    ' : 'NOT MET'}  ${name}: ${goal.text}`],
  );
  const failures = (report.failures ?? []).map(({ section, message }) => `  FAILED   ${section}: ${message}`);
  return [
    `${report.command}: ${report.options.rows} rows, ${report.options.runs} runs, seed ${report.seed}`,
    `${machine.cpu}, ${machine.cores} cores, ${machine.memoryMiB} MiB, Linux ${machine.kernel}, isolation ${machine.isolation}; load ${machine.loadAtStart.map(number).join(' ')} before, ${machine.loadAtEnd.map(number).join(' ')} after`,
    Object.entries(versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(', '),
    ...tables,
    ...(stages.length === 0 ? [] : ['\nmilliseconds by stage (medians)', ...stages]),
    ...(growths.length === 0 ? [] : ['\ngrowth', ...growths]),
    ...(goals.length === 0 ? [] : ['\ngoals', ...goals]),
    ...(failures.length === 0 ? [] : ['\nwithout figures, because they failed', ...failures]),
  ].join('\n');
}

const HEAD = ['what', 'median', 'p95', 'unit', 'floor', 'floor is', 'ratio', 'CPU ratio'] as const;

function cellsOf({ name, at, value, unit, floor, ratio, cpuRatio }: Measurement): readonly string[] {
  return [
    at === null ? name : `${name}, ${at.axis} ${at.value}`,
    number(value.median),
    number(value.p95),
    unit,
    floor === null ? '·' : number(floor.value.median),
    floor === null ? '·' : floor.name,
    ratio === null ? '·' : `${number(ratio.median)}×`,
    cpuRatio === null ? '·' : `${number(cpuRatio)}×`,
  ];
}

/** Three significant digits. */
function number(value: number): string {
  if (!Number.isFinite(value)) return '·';
  return Math.abs(value) >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3)));
}
