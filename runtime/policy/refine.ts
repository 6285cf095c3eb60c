import { isAtLeast } from './decide.ts';
import { meetRelease } from './meet.ts';
import type { AllowRule, ColumnGrant, Conditions, TablePolicy, UsagePolicy } from './model.ts';

/**
 * Whether `offer` allows nothing that `base` does not: every term narrower or equal. Decidable because each term is a
 * set, an interval or a number. Answers with the terms that widen, so that a person sees what was asked for; an empty
 * list means that the offer refines the base and may be accepted without one.
 */
export function widenings(base: UsagePolicy, offer: UsagePolicy): readonly string[] {
  const wider: string[] = [];
  if (offer.dataset !== base.dataset) wider.push('metadata.dataset');
  // A grade is its provider's word: another one changes what may leave (core never does) and what recognition asks.
  if (offer.grade !== base.grade) wider.push('metadata.grade');
  for (const table of offer.tables) {
    const before = base.tables.find((one) => one.name === table.name);
    if (before === undefined) wider.push(`tables.${table.name ?? ''}`);
    else wider.push(...tableWidenings(before, table));
  }
  wider.push(...conditionWidenings(base.defaults, offer.defaults, 'defaults'));
  for (const rule of offer.allow) {
    const before = base.allow.find((one) => one.id === rule.id);
    if (before === undefined) wider.push(`allow.${rule.id}`);
    else wider.push(...ruleWidenings(before, rule));
  }
  for (const rule of base.deny) {
    if (!offer.deny.some((one) => same(one, rule))) wider.push(`deny.${rule.id}`);
  }
  for (const [index, duty] of base.duties.entries()) {
    // A duty that stands twice is owed twice.
    const times = base.duties.slice(0, index + 1).filter((one) => same(one, duty)).length;
    if (offer.duties.filter((one) => same(one, duty)).length < times) wider.push(`duties.${index}`);
  }
  const { stop, alert } = base.onViolation;
  if (stop === 'agreement' && offer.onViolation.stop !== 'agreement') wider.push('onViolation.stop');
  if (ALERTS.indexOf(offer.onViolation.alert) < ALERTS.indexOf(alert)) wider.push('onViolation.alert');
  return wider;
}

const ALERTS: readonly UsagePolicy['onViolation']['alert'][] = ['low', 'medium', 'high'];

/**
 * Terms of `offer` that allow nothing more and yet choose what is looked at, by values of rows: which rows there are, at
 * what they are clipped, whose units are counted, whose share holds a group back. A consumer who chose them freely could
 * compare answers before and after a choice (all rows, then all but one), which no threshold on a single answer sees. The
 * provider has to agree to each.
 */
export function steerings(base: UsagePolicy, offer: UsagePolicy): readonly string[] {
  const tables = offer.tables.flatMap((table) => {
    const before = base.tables.find(({ name }) => name === table.name);
    if (before === undefined) return [];
    const path = `tables.${table.name ?? ''}`;
    const columns = table.columns.flatMap(({ name, grants }) => {
      const known = before.columns.find((one) => one.name === name)?.grants ?? [];
      const isClippedAsBefore = grants.every(({ bounds }) => known.some((one) => same(one.bounds, bounds)));
      return isClippedAsBefore ? [] : [`${path}.columns.${name}.bounds`];
    });
    return [
      ...(table.rows === before.rows ? [] : [`${path}.rows`]),
      ...(same(table.privacyUnits, before.privacyUnits) ? [] : [`${path}.privacyUnits`]),
      ...columns,
    ];
  });
  const rules = offer.allow.flatMap(({ id, release }) => {
    const before = base.allow.find((one) => one.id === id)?.release;
    const isChosen =
      before?.mode === 'aggregate' && release.mode === 'aggregate' && !same(before.dominance, release.dominance);
    return isChosen ? [`allow.${id}.release.dominance`] : [];
  });
  return [...tables, ...rules];
}

