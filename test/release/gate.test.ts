import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fc } from '../property.ts';
import type {
  Candidate,
  Certificate,
  OutputColumn,
  ReleaseTerms,
  TableCandidate,
} from '../../runtime/release/candidate.ts';
import { NO_CODE_LIMITS } from '../../runtime/policy/model.ts';
import { batchFromRows, rowsOf, type Cell } from '../../runtime/release/column-values.ts';
import type { ColumnType, Schema } from '../../runtime/release/columns.ts';
import { passGate } from '../../runtime/release/gate.ts';
import { termsOf } from '../../runtime/release/terms.ts';

const output = (name: string, type: ColumnType, role: OutputColumn['role']): OutputColumn => ({
  name,
  type,
  nullable: true,
  role,
});

const OUTPUTS: readonly OutputColumn[] = [
  output('ward', { kind: 'utf8' }, 'key'),
  output('cost', { kind: 'float64' }, 'cell'),
  output('visits', { kind: 'int64' }, 'cell'),
  output('mean', { kind: 'float64' }, 'derived'),
];
const UNITS: Schema = [{ name: 'u0', type: { kind: 'int64' }, nullable: false }];
const ROW_UNITS: Certificate = { kind: 'units', column: 'u0', unit: 'patient', cells: null };

const TERMS: ReleaseTerms = {
  mode: 'aggregate',
  clause: 'hospital/visits v3 allow[statistics]',
  units: ['patient'],
  minUnits: 10,
  smallGroups: 'drop',
  dominance: null,
  outputs: OUTPUTS,
  mediaTypes: [],
  maxRows: 1000,
  maxBytes: 100_000,
  maxMicroEpsilon: null,
  maxDelta: 0,
};

function candidate(
  rows: readonly (readonly Cell[])[],
  more: Partial<TableCandidate> = {},
  hidden: Schema = UNITS,
): TableCandidate {
  const schema = [...OUTPUTS.map(({ name, type, nullable }) => ({ name, type, nullable })), ...hidden];
  return {
    kind: 'table',
    basis: { kind: 'certified' },
    schema,
    certificates: [ROW_UNITS],
    batches: [batchFromRows(schema, rows)],
    isOrdered: true,
    ...more,
  };
}

function released(given: Candidate, terms: ReleaseTerms = TERMS): Cell[][] {
  const answer = passGate(given, terms);
  assert.equal(answer.kind, 'released', JSON.stringify(answer));
  assert.ok(answer.kind === 'released' && answer.content === 'table');
  return answer.batches.flatMap((batch) => rowsOf(answer.schema, batch));
}

function refusal(given: Candidate, terms: ReleaseTerms = TERMS): string {
  const answer = passGate(given, terms);
  assert.equal(answer.kind, 'denied');
  return answer.kind === 'denied' ? (answer.reasons[0]?.code ?? '') : '';
}

const LARGE: Cell[] = ['a', 100.5, 12n, 8.375, 10n];
const SMALL: Cell[] = ['b', 7, 9n, 0.75, 9n];

