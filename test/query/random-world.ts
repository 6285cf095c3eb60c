/** Small datasets at the edges of their types, in real layout files, made anew from a seed. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import { DEFAULT_ENGINE_LIMITS } from '../../runtime/dataset/engine.ts';
import { makeLayout } from '../../runtime/dataset/make-layout.ts';
import type { ColumnGrant, DifferentialPrivacyRelease, PrivacyUnit } from '../../runtime/policy/model.ts';
import type { CatalogueTable } from '../../runtime/query/catalogue.ts';
import { printType, type SqlType } from '../../runtime/query/types.ts';
import { compileDifferential } from '../../runtime/query/differential/compile.ts';
import type { NoisyBlock } from '../../runtime/query/differential/noisy-block.ts';
import { UNIT_HASH, UNIT_ONE_HOT } from '../../runtime/query/layout.ts';
import { parseLossless } from '../../runtime/query/lossless-json.ts';
import { exactId } from '../../runtime/release/mechanisms/mechanism.ts';

export type Random = () => number;
export type Value = string | number | boolean | null;
type Row = Readonly<Record<string, Value>>;
export type World = Readonly<Record<'patients' | 'visits' | 'stays' | 'items' | 'labs' | 'alarms', readonly Row[]>>;

const int = (bits: 8 | 16 | 32 | 64): SqlType => ({ kind: 'integer', bits, isSigned: true });
const decimal = (width: number, scale: number): SqlType => ({ kind: 'decimal', width, scale });
const TEXT: SqlType = { kind: 'text' };
const DOUBLE: SqlType = { kind: 'double' };
const FLOAT: SqlType = { kind: 'float' };
const TYPES: Readonly<Record<string, Readonly<Record<string, SqlType>>>> = {
  patients: { id: int(64), age: int(32), town: TEXT, score: FLOAT, weight: decimal(9, 2), born: { kind: 'date' } },
  visits: {
    patient: int(64),
    ward: TEXT,
    cost: DOUBLE,
    stay: int(32),
    day: { kind: 'timestamp' },
    big: int(64),
    share: FLOAT,
    tiny: int(8),
    paid: decimal(18, 4),
    code: DOUBLE,
    label: FLOAT,
  },
  stays: { number: int(32), patient: int(64), days: int(16), ward: TEXT },
  items: { stay: int(32), price: decimal(12, 2), quantity: int(32), kind: TEXT },
  labs: { id: DOUBLE, value: DOUBLE, kind: TEXT },
  alarms: { level: DOUBLE, kind: TEXT },
  wards: { ward: TEXT, floor: int(32) },
  prices: { ward: TEXT, price: int(32) },
  codes: { code: int(64), label: int(32), name: TEXT },
};
const BOUNDS: Readonly<Record<string, Readonly<Record<string, { low: number; high: number }>>>> = {
  // Bounds that the types cannot hold exactly are where clipping goes wrong.
  patients: { age: { low: 0, high: 100 }, score: { low: 0.1, high: 0.3 }, weight: { low: 0.29, high: 250.07 } },
  visits: {
    cost: { low: 0, high: 1000 },
    stay: { low: -5, high: 30 },
    big: { low: -9e18, high: 9e18 },
    share: { low: -0.1, high: 0.7 },
    tiny: { low: 3, high: 100 },
    paid: { low: -0.07, high: 99_999.5 },
  },
  stays: { days: { low: 0, high: 60 } },
  items: { price: { low: 0, high: 5000 }, quantity: { low: 1, high: 9 } },
  labs: { value: { low: -1e-3, high: 7e17 } },
  alarms: { level: { low: -1e200, high: 1e200 } },
};
const TO_PATIENT = { from: 'patient', table: 'patients', to: 'id' };
const UNITS: Readonly<Record<string, readonly PrivacyUnit[]>> = {
  patients: [{ columns: ['id'], via: [] }],
  visits: [{ columns: ['id'], via: [TO_PATIENT] }],
  stays: [{ columns: ['id'], via: [TO_PATIENT] }],
  items: [{ columns: ['id'], via: [{ from: 'stay', table: 'stays', to: 'number' }, TO_PATIENT] }],
  labs: [{ columns: ['id'], via: [] }],
  // Each row is a unit of its own, also where several are alike.
  alarms: [{ columns: [], via: [] }],
};
const PUBLIC: Readonly<Record<string, readonly (readonly Value[])[]>> = {
  wards: [
    ['north', 1],
    ['south', 2],
    ['east', 2],
    [null, 4],
  ],
  prices: [
    ['north', 10],
    ['north', 20],
    ['south', 7],
    [null, 3],
  ],
  // No code stands twice; as floating-point numbers some are the same.
  codes: [
    ['9007199254740992', 16_777_216, 'a'],
    ['9007199254740993', 16_777_217, 'b'],
    ['9007199254740995', 16_777_219, 'c'],
    ['1', 1, 'd'],
    ['2', 2, 'e'],
  ],
};

export const RELEASE: DifferentialPrivacyRelease = {
  mode: 'differentialPrivacy',
  microEpsilonPerJob: 1_000_000,
  microEpsilonTotal: 4_000_000,
  microEpsilonDataset: null,
  accounting: 'pure',
  deltaTotal: null,
  delta: 1e-6,
  maxRowsPerUnit: 2,
  minUnits: null,
  noise: 'laplace',
  budgetPeriodMs: null,
  maxRows: 100,
};

/** Numbers from a seed (mulberry32): a failure is found again by it. */
export function randomFrom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function pick<T>(random: Random, among: readonly T[]): T {
  const found = among[Math.floor(random() * among.length)];
  if (found === undefined) throw new RangeError('nothing to pick from');
  return found;
}

