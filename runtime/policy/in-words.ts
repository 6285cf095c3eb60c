import type {
  AllowRule,
  ColumnPolicy,
  Conditions,
  Duty,
  PolicyLiteral,
  PrivacyUnit,
  TablePolicy,
  UsagePolicy,
} from './model.ts';
import { periodInWords, releaseInWords } from './release-in-words.ts';

/**
 * A policy as sentences that a person can check against what was meant. Every term is in them: two policies that differ
 * in what they allow or ask for differ in their words.
 */
export function policyInWords(policy: UsagePolicy): readonly string[] {
  return [
    `policy of dataset ${policy.dataset}, version ${policy.version}, grade ${policy.grade}; what is not listed here is denied`,
    ...policy.tables.flatMap(tableInWords),
    ...conditionsInWords(policy.defaults).map((text) => `always: ${text}`),
    ...policy.allow.map(ruleInWords),
    ...policy.deny.map((rule) => `denied (${rule.id}): ${[rule.mode, ...conditionsInWords(rule.when)].join('; ')}`),
    ...policy.duties.map((duty) => `duty: ${dutyInWords(duty)}`),
    `on a violation: stop the ${policy.onViolation.stop}, alert ${policy.onViolation.alert}`,
  ];
}

function tableInWords(table: TablePolicy): readonly string[] {
  const name = table.name ?? 'the table';
  const prefix = table.name === null ? '' : `${table.name}.`;
  const joins = {
    allowed: [],
    required: ['is read only joined with private tables of other datasets'],
    onlyOnUnit: ['joins private tables of other datasets only on the privacy unit'],
    forbidden: ['joins no private table of another dataset'],
  }[table.joins];
  return [
    table.isPublic ? `${name} is public` : `${name} protects ${table.privacyUnits.map(unitInWords).join(' and ')}`,
    ...(table.rows === null ? [] : [`${name}: only rows where ${table.rows}`]),
    ...joins.map((text) => `${name} ${text}`),
    ...(table.consumerTables === false
      ? []
      : [
          `${name} may be joined with tables that a consumer brings, on columns that grant \`join\`: whoever brings one groups and filters by what such a column holds; \`aggregate\` rules allow it only if all of them compare answers (\`differencing: guard\`)`,
        ]),
    ...(table.consumerTables === 'onUnit' ? [`${name} may be joined so on its privacy unit too`] : []),
    ...table.columns.flatMap((column) => columnInWords(column).map((text) => `${prefix}${text}`)),
  ];
}

function unitInWords({ columns, via }: PrivacyUnit): string {
  const path = via.map(({ from, table, to }) => `${from} → ${table}.${to}`);
  return `${columns.length === 0 ? 'each row' : columns.join(' + ')}${path.length === 0 ? '' : ` by ${path.join(', ')}`}`;
}

function columnInWords({ name, grants, grade }: ColumnPolicy): readonly string[] {
  return grants.map(({ consumers, rights, functions, bounds, values, bins }) => {
    const parts = [
      `${rights.join(', ')}${rights.includes('aggregate') ? ` (${functions.join(', ')})` : ''}`,
      ...(bounds === null ? [] : [`clipped to ${bounds.low}…${bounds.high}`]),
      ...(values === null ? [] : [values === 'public' ? 'values are public' : `public values ${listed(values)}`]),
      ...(bins === null ? [] : [`bins at ${bins.join(', ')}`]),
      ...(grade === null ? [] : [`grade ${grade}`]),
    ];
    return `${name}: ${parts.join(', ')}${consumers === null ? '' : ` for ${consumers.join(', ')}`}`;
  });
}

const listed = (values: readonly PolicyLiteral[]): string =>
  values.map((value) => (value.kind === 'number' ? value.text : String(value.value))).join(', ');

/** A rule as one sentence. */
export function ruleInWords({ id, release, when }: AllowRule): string {
  return `allowed (${id}): ${[releaseInWords(release), ...conditionsInWords(when)].join('; ')}`;
}

/** A duty as a piece of a sentence. */
export function dutyInWords(duty: Duty): string {
  const when = {
    before: 'before use',
    release: 'on release',
    after: 'after release',
    denial: 'on denial',
  }[duty.on];
  const parts = [
    duty.do,
    ...(duty.what === null ? [] : [duty.what]),
    ...(duty.to === null ? [] : [`to ${duty.to}`]),
    ...(duty.unitPrice === null ? [] : [`${duty.unitPrice} ${duty.currency ?? ''}`.trimEnd()]),
    ...(duty.meter === null ? [] : [`a ${duty.meter}`]),
    when,
    ...(duty.withinMs === null ? [] : [`within ${periodInWords(duty.withinMs)}`]),
  ];
  return parts.join(' ');
}

/** Each condition as a piece of a sentence. */
export function conditionsInWords(when: Conditions): readonly string[] {
  const list = (words: string, values: readonly string[] | null): readonly string[] =>
    values === null ? [] : [`${words} ${values.join(', ')}`];
  const at = (words: string, ms: number | null): readonly string[] =>
    ms === null ? [] : [`${words} ${new Date(ms).toISOString()}`];
  const { count } = when;
  return [
    ...list('consumers', when.consumers),
    ...list('purposes', when.purposes),
    ...at('from', when.notBefore),
    ...at('before', when.notAfter),
    ...(when.elapsedMs === null ? [] : [`within ${periodInWords(when.elapsedMs)} after signing`]),
    ...(count === null
      ? []
      : [`at most ${count.max} uses${count.perMs === null ? '' : ` in ${periodInWords(count.perMs)}`}`]),
    ...(when.isolationAtLeast === null ? [] : [`isolation ${when.isolationAtLeast} or more`]),
    ...list('attested as', when.credentials),
    ...list('images', when.images),
    ...list('code digests', when.digests),
    ...(when.approvals === null ? [] : [`approved by ${when.approvals.quorum} of ${when.approvals.by.join(', ')}`]),
    ...list('recipients inside', when.recipientInside),
    ...list('recipients outside', when.recipientOutside),
    ...(when.condition === null ? [] : [`if ${when.condition}`]),
  ];
}
