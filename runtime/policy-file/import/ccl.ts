/** Column control lists of SCQL 1.x: `GRANT SELECT PLAINTEXT_AFTER_JOIN(id) ON db.t TO bob`. */
import { DdlReader, statementsOf } from './ddl.ts';
import {
  columnsDocument,
  type Imported,
  type ImportedGrant,
  importing,
  type ImportOptions,
  type Loss,
  needMinUnits,
  needUnit,
  refuseImport,
  unitDocument,
} from './imported.ts';

/** What each level lets a party do here, and what it let it do there that is lost. */
const LEVELS: Readonly<Record<string, { readonly rights: readonly string[]; readonly lost: string | null }>> = {
  plaintext: { rights: [], lost: 'values are shown row by row, which nothing here does: no right is granted' },
  plaintext_after_join: {
    rights: ['join'],
    lost: 'the matching keys may be shown; here they can be joined on and not shown',
  },
  plaintext_after_group_by: { rights: ['group'], lost: null },
  plaintext_after_compare: {
    rights: ['filter', 'compare'],
    lost: 'the outcome of a comparison may be shown for a row; here it only filters',
  },
  plaintext_after_aggregate: {
    rights: ['aggregate'],
    lost: 'min and max are aggregates there; here sum, avg and count are granted, and no extremum',
  },
  plaintext_as_join_payload: {
    rights: [],
    lost: 'the values of matching rows are shown, which nothing here does: no right is granted',
  },
  encrypted_only: { rights: [], lost: null },
};

export function importCcl(source: string, options: ImportOptions = {}): Imported {
  return importing(source, (losses) => {
    // One level for each column and party: a later grant takes the place of an earlier one.
    const levels = new Map<string, Map<string, Map<string, { level: string; line: number }>>>();
    for (const tokens of statementsOf(source)) {
      const { line, table, party, columns } = readGrant(new DdlReader(tokens));
      const ofTable = levels.get(table) ?? new Map<string, Map<string, { level: string; line: number }>>();
      levels.set(table, ofTable);
      for (const [said, level] of columns) {
        const column = [...ofTable.keys()].find((one) => one.toLowerCase() === said.toLowerCase()) ?? said;
        const ofColumn = ofTable.get(column) ?? new Map<string, { level: string; line: number }>();
        ofTable.set(column, ofColumn.set(party, { level, line }));
      }
    }
    const tables = [...levels.keys()];
    const wanted = options.dataset;
    const table = tables.length === 1 ? tables[0] : tables.find((one) => wanted === one || one.endsWith(`.${wanted}`));
    if (table === undefined)
      return refuseImport(
        tables.length === 0
          ? 'the source holds no GRANT'
          : `the source speaks of ${tables.join(', ')}: say which with --dataset NAME`,
      );
    const grants = new Map<string, ImportedGrant[]>();
    const consumers = new Set<string>();
    for (const [column, parties] of levels.get(table) ?? []) {
      for (const [party, { level, line }] of parties) {
        const meaning = LEVELS[level] ?? refuseImport(`line ${line}: the level \`${level}\` is not known`);
        if (meaning.lost !== null)
          losses.push({ at: `line ${line}`, said: `${level} of ${column} to ${party}`, becomes: meaning.lost });
        if (meaning.rights.length === 0) continue;
        consumers.add(party);
        const rights = new Set(meaning.rights);
        const functions = new Set(rights.has('aggregate') ? ['sum', 'avg', 'count'] : []);
        grants.set(column, [...(grants.get(column) ?? []), { consumers: [party], rights, functions }]);
      }
    }
    if (grants.size === 0)
      return refuseImport('no level in the source lets anything be computed without showing values');
    const dataset = wanted ?? table.split('.').at(-1) ?? table;
    notPerRow(losses);
    return {
      dataset,
      document: {
        apiVersion: 'glovebox/v1',
        kind: 'UsagePolicy',
        metadata: { dataset, title: 'Imported from an SCQL column control list' },
        privacyUnit: unitDocument(needUnit(options, 'a column control list names nobody whom it protects')),
        columns: columnsDocument(grants),
        defaults: { consumers: [...consumers].toSorted() },
        allow: [
          {
            id: 'ccl',
            mode: 'aggregate',
            release: {
              minUnits: needMinUnits(
                options,
                'a column control list has no threshold; the engine is configured with one',
              ),
              smallGroups: 'drop',
            },
          },
        ],
      },
    };
  });
}

function notPerRow(losses: Loss[]): void {
  losses.push({
    at: 'GROUP BY',
    said: 'the engine keeps groups of more rows than its threshold',
    becomes: 'every answer rests on enough privacy units, grouped or not',
  });
}

function readGrant(reader: DdlReader): {
  readonly line: number;
  readonly table: string;
  readonly party: string;
  readonly columns: readonly (readonly [column: string, level: string])[];
} {
  const { line } = reader;
  if (reader.peek()?.text === 'revoke')
    return refuseImport(`line ${line}: REVOKE takes rights away; give the grants that are left`);
  reader.demand('grant');
  reader.demand('select');
  const columns: (readonly [string, string])[] = [];
  do {
    const level = reader.name().toLowerCase();
    if (!Object.hasOwn(LEVELS, level)) return refuseImport(`line ${line}: the level \`${level}\` is not known`);
    if (reader.peek()?.text !== '(')
      return refuseImport(`line ${line}: the grant is for all columns of the table: name them, \`${level}(a, b)\``);
    for (const column of reader.names()) columns.push([column, level]);
  } while (reader.take(','));
  reader.demand('on');
  const table = reader.path().join('.').toLowerCase();
  reader.demand('to');
  const party = reader.name().toLowerCase();
  if (reader.take('@')) reader.next();
  if (!reader.isDone) return refuseImport(`line ${line}: the grant goes on after the party`);
  return { line, table, party, columns };
}