const IDS = ['1', '2', '3', '9007199254740992', '9007199254740993', '9223372036854775807', '-9223372036854775808'];
const WHOLE: readonly Value[] = [0, -5, 30, 31, -2_147_483_648, 2_147_483_647, 7, 1, null];
const DOUBLES: readonly Value[] = [0, -0, 1, 1000, -50, 0.1, 1e300, NaN, Infinity, -Infinity, 5e-324, null, 7e17];
const FLOATS: readonly Value[] = [0.1, 0.7, -0.1, 0.3, 0, NaN, Infinity, -3e38, null, 1e-45];
const WARDS: readonly Value[] = ['north', 'south', 'east', 'rare', null];

export function randomWorld(random: Random): World {
  const any = (among: readonly Value[]): Value => pick(random, among);
  const ids = IDS.filter(() => random() < 0.7);
  // Some rows are nobody's: no patient, or one who is not there.
  const patient = (): Value => (random() < 0.1 ? any([null, '77']) : any(ids.length === 0 ? IDS : ids));
  const some = (most: number, row: (index: number) => Row): Row[] =>
    Array.from({ length: Math.floor(random() * most) }, (_, index) => row(index));
  const visits = some(18, () => ({
    patient: patient(),
    ward: any(WARDS),
    cost: any(DOUBLES),
    stay: any(WHOLE),
    day: any(['2024-03-31 02:30:00', '1970-01-01', '2024-02-29 23:59:59.999999', null]),
    big: any(['9223372036854775807', '-9223372036854775808', 0, null]),
    share: any(FLOATS),
    tiny: any([-128, 127, 0, null]),
    paid: any(['99999.5', '99999999999999.9999', '-5', '1.2345', null]),
    code: any([2 ** 53, 2 ** 53 + 2, 2 ** 53 + 4, 1, NaN, null]),
    label: any([2 ** 24, 2 ** 24 + 2, 2 ** 24 + 4, 1, NaN, null]),
  }));
  const [first] = visits;
  return {
    patients: ids.map((id) => ({
      id,
      age: any(WHOLE),
      town: any(['A', 'B', 'ä', '', null]),
      score: any(FLOATS),
      weight: any(['0.29', '250.07', '-9999999.99', '9999999.99', '12.35', null]),
      born: any(['1970-01-01', '2024-02-29', '0001-01-01', '9999-12-31', null]),
    })),
    // Rows that are alike in all that can be told, more of them than count.
    visits: first !== undefined && random() < 0.5 ? [...visits, first, first, first] : visits,
    stays: some(8, (index) => ({
      number: index,
      patient: patient(),
      days: any([0, 60, 61, -1, null]),
      ward: any(WARDS),
    })),
    items: some(14, () => ({
      stay: random() < 0.1 ? null : Math.floor(random() * 9),
      price: any(['0', '5000', '5000.01', '-1', '9999999999.99', null]),
      quantity: any(WHOLE),
      kind: any(['drug', 'bed', null]),
    })),
    labs: some(8, () => ({
      id: any([1, 2, 3, 2 ** 53, NaN, null, -0, 0]),
      value: any(DOUBLES),
      kind: any(['x', 'y']),
    })),
    alarms: some(8, () => ({ level: any([1e200, -1e300, 0, null]), kind: any(['x', 'y', null]) })),
  };
}

