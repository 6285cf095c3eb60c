import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { catalogueTables, emptySchemaOf, layoutSpecOf } from '../../runtime/dataset/catalogue.ts';
import type { DatasetManifest } from '../../runtime/dataset/metadata.ts';
import { planInWorker } from '../../runtime/dataset/parse-in-worker.ts';
import { twinOf } from '../../runtime/dataset/twin.ts';
import type { SqlType } from '../../runtime/query/types.ts';
import type { ColumnGrant, TablePolicy } from '../../runtime/policy/model.ts';
import { checkBatch } from '../../runtime/release/columns.ts';
import { rowsOf } from '../../runtime/release/column-values.ts';
import { startBareWorker } from './bare-worker.ts';

const manifest: DatasetManifest = {
  dataset: 'hospital/visits',
  version: 1,
  digest: 'sha256:0',
  notes: [],
  tables: [
    {
      name: 'visits',
      file: 't0.parquet',
      rowCount: 10,
      bytes: 1,
      digest: 'sha256:1',
      columns: [
        { name: 'id', type: { kind: 'integer', bits: 64, isSigned: true } },
        { name: 'ward', type: { kind: 'text' } },
        { name: 'cost', type: { kind: 'double' } },
        { name: 'hidden', type: { kind: 'text' } },
      ],
    },
  ],
};

const grant = (more: Partial<ColumnGrant> = {}): ColumnGrant => ({
  consumers: null,
  rights: ['group'],
  functions: [],
  bounds: null,
  values: null,
  bins: null,
  ...more,
});
const policy = (columns: Record<string, ColumnGrant[]>, more: Partial<TablePolicy> = {}): TablePolicy => ({
  name: null,
  isPublic: false,
  privacyUnits: [{ columns: ['id'], via: [] }],
  columns: Object.entries(columns).map(([name, grants]) => ({ name, grants, grade: null })),
  rows: null,
  joins: 'allowed',
  consumerTables: false,
  ...more,
});

describe('the catalogue', () => {
  it('shows a consumer the columns granted to it, under every name of the table', () => {
    const policies = [
      policy({ id: [grant({ rights: ['join'] })], ward: [grant()], cost: [grant({ consumers: ['other'] })] }),
    ];
    const [table] = catalogueTables({
      manifest,
      policies,
      consumer: 'acme',
      alias: 'd0',
      rowCounts: new Map([['visits', 7]]),
    });
    assert.deepEqual(table?.names, ['visits', 'hospital.visits', 'hospital/visits']);
    assert.equal(table?.physical, '"d0"."visits"');
    assert.deepEqual(
      table?.columns.map(({ name }) => name),
      ['id', 'ward'],
    );
    assert.deepEqual(table?.units, [
      { keyColumns: ['id'], domain: 'hospital/visits:id', hash: '__gb_u0', oneHot: '__gb_b0', tag: '__gb_t0' },
    ]);
    assert.equal(table?.rowCount, 7n);
  });

  it('counts a grant to a group for its members only, and says along which path a unit is reached', () => {
    const via = [{ from: 'id', table: 'patients', to: 'id' }];
    const policies = [
      policy(
        { id: [grant()], cost: [grant({ consumers: ['group:lab'] })] },
        { privacyUnits: [{ columns: ['person'], via }] },
      ),
    ];
    const seen = (groups: readonly string[]): readonly (string | undefined)[] | undefined =>
      catalogueTables({
        manifest,
        policies,
        consumer: 'acme',
        groups,
        alias: 'd0',
        rowCounts: new Map(),
      })[0]?.columns.map(({ name }) => name);
    assert.deepEqual(seen([]), ['id']);
    assert.deepEqual(seen(['lab']), ['id', 'cost']);
    assert.deepEqual(seen(['group:lab', 'labs']), ['id']);
    const [table] = catalogueTables({ manifest, policies, consumer: 'acme', alias: 'd0', rowCounts: new Map() });
    assert.deepEqual(table?.units[0]?.path, via);
  });

  it('prepares the sides of what can be added up, of large tables with one unit only', () => {
    const added = (): ColumnGrant => grant({ rights: ['aggregate'], functions: ['sum'] });
    const columns = { id: [grant()], ward: [added()], cost: [added()] };
    const large = {
      ...manifest,
      tables: manifest.tables.map((one) => (one.name === 'visits' ? { ...one, rowCount: 300_000 } : one)),
    };
    const sidesOf = (of: DatasetManifest, more: Partial<TablePolicy> = {}): readonly string[] | undefined =>
      layoutSpecOf(of, [policy(columns, more)], null).tables[0]?.sides;
    assert.deepEqual(sidesOf(large), ['cost'], 'a text cannot be added up');
    assert.equal(sidesOf(manifest), undefined);
    assert.equal(sidesOf(large, { isPublic: true }), undefined);
    const two = [
      { columns: ['id'], via: [] },
      { columns: ['ward'], via: [] },
    ];
    assert.equal(sidesOf(large, { privacyUnits: two }), undefined);
    const seen = (consumer: string): unknown =>
      catalogueTables({
        manifest: large,
        policies: [policy({ ...columns, cost: [{ ...added(), consumers: ['acme'] }] })],
        consumer,
        alias: 'd0',
        rowCounts: new Map(),
      })[0]?.units[0]?.sides;
    assert.deepEqual(seen('acme'), new Map([['cost', '__gb_s_cost']]));
    assert.equal(seen('other'), undefined, 'nothing of a column that the consumer has no grant for');
  });

  it('gives the worker no column without a grant, and refuses what the dataset does not have', () => {
    const bounds = { low: 0, high: 10 };
    const spec = layoutSpecOf(manifest, [policy({ ward: [grant()], cost: [grant({ bounds })] })], 3);
    assert.deepEqual(spec.tables[0]?.columns, ['ward', 'cost']);
    assert.deepEqual(spec.tables[0]?.bounds, { cost: bounds });
    assert.equal(spec.tables[0]?.maxRowsPerUnit, 3);
    assert.equal(spec.tables[0]?.isTagged, true);
    assert.equal(layoutSpecOf(manifest, [policy({ ward: [grant()] })], 3, false).tables[0]?.isTagged, false);
    assert.throws(
      () => layoutSpecOf(manifest, [policy({ nothing: [grant()] })], null),
      /column `nothing` is not in table `visits`/,
    );
    assert.throws(
      () => layoutSpecOf(manifest, [policy({}, { name: 'other' })], null),
      /table `other` is not in dataset/,
    );
    const two = [grant({ bounds }), grant({ bounds: { low: 0, high: 11 } })];
    assert.throws(() => layoutSpecOf(manifest, [policy({ cost: two })], null), /different bounds/);
  });

  it('makes empty tables over which an enforced statement can be planned', async () => {
    const spec = layoutSpecOf(
      manifest,
      [policy({ ward: [grant()], cost: [grant({ bounds: { low: 0, high: 10 } })] })],
      3,
    );
    await using worker = await startBareWorker('parser');
    const sql = `SELECT ward, sum("__gb_f_cost"), bit_count(bit_or("__gb_b0")) FROM "d0"."visits" WHERE "__gb_rank" < 3 GROUP BY ward`;
    const answer = await planInWorker(worker, emptySchemaOf('d0', manifest, spec), [{ sql, isRun: false }]);
    assert.equal(answer.kind === 'text' && JSON.parse(answer.value[0] ?? '').error, false);
  });
});

