/** Analysis rules of BigQuery: `CREATE VIEW … OPTIONS (privacy_policy = '…')` or `ALTER VIEW … SET OPTIONS (…)`. */
import { DdlReader, statementsOf } from './ddl.ts';
import {
  columnsDocument,
  type Imported,
  type ImportedGrant,
  importing,
  type ImportOptions,
  type Loss,
  needDataset,
  refuseImport,
  unitDocument,
} from './imported.ts';

export function importBigQuery(source: string, options: ImportOptions = {}): Imported {
  return importing(source, (losses) => {
    const views = statementsOf(source).map((tokens) => readView(new DdlReader(tokens), losses));
    const [view, ...others] = views;
    if (view === undefined) return refuseImport('there is no statement in the source');
    if (others.length > 0) return refuseImport('the source has several statements: import one view at a time');
    return documentOf(view, losses, options);
  });
}

interface View {
  readonly name: string;
  readonly policy: unknown;
  /** Null when the text does not list them. */
  readonly columns: readonly string[] | null;
}

function readView(reader: DdlReader, losses: Loss[]): View {
  const isCreated = reader.take('create');
  if (isCreated) reader.take('or', 'replace');
  else reader.demand('alter');
  reader.demand('view');
  if (isCreated) reader.take('if', 'not', 'exists');
  else reader.take('if', 'exists');
  const name = reader.path().at(-1) ?? '';
  let listed: readonly string[] | null = null;
  if (reader.peek()?.text === '(') listed = reader.names();
  if (!isCreated) reader.demand('set');
  reader.demand('options');
  const policy = readOptions(reader, losses);
  if (!isCreated) return { name, policy, columns: listed };
  reader.demand('as');
  const columns = listed ?? readColumns(reader);
  if (reader.rest().some(({ kind, text }) => kind === 'word' && (text === 'where' || text === 'join')))
    losses.push({
      at: `line ${reader.line}`,
      said: 'the view chooses or joins rows',
      becomes: 'register what the view shows as the dataset, or say `rows:` in the policy',
    });
  return { name, policy, columns };
}

function readOptions(reader: DdlReader, losses: Loss[]): unknown {
  let policy: unknown;
  reader.demand('(');
  while (!reader.take(')')) {
    const key = reader.name().toLowerCase();
    reader.demand('=');
    const { line } = reader;
    const value = reader.next();
    if (key === 'privacy_policy') {
      if (value?.kind !== 'text' && value?.kind !== 'name')
        return refuseImport(`line ${line}: privacy_policy is not a text`);
      try {
        policy = JSON.parse(value.kind === 'name' ? value.text.replaceAll('\\"', '"') : value.text);
      } catch {
        return refuseImport(`line ${line}: privacy_policy is not JSON`);
      }
    } else {
      losses.push({ at: `line ${line}`, said: `the option ${key}`, becomes: 'left out' });
      // Types before a literal, and calls: TIMESTAMP "…", [("a", "b")].
      let depth = 0;
      for (let token = reader.peek(); token !== undefined; token = reader.peek()) {
        if (depth === 0 && (token.text === ',' || token.text === ')') && token.kind === 'mark') break;
        if (token.kind === 'mark' && '(['.includes(token.text)) depth++;
        if (token.kind === 'mark' && ')]'.includes(token.text)) depth--;
        reader.next();
      }
    }
    if (!reader.take(',') && reader.peek()?.text !== ')')
      return refuseImport(`line ${reader.line}: the options end unexpectedly`);
  }
  if (policy === undefined) return refuseImport('the statement has no privacy_policy');
  return policy;
}

/** `SELECT a, b AS c FROM`: plain names only; null for anything else. */
function readColumns(reader: DdlReader): readonly string[] | null {
  while (reader.take('('));
  if (!reader.take('select')) return null;
  const columns: string[] = [];
  do {
    if (reader.peek()?.kind !== 'word' && reader.peek()?.kind !== 'name') return null;
    const path = reader.path();
    const alias = reader.take('as') ? reader.name() : null;
    columns.push(alias ?? path.at(-1) ?? '');
  } while (reader.take(','));
  return reader.take('from') ? columns : null;
}

