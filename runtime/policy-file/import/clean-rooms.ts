/**
 * Analysis rules of AWS Clean Rooms: the policy of `CreateConfiguredTableAnalysisRule` (`{ "v1": { … } }`), the answer of
 * `GetConfiguredTableAnalysisRule`, or a CloudFormation resource `AWS::CleanRooms::ConfiguredTable`.
 */
import {
  columnsDocument,
  type Imported,
  type ImportedGrant,
  importing,
  type ImportOptions,
  type Loss,
  needDataset,
  needMinUnits,
  needUnit,
  refuseImport,
  unitDocument,
} from './imported.ts';

/** Most names in one list of a rule; the service itself allows 225 columns. */
const MAX_NAMES = 1000;

export function importCleanRooms(source: string, options: ImportOptions = {}): Imported {
  return importing(source, (losses) => {
    let json: unknown;
    try {
      json = JSON.parse(source);
    } catch {
      return refuseImport('the source is not JSON');
    }
    const { rule, dataset } = ruleIn(json);
    const kinds = Object.keys(rule).map(lowerFirst);
    const [kind] = kinds;
    if (kind === undefined || kinds.length > 1)
      return refuseImport('a rule has exactly one of aggregation, list and custom');
    const body = field(rule, kind);
    if (kind === 'list') {
      lose(losses, 'list', 'rows of columns that join', 'cannot be said: rows never leave');
      return refuseImport('a list rule releases rows, and no policy of ours does');
    }
    if (kind === 'custom') return custom(body, losses);
    if (kind !== 'aggregation') return refuseImport(`the rule \`${kind}\` is not known`);
    return aggregation(body, losses, { ...options, dataset: needDataset(options, dataset) });
  });
}

function aggregation(
  body: unknown,
  losses: Loss[],
  options: ImportOptions & { readonly dataset: string },
): { readonly dataset: string; readonly document: object } {
  knownKeysOnly(body, 'aggregation', [
    'aggregateColumns',
    'joinColumns',
    'joinRequired',
    'allowedJoinOperators',
    'dimensionColumns',
    'scalarFunctions',
    'outputConstraints',
    'additionalAnalyses',
  ]);
  const columns = new Map<string, { rights: Set<string>; functions: Set<string> }>();
  const grant = (name: string, right: string): { rights: Set<string>; functions: Set<string> } => {
    const one = columns.get(name) ?? { rights: new Set<string>(), functions: new Set<string>() };
    one.rights.add(right);
    columns.set(name, one);
    return one;
  };
  for (const [index, entry] of listIn(body, 'aggregateColumns').entries()) {
    const at = `aggregation.aggregateColumns[${index}]`;
    const called = textIn(entry, 'function', at);
    for (const name of namesIn(entry, 'columnNames', at)) {
      if (called === 'COUNT_DISTINCT') grant(name, 'countDistinct');
      else if (called === 'SUM' || called === 'AVG' || called === 'COUNT')
        grant(name, 'aggregate').functions.add(called.toLowerCase());
      else lose(losses, at, `${called} of ${name}`, 'not granted: there is no such right');
    }
  }
  for (const name of namesIn(body, 'joinColumns', 'aggregation')) grant(name, 'join');
  for (const name of namesIn(body, 'dimensionColumns', 'aggregation'))
    for (const right of ['group', 'filter', 'order']) grant(name, right);

  const constraints = listIn(body, 'outputConstraints').map((entry, index) => {
    const at = `aggregation.outputConstraints[${index}]`;
    const type = textIn(entry, 'type', at);
    if (type !== 'COUNT_DISTINCT') refuseImport(`${at}: a constraint of type \`${type}\` is not known`);
    const minimum = field(entry, 'minimum');
    if (typeof minimum !== 'number' || !Number.isSafeInteger(minimum) || minimum < 1)
      return refuseImport(`${at}.minimum is not a whole number of at least 1`);
    return { name: textIn(entry, 'columnName', at), minimum };
  });
  const minUnits =
    constraints.length === 0
      ? needMinUnits(options, 'the rule has no output constraint, so nothing says how small a group may be')
      : Math.max(...constraints.map(({ minimum }) => minimum), options.minUnits ?? 1);
  if (constraints.some(({ minimum }) => minimum !== minUnits))
    lose(
      losses,
      'aggregation.outputConstraints',
      'a minimum for each column',
      `the largest, ${minUnits}, holds for all`,
    );
  const unit =
    constraints.length === 0
      ? needUnit(options, 'the rule has no output constraint')
      : [...new Set(constraints.map(({ name }) => name))];

  const required = field(body, 'joinRequired');
  if (required !== undefined && required !== null)
    lose(
      losses,
      'aggregation.joinRequired',
      `a join with a table of ${show(required)}`,
      'a join with a private table of any other dataset',
    );
  const operators = namesIn(body, 'allowedJoinOperators', 'aggregation');
  if (operators.includes('OR')) lose(losses, 'aggregation.allowedJoinOperators', 'joins with OR', 'refused as always');
  const functions = namesIn(body, 'scalarFunctions', 'aggregation');
  lose(
    losses,
    'aggregation.scalarFunctions',
    functions.length === 0 ? 'no scalar function' : functions.join(', '),
    'functions are not listed: every total function is allowed on keys and conditions',
  );
  additional(body, 'aggregation', losses);
  const grants = new Map<string, readonly ImportedGrant[]>([...columns].map(([name, one]) => [name, [one]]));
  const several = unit !== 'row' && constraints.length > 1;
  return {
    dataset: options.dataset,
    document: {
      apiVersion: 'glovebox/v1',
      kind: 'UsagePolicy',
      metadata: { dataset: options.dataset, title: 'Imported from an AWS Clean Rooms aggregation rule' },
      // Each constrained column must reach its minimum on its own.
      ...(several ? { privacyUnits: unit.map((name) => ({ columns: [name] })) } : { privacyUnit: unitDocument(unit) }),
      ...(required === undefined || required === null ? {} : { joins: 'required' }),
      columns: columnsDocument(grants),
      allow: [{ id: 'aggregation', mode: 'aggregate', release: { minUnits, smallGroups: 'drop' } }],
    },
  };
}