describe('the release gate', () => {
  it('lets certified rows out without their certificates', () => {
    assert.deepEqual(released(candidate([LARGE])), [['a', 100.5, 12n, 8.375]]);
  });

  it('a row over too few units is dropped, nulled or refuses the release, as the policy says', () => {
    const given = candidate([LARGE, SMALL]);
    assert.deepEqual(released(given), [['a', 100.5, 12n, 8.375]]);
    assert.deepEqual(released(given, { ...TERMS, smallGroups: 'remainder' }), [['a', 100.5, 12n, 8.375]]);
    assert.deepEqual(released(given, { ...TERMS, smallGroups: 'null' }).at(1), ['b', null, null, null]);
    assert.equal(refusal(given, { ...TERMS, smallGroups: 'refuse' }), 'release-too-few-units');
  });

  it('each privacy unit must reach the minimum on its own', () => {
    const hidden: Schema = [...UNITS, { name: 'u1', type: { kind: 'int64' }, nullable: false }];
    const certificates: Certificate[] = [ROW_UNITS, { kind: 'units', column: 'u1', unit: 'doctor', cells: null }];
    const terms = { ...TERMS, units: ['patient', 'doctor'] };
    const rows = [
      [...LARGE, 10n],
      [...LARGE, 9n],
    ];
    assert.equal(released(candidate(rows, { certificates }, hidden), terms).length, 1);
    assert.equal(refusal(candidate([LARGE]), terms), 'release-not-certified');
  });

  it('no more than the minimum is asked, no less is taken, for any count', () => {
    const counts = fc.array(fc.bigInt({ min: -5n, max: 30n }), { maxLength: 12 });
    fc.assert(
      fc.property(counts, fc.integer({ min: 1, max: 25 }), (units, minUnits) => {
        const rows = units.map((count, i): Cell[] => [`k${i}`, 1, 1n, 1, count]);
        const kept = released(candidate(rows), { ...TERMS, minUnits }).map((row) => row[0]);
        assert.deepEqual(
          kept,
          rows.filter((_, i) => (units[i] ?? 0n) >= BigInt(minUnits)).map((row) => row[0]),
        );
      }),
    );
  });

  it('units that a filter left out must be none or enough', () => {
    const hidden: Schema = [...UNITS, { name: 'x0', type: { kind: 'int64' }, nullable: false }];
    const certificates: Certificate[] = [
      ROW_UNITS,
      { kind: 'leftOut', column: 'x0', unit: 'patient', cells: ['cost'] },
    ];
    const rows = [0n, 3n, 10n].map((left) => [...LARGE, left]);
    assert.deepEqual(
      released(candidate(rows, { certificates }, hidden)).map((row) => row[1]),
      [100.5, null, 100.5],
    );
  });

  it('a suppressed cell takes the derived columns of its row along, because they can be solved for it', () => {
    const hidden: Schema = [...UNITS, { name: 's', type: { kind: 'bool' }, nullable: true }];
    const certificates: Certificate[] = [ROW_UNITS, { kind: 'suppressed', column: 's', cells: ['visits'] }];
    const rows = [
      [...LARGE, true],
      [...LARGE, null],
      [...LARGE, false],
    ];
    assert.deepEqual(released(candidate(rows, { certificates }, hidden)), [
      ['a', 100.5, null, null],
      ['a', 100.5, null, null],
      ['a', 100.5, 12n, 8.375],
    ]);
  });

  it('a dominated cell is withheld, and a cell without a dominance certificate denies where dominance is ruled', () => {
    const type: ColumnType = { kind: 'float64' };
    const hidden: Schema = [...UNITS, { name: 't', type, nullable: true }, { name: 's', type, nullable: true }];
    const certificates: Certificate[] = [ROW_UNITS, { kind: 'dominance', top: 't', total: 's', cells: null }];
    const terms = { ...TERMS, dominance: { n: 1, share: 0.5 } };
    const rows = [
      [...LARGE, 49, 100],
      [...LARGE, 51, 100],
      [...LARGE, null, 100],
      [...LARGE, Number.NaN, 100],
    ];
    assert.equal(released(candidate(rows, { certificates }, hidden), terms).length, 1);
    assert.equal(refusal(candidate([LARGE]), terms), 'release-not-certified');
  });

  it('columns that were not decided, renamed, retyped, added or missing deny the release', () => {
    const other = (columns: readonly OutputColumn[]): ReleaseTerms => ({ ...TERMS, outputs: columns });
    const given = candidate([LARGE]);
    assert.equal(refusal(given, other(OUTPUTS.slice(1))), 'release-odd-columns');
    assert.equal(refusal(given, other(OUTPUTS.slice(0, 3))), 'release-odd-certificates');
    assert.equal(refusal(given, other([])), 'release-odd-columns');
    const retyped = OUTPUTS.map((column) =>
      column.name === 'visits' ? output('visits', { kind: 'int32' }, 'cell') : column,
    );
    assert.equal(refusal(given, other(retyped)), 'release-odd-columns');
    assert.equal(refusal({ ...given, certificates: [] }), 'release-odd-certificates');
  });

  it('a missing, unknown or wrongly typed certificate denies the release', () => {
    const given = candidate([LARGE]);
    const odd = (certificate: unknown): string => refusal({ ...given, certificates: [certificate as Certificate] });
    assert.equal(odd({ ...ROW_UNITS, column: 'nowhere' }), 'release-odd-certificates');
    assert.equal(odd({ ...ROW_UNITS, kind: 'trustMe' }), 'release-odd-certificates');
    assert.equal(odd({ ...ROW_UNITS, unit: 'somebody else' }), 'release-not-certified');
    assert.equal(odd({ ...ROW_UNITS, cells: ['cost'] }), 'release-not-certified');
    assert.equal(odd({ ...ROW_UNITS, cells: ['nowhere'] }), 'release-odd-certificates');
    assert.equal(odd({ kind: 'suppressed', column: 'u0', cells: null }), 'release-odd-certificates');
  });

  it('a basis that the mode does not demand denies the release, in every mode', () => {
    const bases: TableCandidate['basis'][] = [
      { kind: 'certifiedWhole', units: [{ unit: 'patient', atLeast: 100 }] },
      { kind: 'noised', microEpsilon: 1, delta: 0 },
      { kind: 'postProcessed' },
      { kind: 'public' },
      { kind: 'trusted' } as unknown as TableCandidate['basis'],
    ];
    for (const basis of bases)
      assert.equal(refusal(candidate([LARGE], { basis })), 'release-not-certified', basis.kind);
    const unknownMode = { ...TERMS, mode: 'raw' as ReleaseTerms['mode'] };
    assert.equal(refusal(candidate([LARGE]), unknownMode), 'release-not-certified');
    assert.equal(refusal(candidate([LARGE]), { ...TERMS, minUnits: null }), 'release-not-certified');
    assert.equal(refusal(candidate([LARGE]), { ...TERMS, minUnits: 0 }), 'release-terms-unsound');
    assert.equal(refusal(candidate([LARGE]), { ...TERMS, maxRows: Number.NaN }), 'release-terms-unsound');
  });

  it('noised results leave only with a stated loss within the terms', () => {
    const schema = OUTPUTS.map(({ name, type, nullable }) => ({ name, type, nullable }));
    const terms: ReleaseTerms = {
      ...TERMS,
      mode: 'differentialPrivacy',
      minUnits: null,
      maxMicroEpsilon: 500_000,
      maxDelta: 1e-6,
    };
    const noised = (microEpsilon: number, delta: number): TableCandidate => ({
      ...candidate([]),
      schema,
      certificates: [],
      basis: { kind: 'noised', microEpsilon, delta },
      batches: [batchFromRows(schema, [LARGE.slice(0, 4)])],
    });
    assert.equal(released(noised(500_000, 1e-6), terms).length, 1);
    assert.equal(refusal(noised(500_001, 1e-6), terms), 'release-over-budget');
    assert.equal(refusal(noised(1, 1e-5), terms), 'release-over-budget');
    assert.equal(refusal(noised(0, 0), terms), 'release-not-noised');
    assert.equal(refusal(noised(0.5, 0), terms), 'release-not-noised');
    assert.equal(refusal(noised(1, Number.NaN), terms), 'release-not-noised');
  });

  it('opaque bytes leave only as an allowed media type, within the size, over enough units, and as a copy', () => {
    const terms: ReleaseTerms = {
      ...TERMS,
      mode: 'homomorphic',
      outputs: [],
      mediaTypes: ['application/seal'],
      maxBytes: 4,
    };
    const bytes = Uint8Array.of(1, 2, 3);
    const opaque = (atLeast: number, more: Partial<Extract<Candidate, { kind: 'opaque' }>> = {}): Candidate => ({
      kind: 'opaque',
      basis: { kind: 'certifiedWhole', units: [{ unit: 'patient', atLeast }] },
      mediaType: 'application/seal',
      bytes,
      ...more,
    });
    const answer = passGate(opaque(10), terms);
    assert.ok(answer.kind === 'released' && answer.content === 'opaque');
    bytes.fill(9);
    assert.deepEqual([...answer.payload], [1, 2, 3]);
    assert.equal(refusal(opaque(9), terms), 'release-too-few-units');
    assert.equal(refusal(opaque(10, { mediaType: 'text/html' }), terms), 'release-media-type');
    assert.equal(refusal(opaque(10, { bytes: new Uint8Array(5) }), terms), 'release-too-large');
    assert.equal(refusal(opaque(10, { basis: { kind: 'certifiedWhole', units: [] } }), terms), 'release-too-few-units');
  });

  it('a result on public tables needs no certificate, unless a private table was touched', () => {
    const schema = OUTPUTS.map(({ name, type, nullable }) => ({ name, type, nullable }));
    const given: TableCandidate = {
      ...candidate([]),
      schema,
      certificates: [],
      basis: { kind: 'public' },
      batches: [batchFromRows(schema, [LARGE.slice(0, 4)])],
    };
    assert.equal(released(given, { ...TERMS, units: [] }).length, 1);
    assert.equal(refusal(given), 'release-not-certified');
  });

  it('more rows or bytes than allowed deny the release', () => {
    assert.equal(refusal(candidate([LARGE, LARGE]), { ...TERMS, maxRows: 1 }), 'release-too-many-rows');
    assert.equal(refusal(candidate([LARGE, LARGE]), { ...TERMS, maxBytes: 20 }), 'release-too-large');
  });

  it('the summary does not tell zero withheld cells from a few, nor which rule withheld them', () => {
    const summaryOf = (rows: Cell[][]): unknown => {
      const answer = passGate(candidate(rows), TERMS);
      return answer.kind === 'released' ? answer.withheld : answer;
    };
    assert.deepEqual(summaryOf([LARGE]), summaryOf([LARGE, SMALL, SMALL, SMALL]));
    const many = Array.from({ length: 9 }, () => SMALL);
    assert.deepEqual(summaryOf(many), { codes: ['too-few-units', 'not-finite'], cells: 20, step: 10 });
  });

  it('without an asked order, rows leave in an order that their values alone decide', () => {
    const rows = [
      ['b', 1, 1n, 1, 10n],
      ['a', 2, 1n, 1, 10n],
      [null, 2, 1n, 1, 10n],
      ['a', 1, 1n, 1, 10n],
    ];
    const given = candidate(rows, { isOrdered: false });
    assert.deepEqual(
      released(given).map((row) => row.slice(0, 2)),
      [
        ['a', 1],
        ['a', 2],
        ['b', 1],
        [null, 2],
      ],
    );
    const turned = candidate(rows.toReversed(), { isOrdered: false });
    assert.deepEqual(released(turned), released(given));
  });

  it('no released buffer is a buffer of the candidate', () => {
    const given = candidate([LARGE]);
    const answer = passGate(given, TERMS);
    assert.ok(answer.kind === 'released' && answer.content === 'table');
    const own = new Set(given.batches.flatMap((batch) => batch.columns.map((data) => data.values.buffer)));
    for (const batch of answer.batches) for (const data of batch.columns) assert.ok(!own.has(data.values.buffer));
  });

  it('terms follow the policy rule of each mode', () => {
    const scope = { clause: 'c', units: ['u'], outputs: OUTPUTS, mediaTypes: [], isDominanceApplied: false };
    const aggregate = {
      mode: 'aggregate',
      minUnits: 10,
      smallGroups: 'null',
      dominance: { n: 1, share: 0.5 },
      maxRows: 5,
      maxBytes: 6,
      differencingGuard: true,
    } as const;
    assert.deepEqual(termsOf(aggregate, scope).dominance, { n: 1, share: 0.5 });
    assert.equal(termsOf(aggregate, { ...scope, isDominanceApplied: true }).dominance, null);
    const approved = { mode: 'approvedCode', minUnits: 7, maxRows: 5, maxBytes: 6, limits: NO_CODE_LIMITS } as const;
    assert.equal(termsOf(approved, scope).minUnits, 7);
    assert.equal(termsOf(approved, scope).maxMicroEpsilon, null);
  });
});