function documentOf(
  view: View,
  losses: Loss[],
  options: ImportOptions,
): { readonly dataset: string; readonly document: object } {
  const dataset = needDataset(options, view.name);
  const threshold = part(view.policy, 'aggregation_threshold_policy');
  const noise = part(view.policy, 'differential_privacy_policy');
  const joins = part(view.policy, 'join_restriction_policy');
  for (const key of Object.keys(view.policy as object))
    if (!['aggregation_threshold_policy', 'differential_privacy_policy', 'join_restriction_policy'].includes(key))
      refuseImport(`\`${key}\` is not known to this importer, and it may forbid something`);
  const rule = threshold ?? noise;
  if (rule === null || (threshold !== null && noise !== null))
    return refuseImport(
      joins === null || rule !== null
        ? 'the policy must have one of aggregation_threshold_policy and differential_privacy_policy'
        : 'a join restriction alone lets rows leave (list overlap), and no policy of ours does',
    );
  knownOnly(rule, threshold === null ? NOISE_KEYS : THRESHOLD_KEYS);
  const unit = unitOf(rule);
  const columns = options.columns ?? view.columns;
  if (columns === null)
    return refuseImport('the source does not list the columns of the view: say them with --columns A,B,C');

  const joinRule = joinsOf(joins, losses);
  const has = (list: readonly string[], name: string): boolean =>
    list.some((one) => one.toLowerCase() === name.toLowerCase());
  const grants = new Map<string, readonly ImportedGrant[]>();
  for (const name of columns) {
    const rights = new Set(
      has(unit, name) ? ['countDistinct'] : ['group', 'filter', 'order', 'countDistinct', 'aggregate'],
    );
    if (joinRule.columns === 'all' || has(joinRule.columns, name)) rights.add('join');
    grants.set(name, [{ rights, functions: has(unit, name) ? new Set() : new Set(['sum', 'avg', 'count']) }]);
  }
  losses.push({
    at: threshold === null ? 'differential_privacy_policy' : 'aggregation_threshold_policy',
    said: 'every column may be grouped, filtered and aggregated in any way',
    becomes:
      'rights are granted to group, filter, order, count and to take sums and averages; take away what is not meant',
  });
  return {
    dataset,
    document: {
      apiVersion: 'glovebox/v1',
      kind: 'UsagePolicy',
      metadata: { dataset, title: 'Imported from a BigQuery analysis rule' },
      privacyUnit: unitDocument(unit),
      joins: joinRule.mode,
      columns: columnsDocument(grants),
      allow: [threshold === null ? noiseRule(rule, losses) : thresholdRule(rule)],
    },
  };
}

const THRESHOLD_KEYS = ['threshold', 'privacy_unit_column', 'privacy_unit_columns'];
const NOISE_KEYS = [
  'privacy_unit_column',
  'privacy_unit_columns',
  'max_epsilon_per_query',
  'epsilon_budget',
  'delta_per_query',
  'delta_budget',
  'max_groups_contributed',
];

function thresholdRule(rule: object): object {
  const threshold = wholeIn(rule, 'threshold') ?? refuseImport('aggregation_threshold_policy has no threshold');
  return { id: 'threshold', mode: 'aggregate', release: { minUnits: threshold, smallGroups: 'drop' } };
}

