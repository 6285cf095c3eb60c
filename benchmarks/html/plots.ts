import type { Measurement } from '../measurement.ts';

/** Plots as SVG text: no script, no font, nothing from anywhere else. */

/** Series colours that people who do not see red and green apart can tell from each other (Okabe and Ito 2008). */
export const COLOURS = [
  '#0072b2',
  '#d55e00',
  '#009e73',
  '#cc79a7',
  '#e69f00',
  '#56b4e9',
  '#7a7a00',
  '#444444',
] as const;

export const colourOf = (index: number): string => COLOURS[index % COLOURS.length] ?? '#444444';

export function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}

/** Three significant digits. */
export function figure(value: number): string {
  if (!Number.isFinite(value)) return '·';
  return Math.abs(value) >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3)));
}

export interface Bar {
  readonly label: string;
  readonly value: number;
  readonly low: number;
  readonly high: number;
  readonly colour: string;
}

const WIDTH = 860;
const LABEL_WIDTH = 360;
const BAR_HEIGHT = 22;

/** Horizontal bars with a whisker from the least to the largest run. */
export function bars(rows: readonly Bar[], unit: string): string {
  const most = Math.max(...rows.map(({ high }) => high), Number.MIN_VALUE);
  const scale = (value: number): number => (value / most) * (WIDTH - LABEL_WIDTH - 110);
  const lines = rows.map(({ label, value, low, high, colour }, index) => {
    const y = index * BAR_HEIGHT + 4;
    const middle = y + BAR_HEIGHT / 2 - 4;
    return [
      `<text x="${LABEL_WIDTH - 8}" y="${middle + 4}" text-anchor="end">${escape(label)}</text>`,
      `<rect x="${LABEL_WIDTH}" y="${y}" width="${scale(value).toFixed(1)}" height="${BAR_HEIGHT - 8}" fill="${colour}"><title>${escape(`${label}: ${figure(value)} ${unit}, from ${figure(low)} to ${figure(high)}`)}</title></rect>`,
      `<line x1="${(LABEL_WIDTH + scale(low)).toFixed(1)}" x2="${(LABEL_WIDTH + scale(high)).toFixed(1)}" y1="${middle}" y2="${middle}" stroke="#222"/>`,
      `<text x="${(LABEL_WIDTH + scale(high) + 6).toFixed(1)}" y="${middle + 4}">${figure(value)} ${escape(unit)}</text>`,
    ].join('');
  });
  return svg(rows.length * BAR_HEIGHT + 8, lines.join(''));
}

export interface Series {
  readonly label: string;
  readonly colour: string;
  readonly points: readonly { readonly x: number; readonly y: number }[];
  readonly isDashed?: boolean;
}

const PLOT_HEIGHT = 260;
const LEFT = 70;
const RIGHT = 20;

