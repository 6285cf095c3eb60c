import { conditionsInWords, dutyInWords, ruleInWords } from './in-words.ts';
import type { AggregateFunction, ColumnGrant, ColumnRight, TablePolicy, UsagePolicy } from './model.ts';
import { grantsFor } from './rights.ts';

/** A policy as one party meets it, in sentences. */
export interface ExplainedPolicy {
  readonly dataset: string;
  readonly version: number;
  readonly summary: readonly string[];
  readonly columns: readonly ExplainedColumn[];
  readonly rules: readonly string[];
  readonly never: readonly string[];
  readonly duties: readonly string[];
  /** Questions that the policy lets be asked; they are made from its rights and were not run. */
  readonly examples: readonly string[];
}

export interface ExplainedColumn {
  /** Empty when the dataset has one table, without a name. */
  readonly table: string;
  readonly column: string;
  readonly may: readonly string[];
  readonly mayNot: readonly string[];
}

/** Whom a policy is explained to; null: everybody, with each grant's own condition said. */
export type Reader = { readonly party: string; readonly groups: readonly string[] } | null;

/** What a policy lets a reader ask and what not, column by column and rule by rule. */
export function explainPolicy(policy: UsagePolicy, reader: Reader): ExplainedPolicy {
  return {
    dataset: policy.dataset,
    version: policy.version,
    summary: [
      `policy of dataset ${policy.dataset}, version ${policy.version}, grade ${policy.grade}`,
      ...(reader === null ? [] : [`as ${reader.party} meets it`]),
      ...policy.tables.map(protection),
      'what is not listed here is denied',
    ],
    columns: policy.tables.flatMap((table) => columnsOf(table, reader)),
    rules: [
      ...conditionsInWords(policy.defaults).map((text) => `every job: ${text}`),
      ...policy.allow
        .filter(({ when }) => reader === null || when.consumers === null || isNamed(when.consumers, reader))
        .map(ruleInWords),
    ],
    never: [
      ...policy.deny.map(({ id, mode, when }) => {
        const conditions = conditionsInWords(when);
        return `${mode === 'any' ? 'any use' : mode} is denied${conditions.length === 0 ? '' : ` when ${conditions.join('; ')}`} (${id})`;
      }),
      ...policy.tables
        .filter(({ isPublic }) => !isPublic)
        .flatMap((table) => [
          `rows of ${tableWord(table)} never leave`,
          ...(table.consumerTables !== false
            ? []
            : [`tables that a consumer brings are not joined with ${tableWord(table)}`]),
          ...(table.joins === 'forbidden' ? [`${tableWord(table)} is not joined with private tables of others`] : []),
        ]),
      ...(policy.allow.length === 0 ? ['no rule allows anything'] : []),
    ],
    duties: policy.duties.map(dutyInWords),
    examples: policy.tables.flatMap((table) => exampleOf(policy, table, reader)).slice(0, MAX_EXAMPLES),
  };
}

/** Most questions that are shown. */
const MAX_EXAMPLES = 8;

const isNamed = (consumers: readonly string[], { party, groups }: NonNullable<Reader>): boolean =>
  consumers.some((one) => one === party || groups.some((group) => one === `group:${group}`));

const tableWord = ({ name }: TablePolicy): string => name ?? 'the table';

function protection(table: TablePolicy): string {
  if (table.isPublic) return `${tableWord(table)} is public: its named columns may be read`;
  const units = table.privacyUnits.map(({ columns, via }) => {
    const last = via.at(-1);
    return columns.length === 0
      ? 'each row'
      : `each ${columns.join(' + ')}${last === undefined ? '' : ` of ${last.table}`}`;
  });
  const rows = table.rows === null ? '' : `; only rows where ${table.rows} are there`;
  return `${tableWord(table)} protects ${units.join(' and ')}${rows}`;
}