function tableWidenings(base: TablePolicy, offer: TablePolicy): readonly string[] {
  const path = `tables.${offer.name ?? ''}`;
  const wider: string[] = [];
  if (offer.isPublic && !base.isPublic) wider.push(`${path}.public`);
  if (!base.privacyUnits.every((unit) => offer.privacyUnits.some((one) => same(one, unit))))
    wider.push(`${path}.privacyUnits`);
  // Whether one SQL condition implies another is not decidable here: only the same text counts.
  if (base.rows !== null && offer.rows !== base.rows) wider.push(`${path}.rows`);
  if (offer.joins !== base.joins && offer.joins !== 'forbidden') wider.push(`${path}.joins`);
  if (
    offer.consumerTables !== false &&
    offer.consumerTables !== base.consumerTables &&
    base.consumerTables !== 'onUnit'
  )
    wider.push(`${path}.consumerTables`);
  for (const column of offer.columns) {
    const before = base.columns.find((one) => one.name === column.name);
    const covered = column.grants.every((grant) => before?.grants.some((one) => coversGrant(one, grant)) ?? false);
    if (!covered) wider.push(`${path}.columns.${column.name}`);
    else if (column.grade !== before?.grade) wider.push(`${path}.columns.${column.name}.grade`);
  }
  return wider;
}

function coversGrant(base: ColumnGrant, offer: ColumnGrant): boolean {
  return (
    includes(base.consumers, offer.consumers) &&
    offer.rights.every((right) => base.rights.includes(right)) &&
    offer.functions.every((one) => base.functions.includes(one)) &&
    (base.bounds === null ||
      (offer.bounds !== null && offer.bounds.low >= base.bounds.low && offer.bounds.high <= base.bounds.high)) &&
    (offer.values === null || same(offer.values, base.values)) &&
    same(offer.bins, base.bins)
  );
}

function ruleWidenings(base: AllowRule, offer: AllowRule): readonly string[] {
  const wider = [...conditionWidenings(base.when, offer.when, `allow.${offer.id}.when`)];
  const met = meetRelease(base.release, offer.release);
  if (met === null || !same(met, offer.release)) wider.push(`allow.${offer.id}.release`);
  return wider;
}

function conditionWidenings(base: Conditions, offer: Conditions, path: string): readonly string[] {
  const wider: string[] = [];
  const check = (holds: boolean, term: string): void => {
    if (!holds) wider.push(`${path}.${term}`);
  };
  check(includes(base.consumers, offer.consumers), 'consumers');
  check(includes(base.purposes, offer.purposes), 'purposes');
  check(includes(base.images, offer.images), 'images');
  check(includes(base.digests, offer.digests), 'digests');
  check(includes(base.recipientInside, offer.recipientInside), 'recipientInside');
  check(same(base.recipientOutside, offer.recipientOutside), 'recipientOutside');
  check(base.notBefore === null || (offer.notBefore !== null && offer.notBefore >= base.notBefore), 'notBefore');
  check(base.notAfter === null || (offer.notAfter !== null && offer.notAfter <= base.notAfter), 'notAfter');
  check(base.elapsedMs === null || (offer.elapsedMs !== null && offer.elapsedMs <= base.elapsedMs), 'elapsedTime');
  // All of them are needed: a longer list is the narrower one.
  check(
    (base.credentials ?? []).every((one) => offer.credentials?.includes(one) === true),
    'credentials',
  );
  check(isCountWithin(base.count, offer.count), 'count');
  check(
    base.isolationAtLeast === null ||
      (offer.isolationAtLeast !== null && isAtLeast(offer.isolationAtLeast, base.isolationAtLeast)),
    'isolation',
  );
  check(
    base.approvals === null ||
      (offer.approvals !== null &&
        offer.approvals.quorum >= base.approvals.quorum &&
        includes(base.approvals.by, offer.approvals.by)),
    'approvals',
  );
  check(base.condition === null || offer.condition === base.condition, 'condition');
  return wider;
}

/** A smaller or equal number of uses over the same period, or over a longer one. */
function isCountWithin(base: Conditions['count'], offer: Conditions['count']): boolean {
  if (base === null) return true;
  if (offer === null || offer.max > base.max) return false;
  return offer.perMs === null || (base.perMs !== null && offer.perMs >= base.perMs);
}

/** Whether the list `offer` lies within `base`; null is everything. */
function includes(base: readonly string[] | null, offer: readonly string[] | null): boolean {
  if (base === null) return true;
  return offer !== null && offer.every((one) => base.includes(one));
}

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);
