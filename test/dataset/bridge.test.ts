import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { DuckDBInstance, type DuckDBConnection } from '@duckdb/node-api';
import { fc } from '../property.ts';
import { decodeBatch, encodeBatch } from '../../runtime/dataset/batch-frame.ts';
import type { ColumnBuilder } from '../../runtime/dataset/bridge-buffer.ts';
import { BatchBuilder, columnBuilder } from '../../runtime/dataset/bridge.ts';
import { columnTypeOf, storedFormOf } from '../../runtime/dataset/column-types.ts';
import { batchFromRows, rowsOf, type Cell } from '../../runtime/release/column-values.ts';
import type { Column, Schema } from '../../runtime/release/columns.ts';

let instance: DuckDBInstance;
let connection: DuckDBConnection;
before(async () => {
  instance = await DuckDBInstance.create(':memory:');
  connection = await instance.connect();
  await connection.run(`create table t as select case when i%7=0 then null else i end::int a, i::bigint b, (i*1.25)::double d, (i%3=0) bo,
    case when i%5=0 then null else 'str-'||repeat('ü',(i%20)::int) end s, repeat('z',(i%40)::int) s2, (i*0.01)::decimal(7,2) d7,
    (i*0.01)::decimal(18,3) d18, (i*1.1)::decimal(38,5)*-1 d38, (i%300)::decimal(4,1) d4, date '2020-01-01'+(i%1000)::int dt,
    timestamp '2021-01-01'+to_seconds(i) ts, i::hugeint*-1 h, (i%250)::utinyint u1, (i%100-50)::tinyint i1, (i*3%60000)::usmallint u2,
    (i*1000%4000000000)::uinteger u4, (i*1000000007)::ubigint u8, (i%9/3)::float f, case when i%11=0 then null else i%2=0 end nb
    from range(10000) r(i)`);
});
after(() => {
  connection.closeSync();
  instance.closeSync();
});

async function viaBridge(sql: string, flushRows: number): Promise<Cell[][]> {
  const result = await connection.stream(sql);
  const schema: Schema = result.columnTypes().map((type, i): Column => {
    const stored = storedFormOf(type)?.type;
    const carried =
      type.toString() === 'HUGEINT'
        ? { kind: 'decimal128' as const, precision: 38, scale: 0 }
        : stored && columnTypeOf(stored);
    assert.ok(carried, String(type));
    return { name: `c${i}`, type: carried, nullable: true };
  });
  const builders = schema.map(({ type }, i): ColumnBuilder => {
    const builder = columnBuilder(result.columnType(i), type);
    assert.ok(builder, result.columnName(i));
    return builder;
  });
  const batch = new BatchBuilder(builders);
  const rows: Cell[][] = [];
  const flush = (): void => {
    const decoded = decodeBatch(schema, encodeBatch(batch.view()));
    assert.equal(decoded.kind, 'batch', JSON.stringify(decoded.kind === 'bad' ? decoded.problem : ''));
    if (decoded.kind === 'batch') rows.push(...rowsOf(schema, decoded.batch));
    batch.reset();
  };
  for (;;) {
    const chunk = await result.fetchChunk();
    if (chunk === null || chunk.rowCount === 0) break;
    batch.append(chunk);
    if (batch.rowCount >= flushRows) flush();
  }
  if (batch.rowCount > 0) flush();
  return rows;
}

/** A value as node-api gives it, in the form of our cells. */
function expected(value: unknown): Cell {
  if (value === null || typeof value === 'boolean' || typeof value === 'string' || typeof value === 'bigint')
    return value;
  if (typeof value === 'number') return value;
  const known = value as { value?: bigint; days?: number; micros?: bigint };
  return known.value ?? known.days ?? known.micros ?? null;
}

describe('the bridge', () => {
  it('agrees with node-api on every value, whatever the order, filter and batch size', async () => {
    const queries = [
      'select * from t',
      'select * from t where b%3<>1',
      'select * from t order by hash(b)',
      'select s, count(*), sum(b), max(s2), avg(d) from t group by s order by 1',
    ];
    for (const sql of queries) {
      for (const flushRows of [1, 4000, 100_000]) {
        const mine = await viaBridge(sql, flushRows);
        const theirs = (await connection.runAndReadAll(sql)).getRows().map((row) => row.map(expected));
        assert.equal(mine.length, theirs.length);
        const wide = (cell: Cell): Cell =>
          typeof cell === 'bigint' ? cell.toString() : typeof cell === 'number' ? String(cell) : cell;
        for (const [i, row] of theirs.entries()) assert.deepEqual(mine[i]?.map(wide), row.map(wide), `${sql} row ${i}`);
      }
    }
  });

  it('refuses a type that would not be exact', () => {
    assert.equal(
      columnBuilder({ typeId: 19, width: 10, scale: 2 } as never, { kind: 'decimal128', precision: 10, scale: 3 }),
      null,
    );
  });
});

describe('a batch frame', () => {
  const schema: Schema = [
    { name: 'a', type: { kind: 'int32' }, nullable: true },
    { name: 't', type: { kind: 'utf8' }, nullable: true },
    { name: 'b', type: { kind: 'bool' }, nullable: false },
  ];
  const row = fc.tuple(
    fc.option(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 })),
    fc.option(fc.string()),
    fc.boolean(),
  );

  it('brings every batch over unchanged, at any alignment', () => {
    fc.assert(
      fc.property(fc.array(row, { maxLength: 50 }), fc.nat(7), (rows, shift) => {
        const bytes = encodeBatch(batchFromRows(schema, rows));
        const shifted = Buffer.alloc(bytes.length + shift);
        shifted.set(bytes, shift);
        const decoded = decodeBatch(schema, shifted.subarray(shift));
        assert.equal(decoded.kind, 'batch');
        if (decoded.kind === 'batch') assert.deepEqual(rowsOf(schema, decoded.batch), rows);
      }),
    );
  });

  it('never throws on hostile bytes', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => void decodeBatch(schema, bytes)));
    const good = encodeBatch(
      batchFromRows(schema, [
        [1, 'one', true],
        [null, 'zwei', false],
      ]),
    );
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.nat(255), (at, byte) => {
        const bad = Uint8Array.from(good);
        bad[at] = byte;
        decodeBatch(schema, bad);
      }),
    );
    assert.equal(decodeBatch(schema, good.subarray(0, good.length - 8)).kind, 'bad');
    assert.equal(decodeBatch(schema, Buffer.concat([good, Buffer.alloc(8)])).kind, 'bad');
  });
});