/** In the order in which they are told. */
const RIGHTS: Readonly<Record<Exclude<ColumnRight, 'aggregate'>, string>> = {
  group: 'group by it',
  filter: 'filter by constants',
  compare: 'compare it with other columns',
  join: 'join on it',
  order: 'sort groups by it',
  countDistinct: 'count its distinct values',
  extremum: 'take its minimum and maximum, over enough units',
};

const FUNCTIONS: readonly AggregateFunction[] = [
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

function columnsOf(table: TablePolicy, reader: Reader): readonly ExplainedColumn[] {
  return table.columns.map((column): ExplainedColumn => {
    const name = { table: table.name ?? '', column: column.name };
    const grants = reader === null ? column.grants : grantsFor(column, reader.party, reader.groups);
    if (table.isPublic && grants.length > 0) return { ...name, may: ['use it in any way: it is public'], mayNot: [] };
    if (grants.length === 0) return { ...name, may: [], mayNot: ['use it at all'] };
    const rights = new Set(grants.flatMap((grant) => grant.rights));
    const functions = new Set(grants.flatMap((grant) => (grant.rights.includes('aggregate') ? grant.functions : [])));
    const others = FUNCTIONS.filter((one) => !functions.has(one));
    return {
      ...name,
      may: grants.flatMap((grant) => grantInWords(grant, reader)),
      mayNot: [
        'see its values row by row',
        ...Object.entries(RIGHTS).flatMap(([right, words]) => (rights.has(right as ColumnRight) ? [] : [words])),
        ...(functions.size === 0 ? ['aggregate it'] : others.length === 0 ? [] : [`compute its ${others.join(', ')}`]),
      ],
    };
  });
}

function grantInWords(grant: ColumnGrant, reader: Reader): readonly string[] {
  const who = grant.consumers === null || reader !== null ? '' : ` (${grant.consumers.join(', ')} only)`;
  const clipped = grant.bounds === null ? '' : `, clipped to ${grant.bounds.low}…${grant.bounds.high}`;
  const values =
    grant.values === null
      ? ''
      : grant.values === 'public'
        ? '; the set of its values is public'
        : `; its ${grant.values.length} values are public`;
  return [
    ...Object.entries(RIGHTS).flatMap(([right, words]) =>
      grant.rights.includes(right as ColumnRight) ? [`${words}${right === 'group' ? values : ''}${who}`] : [],
    ),
    ...(grant.rights.includes('aggregate') && grant.functions.length > 0
      ? [`compute its ${grant.functions.join(', ')}${clipped}${who}`]
      : []),
  ];
}

/** Made of rights: a key, a measure, a filterless question. Only for tables that a rule for SQL covers. */
function exampleOf(policy: UsagePolicy, table: TablePolicy, reader: Reader): readonly string[] {
  const hasSql = policy.allow.some(({ mode }) => mode === 'aggregate' || mode === 'differentialPrivacy');
  if (!hasSql || table.isPublic || table.joins === 'required') return [];
  const granted = table.columns.map(({ name, grants }) => ({
    name,
    grants: reader === null ? grants : grantsFor({ name, grants, grade: null }, reader.party, reader.groups),
  }));
  const key = granted.find(({ grants }) => grants.some(({ rights }) => rights.includes('group')));
  const measure = (['avg', 'sum', 'count'] as const).flatMap((one) => {
    const column = granted.find(({ grants }) =>
      grants.some(({ rights, functions }) => rights.includes('aggregate') && functions.includes(one)),
    );
    return column === undefined ? [] : [`${one}(${sqlName(column.name)})`];
  })[0];
  const from = sqlName(table.name ?? policy.dataset);
  const list = [
    ...(key === undefined ? [] : [sqlName(key.name)]),
    'count(*)',
    ...(measure === undefined ? [] : [measure]),
  ];
  return [`select ${list.join(', ')} from ${from}${key === undefined ? '' : ` group by ${sqlName(key.name)}`}`];
}

const sqlName = (name: string): string => (/^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`);