/** The same world without all rows of one patient, for each of them; and without an alarm, as no question is about both. */
export function neighboursOf(world: World): readonly World[] {
  return world.patients.map(({ id }) => {
    const stays = new Set(world.stays.filter(({ patient }) => patient === id).map(({ number }) => number));
    const isOf = ({ patient }: Row): boolean => patient === id;
    return {
      patients: world.patients.filter((one) => one['id'] !== id),
      visits: world.visits.filter((one) => !isOf(one)),
      stays: world.stays.filter((one) => !isOf(one)),
      items: world.items.filter(({ stay }) => stay === null || !stays.has(stay ?? null)),
      labs: world.labs.filter((one) => String(one['id']) !== id),
      alarms: world.alarms.slice(1),
    };
  });
}

/** An engine over the layout of a world. Close it when done. */
export class RandomDataset {
  readonly #folder: string;
  readonly #instance: DuckDBInstance;
  readonly #connection: DuckDBConnection;
  readonly #tables: readonly CatalogueTable[];

  private constructor(
    folder: string,
    instance: DuckDBInstance,
    connection: DuckDBConnection,
    tables: readonly CatalogueTable[],
  ) {
    this.#folder = folder;
    this.#instance = instance;
    this.#connection = connection;
    this.#tables = tables;
  }

  static async open(world: World, release: DifferentialPrivacyRelease): Promise<RandomDataset> {
    const folder = mkdtempSync(join(tmpdir(), 'glovebox-world-'));
    const instance = await DuckDBInstance.create(':memory:', { threads: '1' });
    const connection = await instance.connect();
    const names = Object.keys(TYPES);
    const columnsOf = (name: string): (readonly [string, SqlType])[] => Object.entries(TYPES[name] ?? {});
    for (const name of names) {
      const columns = columnsOf(name);
      const types = columns.map(([column, type]) => `"${column}" ${printType(type)}`);
      await connection.run(`CREATE TABLE ${name}(${types.join(', ')})`);
      const rows =
        PUBLIC[name] ?? (world[name as keyof World] ?? []).map((row) => columns.map(([column]) => row[column] ?? null));
      const printed = rows.map(
        (row) => `(${row.map((value, i) => literal(value, columns[i]?.[1] ?? TEXT)).join(',')})`,
      );
      if (printed.length > 0) await connection.run(`INSERT INTO ${name} VALUES ${printed.join(',')}`);
      await connection.run(`COPY ${name} TO '${join(folder, name)}.parquet' (FORMAT parquet)`);
    }
    const outFile = join(folder, 'layout.duckdb');
    const { tables } = await makeLayout({
      spec: {
        tables: names.map((name) => ({
          name,
          columns: columnsOf(name).map(([column]) => column),
          units: UNITS[name] ?? [],
          rows: null,
          bounds: BOUNDS[name] ?? {},
          maxRowsPerUnit: UNITS[name] === undefined ? null : release.maxRowsPerUnit,
          isTagged: false,
        })),
      },
      scopes: names.map(() => null),
      records: names.map((name) => ({
        name,
        path: join(folder, `${name}.parquet`),
        columns: columnsOf(name).map(([column, type]) => ({ name: column, type, nullable: true })),
      })) as Parameters<typeof makeLayout>[0]['records'],
      hashKeyHex: '7'.repeat(64),
      outFile,
      limits: { ...DEFAULT_ENGINE_LIMITS, threads: 1 },
    });
    await connection.run(`ATTACH '${outFile}' AS d0 (READ_ONLY)`);
    return new RandomDataset(folder, instance, connection, tables.map(catalogueTable));
  }