describe('a synthetic twin', () => {
  it('has the granted columns, values within what is declared, and the same values for the same seed', () => {
    const values = [
      { kind: 'text', value: 'a' },
      { kind: 'text', value: 'b' },
    ] as const;
    const policies = [
      policy({ id: [grant()], ward: [grant({ values })], cost: [grant({ bounds: { low: -5, high: 5 } })] }),
    ];
    const options = { rows: 500, seed: 7, units: 40 };
    const [twin] = twinOf(manifest, policies, options);
    assert.ok(twin);
    assert.deepEqual(checkBatch(twin.schema, twin.batch), { kind: 'ok' });
    const rows = rowsOf(twin.schema, twin.batch);
    assert.deepEqual(
      twin.columns.map(({ name }) => name),
      ['id', 'ward', 'cost'],
    );
    assert.ok(
      rows.every(
        ([id, ward, cost]) =>
          typeof id === 'bigint' && id < 40n && (ward === 'a' || ward === 'b') && Math.abs(cost as number) <= 5,
      ),
    );
    assert.deepEqual(twinOf(manifest, policies, options), [twin]);
    assert.notDeepEqual(twinOf(manifest, policies, { ...options, seed: 8 }), [twin]);
  });

  const typed = (type: SqlType): DatasetManifest => ({
    ...manifest,
    tables: manifest.tables.map((table) => ({ ...table, columns: [{ name: 'x', type }] })),
  });

  it('holds what the type can hold, however far declared bounds and bins reach', () => {
    const types: readonly SqlType[] = [
      ...([8, 16, 32, 64, 128] as const).flatMap((bits) =>
        [true, false].map((isSigned): SqlType => ({ kind: 'integer', bits, isSigned })),
      ),
      { kind: 'decimal', width: 4, scale: 2 },
      { kind: 'decimal', width: 38, scale: 0 },
      { kind: 'double' },
    ];
    for (const type of types)
      for (const end of [1, 1e10, 1e40, 1.7e308]) {
        const bounds = { low: -end, high: end };
        const bin = { from: -end, to: end, isLast: true, weight: 1 };
        for (const marginals of [undefined, new Map([['visits', [{ column: 'x', choices: [bin] }]]])]) {
          const options = { rows: 20, seed: 7, units: 4, ...(marginals === undefined ? {} : { marginals }) };
          const [twin] = twinOf(typed(type), [policy({ x: [grant({ bounds })] })], options);
          assert.ok(twin);
          assert.deepEqual(checkBatch(twin.schema, twin.batch), { kind: 'ok' });
          const cells = rowsOf(twin.schema, twin.batch).flat();
          assert.ok(
            cells.every((cell) => typeof cell === 'bigint' || Number.isFinite(cell)),
            JSON.stringify(type),
          );
          const isSmall = type.kind === 'integer' && type.bits === 8 && type.isSigned;
          if (isSmall) assert.ok(cells.every((cell) => Number(cell) >= -128 && Number(cell) <= 127));
        }
      }
  });

  it('never draws what has no weight', () => {
    const choices = ['a', 'b', 'c', null, 'd'].map((cell, i) => ({ cell, weight: i % 2 === 0 ? 0 : i }));
    const marginals = new Map([['visits', [{ column: 'x', choices }]]]);
    const options = { rows: 400, seed: 7, units: 4, marginals };
    const [twin] = twinOf(typed({ kind: 'text' }), [policy({ x: [grant()] })], options);
    assert.ok(twin);
    const cells = rowsOf(twin.schema, twin.batch).flat();
    assert.deepEqual(new Set(cells), new Set(['b', null]));
    const nulls = cells.filter((cell) => cell === null).length;
    assert.ok(nulls > 250 && nulls < 350, `${nulls} of 400, three in four expected`);
  });
});
