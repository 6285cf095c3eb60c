import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, test } from 'node:test';
import { checkRows } from '../../benchmarks/end-to-end/ask.ts';
import { page } from '../../benchmarks/html/page.ts';
import { readReports } from '../../benchmarks/html/read-reports.ts';
import { measure, type Run, unlike } from '../../benchmarks/measure.ts';
import {
  type BenchReport,
  type BenchSection,
  type Measurement,
  measurement,
  pairedRatio,
  spreadOf,
  WrongAnswer,
} from '../../benchmarks/measurement.ts';
import { sortedRows } from '../../benchmarks/world/plain-duckdb.ts';
import { reportText } from '../../runtime/cli/bench.ts';

const figures = [
  measurement({
    section: 'end-to-end',
    group: 'queries',
    name: 'A <script>',
    unit: 'ms',
    runs: [30, 10, 20],
    floor: { name: 'plain', runs: [10, 10, 10] },
    stages: { parse: 1, run: 9 },
    goal: { text: '2.00× ≤ 1.2×', isMet: false },
    checked: '3 rows',
  }),
  ...[1, 2, 4].map((clients) =>
    measurement({
      section: 'end-to-end',
      group: 'jobs per second',
      name: 'jobs',
      unit: '/s',
      at: { axis: 'clients', value: clients },
      runs: [clients * 10],
      checked: 'equal',
    }),
  ),
];
const report: BenchReport = {
  kind: 'glovebox-bench',
  form: 1,
  command: 'glovebox bench end-to-end',
  startedAt: '2026-01-01T00:00:00.000Z',
  endedAt: '2026-01-01T00:01:00.000Z',
  options: { rows: 1000, runs: 3, isQuick: true },
  seed: 1,
  machine: {
    cpu: 'one',
    cores: 2,
    memoryMiB: 1024,
    kernel: '6',
    isolation: 'namespaced',
    loadAtStart: [0, 0, 0],
    loadAtEnd: [1, 1, 1],
  },
  versions: { node: 'v24' },
  measurements: figures,
};

test('a spread tells the median, the ends and the 95th percentile, and keeps the order of the runs', () => {
  const runs = Array.from({ length: 100 }, (_, index) => 100 - index);
  assert.deepEqual({ ...spreadOf(runs), runs: [] }, { median: 50.5, min: 1, max: 100, p95: 96, runs: [] });
  assert.deepEqual(spreadOf(runs).runs, runs);
  assert.throws(() => spreadOf([]), RangeError);
});

test('a ratio compares runs of one round, so that a slow moment of the machine meets both sides', () => {
  assert.equal(pairedRatio([2, 200, 4], [1, 100, 2]).median, 2);
});

test('an answer that differs from the floor in one row, or lacks one, ends the benchmark', () => {
  const floor = sortedRows([
    ['a', 1],
    ['b', 2n],
  ]);
  assert.match(
    checkRows(
      'q',
      sortedRows([
        ['b', 2],
        ['a', '1'],
      ]),
      floor,
    ),
    /^2 rows/,
  );
  assert.throws(
    () =>
      checkRows(
        'q',
        sortedRows([
          ['a', 1],
          ['b', 3],
        ]),
        floor,
      ),
    WrongAnswer,
  );
  assert.throws(() => checkRows('q', sortedRows([['a', 1]]), floor), WrongAnswer);
});

test('the table for people names every figure, its floor, the stages and the goals that were missed', () => {
  const text = reportText(report);
  for (const part of ['A <script>', 'plain', '2×', 'parse 1', 'NOT MET', 'clients 4'])
    assert.ok(text.includes(part), part);
});