  async compile(sql: string, release: DifferentialPrivacyRelease): Promise<ReturnType<typeof compileDifferential>> {
    const reader = await this.#connection.runAndReadAll('select json_serialize_sql($1::varchar)', [sql]);
    const context = { consumer: 'acme', tables: this.#tables, release, clause: 'hospital allow[0]', parameters: {} };
    return compileDifferential(parseLossless(String(reader.getRows()[0]?.[0])), sql, context);
  }

  /** Exact answers by the text of the group's key, then by the id of the exact column. */
  async exact(block: NoisyBlock): Promise<ReadonlyMap<string, ReadonlyMap<string, bigint>>> {
    const rows = (await this.#connection.runAndReadAll(block.enforced.result)).getRows();
    const width = block.keys.length;
    return new Map(
      rows.map((row) => [
        JSON.stringify(row.slice(0, width).map(String)),
        new Map(
          block.exact.map((column, index) => [
            exactId(column),
            (row[width + index] as { readonly value: bigint }).value,
          ]),
        ),
      ]),
    );
  }

  close(): void {
    this.#connection.closeSync();
    this.#instance.closeSync();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

function literal(value: Value, type: SqlType): string {
  if (value === null) return 'NULL';
  return `'${Object.is(value, -0) ? '-0.0' : value}'::${printType(type)}`;
}

function catalogueTable(laidOut: Awaited<ReturnType<typeof makeLayout>>['tables'][number]): CatalogueTable {
  const { name, rowCount } = laidOut;
  const units = UNITS[name] ?? [];
  return {
    dataset: 'hospital',
    names: [name],
    physical: `"d0"."${name}"`,
    isPublic: units.length === 0,
    columns: Object.entries(TYPES[name] ?? {}).map(([column, type]) => {
      const bounds = BOUNDS[name]?.[column] ?? null;
      const facts = laidOut.columns[column];
      const grant: ColumnGrant = {
        consumers: null,
        rights: ['group', 'filter', 'order', 'join', 'compare', 'countDistinct', 'extremum', 'aggregate'],
        functions: bounds === null ? [] : FUNCTIONS,
        bounds,
        values: null,
        bins: column === 'age' ? [20, 40, 60] : null,
      };
      return { name: column, type, grants: [grant], ...(facts === undefined ? {} : { facts }) };
    }),
    units: units.map(({ columns, via }, index) => ({
      keyColumns: via.length === 0 ? columns : via.length === 1 ? ['patient'] : [],
      domain: columns.length === 0 ? `hospital#${name}` : 'hospital:id',
      hash: UNIT_HASH(index),
      oneHot: UNIT_ONE_HOT(index),
      ...(via.length === 0 ? {} : { path: via }),
      ...(columns.length === 0 ? { isRow: true as const } : {}),
    })),
    joins: 'allowed',
    rowCount: BigInt(rowCount),
    ...(name === 'patients' ? { isOneOfEachUnit: true as const } : {}),
  };
}

const FUNCTIONS: ColumnGrant['functions'] = [
  'sum',
  'avg',
  'count',
  'variance',
  'stddev',
  'quantile',
  'histogram',
  'correlation',
  'regressionSlope',
];
