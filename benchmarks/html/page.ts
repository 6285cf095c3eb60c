import type { Measurement, Spread } from '../measurement.ts';
import { growthInWords, growthOf } from '../scale/growth.ts';
import { type Bar, bars, colourOf, distribution, escape, figure, lines, type Series, stacks } from './plots.ts';
import type { NamedReport } from './read-reports.ts';

/** One self-contained page: plots and tables of one report, or several side by side. It loads nothing. */
export function page(reports: readonly NamedReport[]): string {
  const groups = new Map<string, string>();
  for (const { report } of reports)
    for (const { group, section } of report.measurements) if (!groups.has(group)) groups.set(group, section);
  const sections = [...new Set(groups.values())].map((section) => {
    const own = [...groups].filter(([, of]) => of === section).map(([group]) => groupHtml(group, reports));
    return `<h2>${escape(section)}</h2>${own.join('')}`;
  });
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Glovebox benchmarks</title><style>${STYLE}</style></head><body>
<h1>Glovebox benchmarks</h1>
<p>Every figure stands beside its floor: the same work without Glovebox, measured in the same run, turn by turn. Compare
ratios; times of two machines, or of one machine that was busy, do not compare.</p>
${reports.map(factsHtml).join('')}
${failuresHtml(reports)}
${goalsHtml(reports)}
${reports.length > 1 ? comparisonHtml(reports) : ''}
${sections.join('\n')}
</body></html>
`;
}

const STYLE = `body{font:15px/1.5 system-ui,sans-serif;max-width:900px;margin:2em auto;padding:0 1em;color:#222;background:#fff}
h2{margin-top:2.5em;border-bottom:2px solid #222}h3{margin:2em 0 .5em}table{border-collapse:collapse;font-size:13px;margin:.5em 0}
td,th{padding:2px 10px 2px 0;border-bottom:1px solid #ddd;text-align:left;vertical-align:top}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
svg{max-width:100%;height:auto;font:12px system-ui,sans-serif}.legend span{margin-right:1.2em;font-size:13px}
.legend i{display:inline-block;width:.8em;height:.8em;margin-right:.4em}.bad{color:#b00020;font-weight:600}.good{color:#00693e}
details{margin:.4em 0}`;

function factsHtml({ name, report }: NamedReport): string {
  const { machine, versions, options } = report;
  const facts: readonly (readonly [string, string])[] = [
    ['command', report.command],
    ['when', `${report.startedAt} to ${report.endedAt}`],
    ['machine', `${machine.cpu}, ${machine.cores} cores, ${machine.memoryMiB} MiB, Linux ${machine.kernel}`],
    ['isolation', machine.isolation],
    ['load', `${machine.loadAtStart.map(figure).join(' ')} before, ${machine.loadAtEnd.map(figure).join(' ')} after`],
    [
      'size',
      `${options.rows} rows, ${options.runs} runs, seed ${report.seed}${options.isQuick ? ', quick: ratios are rough' : ''}`,
    ],
    [
      'sections',
      (report.parts ?? []).map(({ section, seconds }) => `${section} ${figure(seconds)} s`).join(', ') || '·',
    ],
    [
      'versions',
      Object.entries(versions)
        .map((pair) => pair.join(' '))
        .join(', '),
    ],
  ];
  const rows = facts.map(([what, value]) => `<tr><th>${escape(what)}</th><td>${escape(value)}</td></tr>`);
  return `<details open><summary>${escape(name)}</summary><table>${rows.join('')}</table></details>`;
}

function failuresHtml(reports: readonly NamedReport[]): string {
  const rows = reports.flatMap(({ name, report }) =>
    (report.failures ?? []).map(
      ({ section, message }) =>
        `<tr><td>${escape(name)}</td><td class="bad">${escape(section)}</td><td>${escape(message)}</td></tr>`,
    ),
  );
  return rows.length === 0 ? '' : `<h2>without figures, because they failed</h2><table>${rows.join('')}</table>`;
}

function goalsHtml(reports: readonly NamedReport[]): string {
  const rows = reports.flatMap(({ name, report }) =>
    report.measurements.flatMap((one) =>
      one.goal === null
        ? []
        : [
            `<tr><td>${escape(name)}</td><td class="${one.goal.isMet ? 'good">met' : 'bad">not met'}</td><td>${escape(labelOf(one))}</td><td>${escape(one.goal.text)}</td></tr>`,
          ],
    ),
  );
  return rows.length === 0 ? '' : `<h2>goals</h2><table>${rows.join('')}</table>`;
}

/** Medians side by side; the change is of the ratio to the floor where there is one, so that machines compare fairly. */
function comparisonHtml(reports: readonly NamedReport[]): string {
  const [first] = reports;
  if (first === undefined) return '';
  const keys = [...new Set(reports.flatMap(({ report }) => report.measurements.map(keyOf)))];
  const rows = keys.map((key) => {
    const found = reports.map(({ report }) => report.measurements.find((one) => keyOf(one) === key));
    const known = found.find((one) => one !== undefined);
    const cells = found.map((one) =>
      one === undefined
        ? '<td class="n">·</td>'
        : `<td class="n">${figure(one.value.median)} ${escape(one.unit)}${one.ratio === null ? '' : ` (${figure(one.ratio.median)}×)`}</td>`,
    );
    const measure = (one: Measurement | undefined): number => one?.ratio?.median ?? one?.value.median ?? NaN;
    const change = measure(found.at(-1)) / measure(found[0]);
    return `<tr><td>${escape(known?.group ?? '')}</td><td>${escape(known === undefined ? '' : labelOf(known))}</td>${cells.join('')}<td class="n">${Number.isFinite(change) ? `${change >= 1 ? '+' : ''}${((change - 1) * 100).toFixed(0)} %` : '·'}</td></tr>`;
  });
  const head = reports.map(({ name }) => `<th class="n">${escape(name)}</th>`).join('');
  return `<h2>runs compared</h2><p>Median, and its ratio to the floor. The change compares the last run with the first by that ratio.</p><table><tr><th>group</th><th>what</th>${head}<th class="n">change</th></tr>${rows.join('')}</table>`;
}

const keyOf = (one: Measurement): string => `${one.group}\u0000${labelOf(one)}`;
const labelOf = ({ name, at }: Measurement): string => (at === null ? name : `${name}, ${at.axis} ${at.value}`);

function groupHtml(group: string, reports: readonly NamedReport[]): string {
  const own = reports.flatMap(({ name, report }, index) =>
    report.measurements
      .filter((one) => one.group === group)
      .map((one) => ({ ...one, report: index, label: reports.length > 1 ? `${name}: ${one.name}` : one.name })),
  );
  const unit = own[0]?.unit ?? '';
  const onAxis = own.filter(({ at }) => at !== null);
  const plots: string[] = [];
  if (onAxis.length > 1) plots.push(axisPlot(onAxis, unit));
  const timed = onAxis.filter(({ at, unit: of }) => at?.axis === 'rows' && (of === 'ms' || of === 'CPU ms'));
  if (new Set(timed.map(({ at }) => at?.value)).size > 1)
    plots.push(`<p>throughput against size</p>${throughputPlot(timed)}`);
  if (own[0]?.section === 'scale') plots.push(growthHtml(onAxis, unit));
  const others = own.filter(({ at }) => at === null);
  if (others.length > 0) plots.push(barPlot(others, unit));
  const staged = own.flatMap(({ label, stages }) => (stages === null ? [] : [{ label, stages }]));
  if (staged.length > 0) plots.push(`<p>where the time of a job goes</p>${stacks(staged)}`);
  const sampled = own
    .filter(({ value }) => value.runs.length >= 20)
    .map((one) => ({ ...one, label: one.at === null ? one.label : `${one.label}, ${one.at.axis} ${one.at.value}` }));
  if (sampled.length > 0) plots.push(`<p>distribution</p>${distribution(sampled)}`);
  return `<h3>${escape(group)}</h3>${plots.join('')}${tableHtml(own)}`;
}

type Labelled = Measurement & { readonly label: string; readonly report: number };

/** Rows per second, or per second of CPU, of the same figures: who has more rows asks how many go through. */
function throughputPlot(own: readonly Labelled[]): string {
  const perSecond = (rows: number, spread: Spread): Spread => ({
    ...spread,
    median: (rows / Math.max(spread.median, 1e-6)) * 1000,
  });
  const rates = own.map((one): Labelled => {
    const rows = one.at?.value ?? 0;
    const floor = one.floor === null ? null : { name: one.floor.name, value: perSecond(rows, one.floor.value) };
    return { ...one, value: perSecond(rows, one.value), floor };
  });
  return axisPlot(rates, own[0]?.unit === 'CPU ms' ? 'rows/CPU s' : 'rows/s');
}

function axisPlot(own: readonly Labelled[], unit: string): string {
  const labels = [...new Set(own.map(({ label }) => label))];
  const series = labels.flatMap((label, index): Series[] => {
    const of = own.filter((one) => one.label === label);
    const line = {
      label,
      colour: colourOf(index),
      points: of.map(({ at, value }) => ({ x: at?.value ?? 0, y: value.median })),
    };
    const floors = of.flatMap(({ at, floor }) =>
      floor === null ? [] : [{ x: at?.value ?? 0, y: floor.value.median }],
    );
    if (floors.length === 0) return [line];
    return [line, { label: `${label}: floor`, colour: colourOf(index), points: floors, isDashed: true }];
  });
  return lines(series, { x: own[0]?.at?.axis ?? '', y: unit, isLogX: true });
}

function growthHtml(own: readonly Labelled[], unit: string): string {
  const rows = [...new Set(own.map(({ label }) => label))].flatMap((label) => {
    const points = own
      .filter((one) => one.label === label)
      .map(({ at, value }) => ({ size: at?.value ?? 0, cost: value.median }));
    const growth = growthOf(points);
    return growth === null ? [] : [`<li>${escape(label)} ${escape(growthInWords(growth, unit))}</li>`];
  });
  return rows.length === 0 ? '' : `<ul>${rows.join('')}</ul>`;
}

function barPlot(own: readonly Labelled[], unit: string): string {
  const rows = own.flatMap(({ label, value, floor, report }): Bar[] => {
    const bar = { label, value: value.median, low: value.min, high: value.p95, colour: colourOf(report) };
    if (floor === null) return [bar];
    const { median, min, p95 } = floor.value;
    return [bar, { label: `floor: ${floor.name}`, value: median, low: min, high: p95, colour: '#b5b5b5' }];
  });
  return bars(rows, unit);
}

function tableHtml(own: readonly Labelled[]): string {
  const rows = own.map(
    (one) =>
      `<tr><td>${escape(one.at === null ? one.label : `${one.label}, ${one.at.axis} ${one.at.value}`)}</td>${[
        figure(one.value.median),
        figure(one.value.min),
        figure(one.value.p95),
        one.unit,
        one.floor === null ? '·' : figure(one.floor.value.median),
        one.ratio === null ? '·' : `${figure(one.ratio.median)}×`,
        one.cpuRatio === null ? '·' : `${figure(one.cpuRatio)}×`,
      ]
        .map((cell) => `<td class="n">${escape(cell)}</td>`)
        .join('')}<td>${escape(one.checked)}</td></tr>`,
  );
  const head = ['median', 'least', 'p95', 'unit', 'floor', 'ratio', 'CPU ratio'].map(
    (name) => `<th class="n">${name}</th>`,
  );
  return `<details><summary>figures</summary><table><tr><th>what</th>${head.join('')}<th>checked</th></tr>${rows.join('')}</table></details>`;
}
