import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { COLUMNS, datasetFile, ROWS_PER_UNIT } from '../../benchmarks/sandbox/data.ts';
import { ARITHMETIC } from '../../benchmarks/sandbox/expressions.ts';
import { rowSum } from '../../benchmarks/sandbox/row-functions.ts';
import { rowSource } from '../../runtime/gateway/javascript/rows.ts';
import type { RowsRequest } from '../../runtime/gateway/javascript/row-request.ts';
import { pooledWorkers } from '../../runtime/sandbox/javascript/pooled-workers.ts';
import { runApproved } from '../../runtime/sandbox/javascript/run-approved.ts';
import { keyedBlocks, runBlocks } from '../../runtime/sandbox/javascript/run-blocks.ts';
import type { ColumnSource } from '../../runtime/sandbox/javascript/source.ts';
import { factory, jailedWorkers, terms } from './jailed.ts';

/**
 * Five million rows out of a dataset's file, by every way that consumer code has to them: no process may hold more than
 * 512 MiB at any moment. The test's own process stands for the gateway.
 */
const ROWS = 5_000_000;
const MOST_MIB = 512;
const UNITS = ROWS / ROWS_PER_UNIT;
const folder = mkdtempSync(join(tmpdir(), 'glovebox-memory-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const file = await datasetFile(folder, ROWS);
const { pool } = await jailedWorkers();
const workers = pooledWorkers(pool, { party: 'acme', memoryMiB: MOST_MIB });

function source(more: Pick<RowsRequest, 'isSorted' | 'isNumbered' | 'isReadOnce'>): ColumnSource {
  return rowSource({
    pool,
    party: 'acme',
    dataset: { file: file.path, database: file.database },
    table: { physical: file.table, rowCount: BigInt(ROWS), units: [{ hash: '__gb_u0' }] },
    columns: COLUMNS.map(({ name, kind }) => ({
      name,
      kind,
      isNullable: true,
      type: { kind: 'double' },
      texts: [],
      other: 'missing',
    })),
    rowsPerUnit: ROWS_PER_UNIT,
    signal: new AbortController().signal,
    ...more,
  });
}

/** Largest memory of this process while it works, and of any process below it in its whole life, MiB. */
async function peakOf(work: () => Promise<void>): Promise<number> {
  let peak = 0;
  const look = (): void => {
    for (const pid of family(process.pid)) {
      const status = textOf(`/proc/${pid}/status`);
      const field = pid === process.pid ? 'VmRSS' : 'VmHWM';
      peak = Math.max(peak, Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1] ?? 0) / 1024);
    }
  };
  const timer = setInterval(look, 50);
  try {
    await work();
  } finally {
    clearInterval(timer);
    look();
  }
  return peak;
}

function family(root: number): readonly number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync('/proc')) {
    const text = /^\d+$/.test(name) ? textOf(`/proc/${name}/stat`) : '';
    const parent = Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[1]);
    if (text !== '') children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  const all = [root];
  for (const one of all) all.push(...(children.get(one) ?? []));
  return all;
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return ''; // it ended meanwhile
  }
}

/** Σ over the rows of the file, by the loop that the benchmark is measured against. */
const EXPECTED = ARITHMETIC.bounded({
  x: Float64Array.from({ length: ROWS }, (_, i) => (i * 7919) % 101),
  y: Float64Array.from({ length: ROWS }, (_, i) => (i * 104_729) % 97),
});

const ways: Readonly<Record<string, () => Promise<void>>> = {
  'a row function where the rows are read': async () => {
    assert.equal(await rowSum(workers, source({ isSorted: false, isNumbered: false, isReadOnce: true })), EXPECTED);
  },
  'a row function over batches that travel': async () => {
    const { fold, ...batches } = source({ isSorted: false, isNumbered: false });
    assert.notEqual(fold, undefined);
    assert.equal(await rowSum(workers, batches), EXPECTED);
  },
  blocks: async () => {
    const job = {
      factory: factory('(input) => input.rows'),
      outputs: [{ name: 'rows', range: [0, 1e6], step: 1, default: 0 }] as const,
      assign: keyedBlocks(new Uint8Array(32).fill(7)),
      blocks: 100,
      lanes: 2,
    };
    const { blocks } = await runBlocks(workers, job, source({ isSorted: true, isNumbered: true }), {
      ...terms,
      timeoutMs: 5000,
    });
    assert.equal(
      blocks.reduce((sum, { integers }) => sum + (integers[0] ?? 0), 0),
      ROWS,
    );
  },
  'approved code over one group of all rows': async () => {
    const job = {
      factory: factory('(input) => [{ n: input.rows }]'),
      table: [{ name: 'n', kind: 'float64', maxBytes: 0 }] as const,
      maxRowsPerGroup: 1,
    };
    const outcome = await runApproved(workers, job, source({ isSorted: true, isNumbered: true }), {
      ...terms,
      timeoutMs: 60_000,
    });
    assert.ok(outcome.kind === 'done');
    assert.deepEqual(outcome.groups, [{ key: undefined, status: 'ok', rows: [[ROWS]], units: UNITS, rowsIn: ROWS }]);
  },
};

for (const [name, work] of Object.entries(ways)) {
  test(`five million rows in ${MOST_MIB} MiB: ${name}`, async () => {
    const peak = await peakOf(work);
    assert.ok(peak > 0 && peak < MOST_MIB, `a process held ${Math.round(peak)} MiB`);
  });
}
