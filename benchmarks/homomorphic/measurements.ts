import { measurement, type Measurement, pairedRatio, spreadOf, WrongAnswer } from '../measurement.ts';
import { type HomomorphicBenchRow, type ProgramRow, runHomomorphicBench } from './bench.ts';
import type { JobsRow } from './jobs.ts';
import type { Timing } from './measure.ts';

/** Programs on ciphertext, encrypted queries and the primitive operations, in the form of the common report. */
export async function benchHomomorphic(options: {
  readonly rows: number;
  readonly runs: number;
  readonly isQuick: boolean;
  readonly progress: (text: string) => void;
}): Promise<{ readonly measurements: readonly Measurement[] }> {
  const { runs, isQuick, progress } = options;
  progress('primitive operations');
  const { rows } = await runHomomorphicBench({
    sizes: isQuick ? [Math.min(options.rows, 20_000)] : [100_000, Math.min(options.rows, 1_000_000)],
    workers: isQuick ? [1] : [1, 2],
    runs: Math.min(runs, 5),
    onRow: (row) => progress(labelOf(row)),
  });
  return { measurements: rows.flatMap(measurementsOf) };
}

function labelOf(row: HomomorphicBenchRow): string {
  return row.kind === 'primitive' ? `${row.profile} ${row.operation}` : `${row.program} over ${row.rows} rows`;
}

function measurementsOf(row: HomomorphicBenchRow): readonly Measurement[] {
  if (row.kind === 'primitive') {
    return [
      measurement({
        section: 'homomorphic',
        group: 'primitive operations',
        name: labelOf(row),
        unit: 'ms',
        runs: [row.medianMicroseconds / 1000],
        checked: 'the floor itself',
      }),
    ];
  }
  if (row.kind === 'jobs') return jobMeasurements(row);
  if (!row.isCorrect) throw new WrongAnswer(`${labelOf(row)}: the decrypted result is not plaintext's`);
  if (row.kind === 'program') return programMeasurements(row);
  return [
    measurement({
      section: 'homomorphic',
      group: 'encrypted queries on plaintext',
      name: `${row.program}, ${row.columns} columns`,
      at: { axis: 'rows', value: row.rows },
      unit: 'ms',
      runs: ends(row.compute),
      floor: { name: 'plaintext in DuckDB', runs: ends(row.plaintextDuckDb) },
      checked: `decrypts to plaintext's answer; ${row.securityBits} bit security, ${row.resultBytes} bytes of result`,
    }),
  ];
}

/** One worker tells of time, stages, size and noise; more of them only how much more they do. */
function programMeasurements(row: ProgramRow): readonly Measurement[] {
  const common = { section: 'homomorphic', at: { axis: 'rows', value: row.rows } } as const;
  const name = `${row.program}, ${row.columns} columns`;
  const parameters = `${row.scheme}, degree ${row.degree}, ${row.modulusBits} bit modulus, ${row.securityBits} bit security`;
  const checked = `decrypts to plaintext's answer; ${parameters}`;
  const rate = measurement({
    ...common,
    group: 'values a second on ciphertext',
    name: `${name}, workers ${row.workers}`,
    unit: '/s',
    runs: [row.computeValuesPerSecond],
    checked,
  });
  if (row.workers > 1) return [rate];
  const { encodeAndEncryptMs, takeInMs, compute, decryptMs } = row.stages;
  const fact = (what: string, unit: 'MB' | 'bits', value: number | null): readonly Measurement[] =>
    value === null
      ? []
      : [measurement({ ...common, group: 'size and noise', name: `${name}: ${what}`, unit, runs: [value], checked })];
  return [
    besidePrimitives(row),
    measurement({
      ...common,
      group: 'programs on ciphertext',
      name,
      unit: 'ms',
      runs: ends(compute),
      floor: { name: 'plaintext in DuckDB', runs: ends(row.plaintextDuckDb) },
      stages: {
        'encode and encrypt': encodeAndEncryptMs,
        'take in': takeInMs,
        compute: compute.medianMs,
        decrypt: decryptMs,
      },
      checked,
    }),
    rate,
    ...fact('a million values as they are kept', 'MB', row.storedMBPerMillionValues),
    ...fact('a million values as they are uploaded', 'MB', row.uploadedMBPerMillionValues),
    ...fact('noise budget left, at least', 'bits', row.noiseBitsLeftWorstCase),
    ...fact('noise budget left, measured', 'bits', row.noiseBitsLeftMeasured),
  ];
}

const LEAST_SCALING = 1.5;

const JOB_TEXTS = {
  workers: {
    alone: 'whole jobs in jailed workers',
    together: 'two jailed workers beside one',
    floor: 'the compute stage alone, without jail and pipe',
    checked: 'the jailed worker’s answer is that of the same computation in this process',
  },
  threads: {
    alone: 'encrypting a column, from values to file',
    together: 'two threads that encrypt beside one core',
    floor: 'the encryptor alone, without rows, file and digest',
    checked: 'a strict reader accepts what the threads wrote',
  },
} as const;

function jobMeasurements(row: JobsRow): readonly Measurement[] {
  if (!row.isCorrect) throw new WrongAnswer(`${labelOf(row)}: the answer of the worker is not that of this process`);
  const { alone, together, floor, checked } = JOB_TEXTS[row.setting];
  const common = {
    section: 'homomorphic',
    name: row.program,
    at: { axis: 'rows', value: row.rows },
    checked,
  } as const;
  return [
    measurement({
      ...common,
      group: alone,
      unit: 'ms',
      runs: row.aloneMs,
      floor: { name: floor, runs: row.computeMs },
    }),
    measurement({
      ...common,
      group: together,
      unit: '×',
      runs: row.scaling,
      goal: {
        text: `two workers do at least ${LEAST_SCALING} times the work of one`,
        isMet: spreadOf(row.scaling).median >= LEAST_SCALING,
      },
    }),
  ];
}

const MOST_OVER_PRIMITIVES = 1.25;

function besidePrimitives(row: ProgramRow): Measurement {
  const { computeMs, primitivesMs } = row.beside;
  const { median } = pairedRatio(computeMs, primitivesMs);
  return measurement({
    section: 'homomorphic',
    group: 'programs beside their primitive operations',
    name: `${row.program}, ${row.columns} columns`,
    at: { axis: 'rows', value: row.rows },
    unit: 'CPU ms',
    runs: computeMs,
    floor: { name: 'the library’s operations one by one', runs: primitivesMs },
    goal: {
      text: `the compute stage takes at most ${MOST_OVER_PRIMITIVES} times its primitive operations`,
      isMet: median <= MOST_OVER_PRIMITIVES,
    },
    checked: 'decrypts to plaintext’s answer; the floor does the same operations in the same run',
  });
}

/** A timing keeps the median and the ends; three values with that median. */
function ends({ minMs, medianMs, maxMs }: Timing): readonly number[] {
  return [minMs, medianMs, maxMs];
}