function noiseRule(rule: object, losses: Loss[]): object {
  const number = (key: string): number => {
    const value = (rule as Record<string, unknown>)[key];
    return typeof value === 'number' && value > 0 ? value : refuseImport(`differential_privacy_policy has no ${key}`);
  };
  const [perJob, total] = [number('max_epsilon_per_query'), number('epsilon_budget')];
  const [delta, deltaTotal] = [number('delta_per_query'), number('delta_budget')];
  const groups = wholeIn(rule, 'max_groups_contributed');
  losses.push(
    {
      at: 'differential_privacy_policy.max_groups_contributed',
      said: groups === null ? 'no bound' : `a unit counts in at most ${groups} groups`,
      becomes: `at most ${groups ?? 1} rows of a unit count, over all groups: raise \`maxRowsPerUnit\` if units have more`,
    },
    {
      at: 'differential_privacy_policy',
      said: 'sums and averages are clipped by the query or by approximate bounds',
      becomes: 'each column that is summed must be given `bounds`',
    },
  );
  if (deltaTotal >= 1)
    losses.push({
      at: 'differential_privacy_policy.delta_budget',
      said: String(deltaTotal),
      becomes: 'left out: it limits nothing',
    });
  return {
    id: 'private',
    mode: 'differentialPrivacy',
    release: {
      epsilonPerJob: Math.min(perJob, total),
      epsilonTotal: total,
      // The view has one budget for everybody.
      epsilonDataset: total,
      delta,
      ...(deltaTotal < 1 ? { deltaTotal } : {}),
      maxRowsPerUnit: groups ?? 1,
    },
  };
}

function joinsOf(
  joins: object | null,
  losses: Loss[],
): { readonly mode: string; readonly columns: readonly string[] | 'all' } {
  if (joins === null) return { mode: 'allowed', columns: 'all' };
  knownOnly(joins, ['join_condition', 'join_allowed_columns']);
  const { join_condition: condition, join_allowed_columns: allowed } = joins as Record<string, unknown>;
  const columns =
    Array.isArray(allowed) && allowed.every((one) => typeof one === 'string') ? (allowed as readonly string[]) : [];
  switch (condition ?? 'JOIN_ANY') {
    case 'JOIN_BLOCKED':
      return { mode: 'forbidden', columns: [] };
    case 'JOIN_NOT_REQUIRED':
      return { mode: 'allowed', columns };
    case 'JOIN_ALL':
    case 'JOIN_ANY':
      losses.push({
        at: 'join_restriction_policy.join_condition',
        said: `a join on ${condition === 'JOIN_ALL' ? 'all' : 'one'} of ${columns.join(', ')}`,
        becomes: 'a join with a private table of another dataset, on any of them',
      });
      return { mode: 'required', columns };
    default:
      return refuseImport(`join_condition \`${String(condition).slice(0, 60)}\` is not known`);
  }
}

function part(policy: unknown, key: string): object | null {
  if (typeof policy !== 'object' || policy === null || Array.isArray(policy))
    return refuseImport('privacy_policy is not a JSON object');
  const found = Object.entries(policy).find(([name]) => name === key)?.[1] as unknown;
  if (found === undefined) return null;
  return typeof found === 'object' && found !== null && !Array.isArray(found)
    ? found
    : refuseImport(`\`${key}\` is not a JSON object`);
}

function knownOnly(of: object, known: readonly string[]): void {
  for (const key of Object.keys(of))
    if (!known.includes(key)) refuseImport(`\`${key}\` is not known to this importer, and it may forbid something`);
}

function unitOf(rule: object): readonly string[] {
  const { privacy_unit_column: one, privacy_unit_columns: several } = rule as Record<string, unknown>;
  const said = one ?? several;
  const names = typeof said === 'string' ? [said] : said;
  if (!Array.isArray(names) || names.length === 0 || !names.every((name) => typeof name === 'string'))
    return refuseImport('the policy names no privacy unit column');
  return names as readonly string[];
}

function wholeIn(of: object, key: string): number | null {
  const value = (of as Record<string, unknown>)[key];
  if (value === undefined) return null;
  const number = typeof value === 'string' && /^\d{1,9}$/.test(value) ? Number(value) : value;
  return typeof number === 'number' && Number.isSafeInteger(number) && number >= 1
    ? number
    : refuseImport(`\`${key}\` is not a whole number of at least 1`);
}