test('the page loads nothing, quotes what it is given, plots every group and compares runs', () => {
  const html = page([
    { name: 'before', report },
    { name: 'after', report },
  ]);
  assert.ok(!/<script|<link|<img|https?:|url\(/i.test(html), 'nothing is loaded');
  assert.ok(html.includes("default-src 'none'"));
  assert.ok(html.includes('A &lt;script&gt;'));
  for (const { group } of figures) assert.ok(html.includes(`<h3>${group}</h3>`));
  assert.ok(
    html.includes('<polyline') && html.includes('<rect') && html.includes('runs compared') && html.includes('+0 %'),
  );
});

test('a page tells what failed, draws rows per second where rows are the axis, and the distribution of latencies', () => {
  const runs = Array.from({ length: 20 }, (_, index) => index + 1);
  const measured = [100, 1000].flatMap((rows) => [
    measurement({
      section: 'scale',
      group: 'against rows',
      name: 'q',
      unit: 'ms',
      at: { axis: 'rows', value: rows },
      runs,
      floor: { name: 'plain', runs },
      checked: 'equal',
    }),
  ]);
  const html = page([
    {
      name: 'one',
      report: { ...report, measurements: measured, failures: [{ section: 'sql', message: '<b>wrong</b>' }] },
    },
  ]);
  assert.ok(html.includes('&lt;b&gt;wrong&lt;/b&gt;'));
  assert.ok(html.includes('throughput against size') && html.includes('rows/s'));
  assert.ok(html.includes('% of runs within'));
});

describe('several sections in one run', () => {
  const one = (name: string): Measurement =>
    measurement({ section: 'sql', group: name, name, unit: 'ms', runs: [1], checked: 'equal' });
  const asked: string[] = [];
  const runOf =
    (name: string, isBroken = false): Run =>
    () => {
      asked.push(name);
      if (isBroken) return Promise.reject(new WrongAnswer('3 is not 4'));
      return Promise.resolve({ measurements: [one(name)] });
    };
  const benchmarks = (broken: string): Readonly<Record<BenchSection, Run>> => ({
    'end-to-end': runOf('end-to-end', broken === 'end-to-end'),
    sql: runOf('sql', broken === 'sql'),
    sandbox: runOf('sandbox', broken === 'sandbox'),
    homomorphic: runOf('homomorphic'),
    ledger: runOf('ledger'),
    scale: runOf('scale'),
  });
  const options = {
    kinds: ['end-to-end', 'sql', 'sandbox'] as const,
    command: 'glovebox bench all',
    rows: 1000,
    runs: 3,
    isQuick: true,
    cache: '/nowhere',
    loadAtStart: [0, 0, 0],
    progress: () => {},
  };

  it('that fails says so, without a figure, and the others are kept as they end', async () => {
    const seen: (readonly string[])[] = [];
    const said: string[] = [];
    const done = await measure({
      ...options,
      benchmarks: benchmarks('sql'),
      say: (line) => void said.push(line),
      onPart: ({ measurements }) => void seen.push(measurements.map(({ name }) => name)),
    });
    assert.deepEqual(seen, [['end-to-end'], ['end-to-end'], ['end-to-end', 'sandbox']]);
    assert.deepEqual(done.failures, [{ section: 'sql', message: 'WrongAnswer: 3 is not 4' }]);
    assert.match(said[0] ?? '', /about \d+ (seconds|minutes) on a quiet machine/);
    assert.ok(reportText(done).includes('FAILED   sql: WrongAnswer: 3 is not 4'));
  });

  it('go on where an earlier run ended, and only with what was asked then on this machine', async () => {
    const earlier = await measure({ ...options, benchmarks: benchmarks('sql') });
    asked.length = 0;
    const done = await measure({ ...options, benchmarks: benchmarks(''), earlier });
    assert.deepEqual(asked, ['sql']);
    assert.deepEqual(done.measurements.map(({ name }) => name).toSorted(), ['end-to-end', 'sandbox', 'sql']);
    assert.deepEqual([done.failures, done.startedAt], [[], earlier.startedAt]);
    const question = { command: options.command, options: { rows: 1000, runs: 3, isQuick: true } };
    assert.equal(unlike(earlier, question), null);
    for (const other of [
      { ...earlier, command: 'glovebox bench sql' },
      { ...earlier, options: { ...earlier.options, rows: 1 } },
      { ...earlier, versions: { ...earlier.versions, glovebox: '0.0.1' } },
      { ...earlier, machine: { ...earlier.machine, cores: 1000 } },
      { ...earlier, seed: 2 },
    ])
      assert.notEqual(unlike(other, question), null);
  });
});

test('a file that is not a report is refused by its name', () => {
  const folder = mkdtempSync(join(tmpdir(), 'glovebox-report-'));
  try {
    const write = (name: string, text: string): string => {
      writeFileSync(join(folder, name), text);
      return join(folder, name);
    };
    const good = write('good.json', JSON.stringify(report));
    const read = readReports([good]);
    assert.equal(read.kind === 'read' && read.reports[0]?.name, 'good');
    for (const text of [
      '',
      '{',
      'null',
      '{}',
      '{"kind":"glovebox-bench"}',
      JSON.stringify({ ...report, measurements: [{}] }),
    ]) {
      const bad = readReports([good, write('bad.json', text)]);
      assert.ok(bad.kind === 'bad' && bad.problem.includes('bad.json'), text);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
