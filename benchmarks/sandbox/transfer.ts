/** Moves 100 MB of columns into a fresh isolate, run after run, as a worker does for a block; prints milliseconds as JSON. */
import { layoutOf } from '../../runtime/sandbox/javascript/columns.ts';
import { runGuest } from '../../runtime/sandbox/javascript/isolates.ts';

const MANY = 12_500_000;
const TERMS = {
  factory: '(function(){"use strict";return function(input){return input.columns.x[input.rows-1]}})',
  columns: [{ name: 'x', kind: 'float64' }],
  timeoutMs: 10_000,
  isolateMiB: 64,
  nowMs: 0,
  seed: 1,
  libraries: [],
} as const;

function once(rows: number): number {
  const { places, bytes } = layoutOf(['float64'], rows);
  const buffer = new ArrayBuffer(bytes);
  new Float64Array(buffer).fill(7);
  const collector = { kind: 'numbers', outputs: ['last'] } as const;
  const start = performance.now();
  using run = runGuest(TERMS, collector, { buffer, rows, places }, { seed: 1, libraries: new Map() });
  const took = performance.now() - start;
  const { result } = run;
  const last = result.status === 'ok' && result.value instanceof Float64Array ? result.value[1] : undefined;
  if (last !== 7) throw new Error('the isolate saw other columns');
  return took;
}

once(8);
const runs = Number(process.argv[2] ?? 7);
const [large, small]: [number[], number[]] = [[], []];
for (let run = 0; run < runs; run += 1) {
  large.push(once(MANY));
  small.push(once(8));
}
process.stdout.write(JSON.stringify({ large, small }));