/** Lines over an axis that may span powers of ten. */
export function lines(
  series: readonly Series[],
  axes: { readonly x: string; readonly y: string; readonly isLogX: boolean },
): string {
  const points = series.flatMap((one) => one.points);
  const xs = points.map(({ x }) => x);
  const [low, high] = [Math.min(...xs), Math.max(...xs)];
  const most = Math.max(...points.map(({ y }) => y), Number.MIN_VALUE);
  const along = (x: number): number => (axes.isLogX ? Math.log(Math.max(x, 1e-9)) : x);
  const span = along(high) - along(low) || 1;
  const toX = (x: number): number => LEFT + ((along(x) - along(low)) / span) * (WIDTH - LEFT - RIGHT);
  const toY = (y: number): number => PLOT_HEIGHT - 30 - (y / most) * (PLOT_HEIGHT - 50);
  const grid = [0, 0.25, 0.5, 0.75, 1].map((share) => {
    const y = toY(share * most).toFixed(1);
    return `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y}" y2="${y}" stroke="#ddd"/><text x="${LEFT - 6}" y="${Number(y) + 4}" text-anchor="end">${figure(share * most)}</text>`;
  });
  const ticks = (
    axes.isLogX ? [...new Set(xs)] : [0, 0.25, 0.5, 0.75, 1].map((share) => low + share * (high - low))
  ).map((x) => `<text x="${toX(x).toFixed(1)}" y="${PLOT_HEIGHT - 12}" text-anchor="middle">${figure(x)}</text>`);
  const drawn = series.map(({ points: own, colour, isDashed }) => {
    const sorted = own.toSorted((one, other) => one.x - other.x);
    const path = sorted.map(({ x, y }) => `${toX(x).toFixed(1)},${toY(y).toFixed(1)}`).join(' ');
    const dots =
      sorted.length > 40
        ? ''
        : sorted
            .map(
              ({ x, y }) =>
                `<circle cx="${toX(x).toFixed(1)}" cy="${toY(y).toFixed(1)}" r="3" fill="${colour}"><title>${figure(x)}: ${figure(y)}</title></circle>`,
            )
            .join('');
    return `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="2"${isDashed === true ? ' stroke-dasharray="6 4"' : ''}/>${dots}`;
  });
  const names = `<text x="${WIDTH - RIGHT}" y="${PLOT_HEIGHT}" text-anchor="end">${escape(axes.x)}</text><text x="0" y="12">${escape(axes.y)}</text>`;
  return svg(PLOT_HEIGHT + 6, [...grid, ...ticks, ...drawn, names].join('')) + legend(series);
}

/** One stacked bar per figure: where the time of a job goes. */
export function stacks(
  rows: readonly { readonly label: string; readonly stages: Readonly<Record<string, number>> }[],
): string {
  const names = [...new Set(rows.flatMap(({ stages }) => Object.keys(stages)))];
  // Each bar fills the width: what share of a job a stage takes is the question, and jobs differ a hundredfold.
  const drawn = rows.map(({ label, stages }, index) => {
    const total = Object.values(stages).reduce((sum, ms) => sum + ms, 0);
    const y = index * BAR_HEIGHT + 4;
    let x = LABEL_WIDTH;
    const parts = names.map((name, at) => {
      const width = ((stages[name] ?? 0) / Math.max(total, Number.MIN_VALUE)) * (WIDTH - LABEL_WIDTH - 110);
      const part = `<rect x="${x.toFixed(1)}" y="${y}" width="${width.toFixed(1)}" height="${BAR_HEIGHT - 8}" fill="${colourOf(at)}"><title>${escape(`${name}: ${figure(stages[name] ?? 0)} ms`)}</title></rect>`;
      x += width;
      return part;
    });
    return `<text x="${LABEL_WIDTH - 8}" y="${y + 12}" text-anchor="end">${escape(label)}</text>${parts.join('')}<text x="${(x + 6).toFixed(1)}" y="${y + 12}">${figure(total)} ms</text>`;
  });
  return (
    svg(rows.length * BAR_HEIGHT + 8, drawn.join('')) +
    legend(names.map((label, at) => ({ label, colour: colourOf(at) })))
  );
}

/** Share of runs that took at most so long. */
export function distribution(measurements: readonly (Measurement & { readonly label: string })[]): string {
  const series = measurements.map(({ label, value: { runs } }, index): Series => {
    const sorted = runs.toSorted((one, other) => one - other);
    return {
      label,
      colour: colourOf(index),
      points: sorted.map((x, at) => ({ x, y: ((at + 1) / sorted.length) * 100 })),
    };
  });
  return lines(series, { x: measurements[0]?.unit ?? '', y: '% of runs within', isLogX: false });
}

function legend(series: readonly { readonly label: string; readonly colour: string }[]): string {
  const entries = series.map(
    ({ label, colour }) => `<span><i style="background:${colour}"></i>${escape(label)}</span>`,
  );
  return `<p class="legend">${entries.join('')}</p>`;
}

function svg(height: number, content: string): string {
  return `<svg viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img">${content}</svg>`;
}