function custom(body: unknown, losses: Loss[]): never {
  for (const name of namesIn(body, 'allowedAnalyses', 'custom'))
    lose(
      losses,
      'custom.allowedAnalyses',
      name,
      name === 'ANY_QUERY' ? 'columns must be granted one by one' : 'a template is approved by the digest of its code',
    );
  for (const name of namesIn(body, 'allowedAnalysisProviders', 'custom'))
    lose(losses, 'custom.allowedAnalysisProviders', name, 'approvals name parties, not accounts');
  for (const name of namesIn(body, 'disallowedOutputColumns', 'custom'))
    lose(losses, 'custom.disallowedOutputColumns', name, 'a policy lists what is allowed');
  if (field(body, 'differentialPrivacy') !== undefined)
    lose(
      losses,
      'custom.differentialPrivacy',
      show(field(body, 'differentialPrivacy')),
      'its epsilon stands in the privacy budget template',
    );
  additional(body, 'custom', losses);
  knownKeysOnly(body, 'custom', [
    'allowedAnalyses',
    'allowedAnalysisProviders',
    'disallowedOutputColumns',
    'differentialPrivacy',
    'additionalAnalyses',
  ]);
  return refuseImport('a custom rule allows analyses and not columns: write which rights each column has');
}

function additional(body: unknown, at: string, losses: Loss[]): void {
  const said = field(body, 'additionalAnalyses');
  if (said !== undefined && said !== 'NOT_ALLOWED')
    lose(losses, `${at}.additionalAnalyses`, show(said), 'models trained on results are not allowed');
}

/** The rule inside whatever wraps it. */
function ruleIn(json: unknown): { readonly rule: object; readonly dataset: string | null } {
  const resource = field(json, 'properties') ?? json;
  const rules = field(resource, 'analysisRules');
  if (rules !== undefined) {
    const [first, ...others] = listIn(resource, 'analysisRules');
    if (others.length > 0) return refuseImport('a configured table has one analysis rule');
    return { ...ruleIn(first), dataset: nameOf(field(resource, 'name')) };
  }
  const policy = field(field(json, 'analysisRule') ?? json, 'policy') ?? field(json, 'analysisRulePolicy') ?? json;
  const rule = field(policy, 'v1');
  if (typeof rule !== 'object' || rule === null || Array.isArray(rule))
    return refuseImport('the source is no analysis rule: it has no `v1`');
  return { rule, dataset: null };
}

const nameOf = (value: unknown): string | null => (typeof value === 'string' ? value : null);
const lowerFirst = (text: string): string => text.slice(0, 1).toLowerCase() + text.slice(1);

/** A field by its name, `aggregation` or `Aggregation`. */
function field(of: unknown, name: string): unknown {
  if (typeof of !== 'object' || of === null || Array.isArray(of)) return undefined;
  return Object.entries(of).find(([key]) => lowerFirst(key) === name)?.[1];
}

function listIn(of: unknown, name: string): readonly unknown[] {
  const list = field(of, name);
  if (list === undefined || list === null) return [];
  if (!Array.isArray(list) || list.length > MAX_NAMES)
    return refuseImport(`\`${name}\` is not a list of at most ${MAX_NAMES}`);
  return list;
}

function namesIn(of: unknown, name: string, at: string): readonly string[] {
  return listIn(of, name).map((one) =>
    typeof one === 'string' ? one : refuseImport(`${at}.${name} holds something that is not a text`),
  );
}

function textIn(of: unknown, name: string, at: string): string {
  const value = field(of, name);
  return typeof value === 'string' ? value : refuseImport(`${at}.${name} is not a text`);
}

function knownKeysOnly(of: unknown, at: string, known: readonly string[]): void {
  if (typeof of !== 'object' || of === null) return;
  for (const key of Object.keys(of).map(lowerFirst))
    // A control that is not known might forbid something: leaving it out in silence would allow more.
    if (!known.includes(key))
      refuseImport(`\`${at}.${key}\` is not known to this importer, and it may forbid something`);
}

const show = (value: unknown): string => JSON.stringify(value).slice(0, 200);

function lose(losses: Loss[], at: string, said: string, becomes: string): void {
  losses.push({ at, said, becomes });
}
