import type { CodeLimits, ColumnGrant, Conditions, TablePolicy, UsagePolicy } from './model.ts';
import { limitsInWords } from './release-in-words.ts';
import { widenings } from './refine.ts';

/** One term of a policy that differs from another's. */
export interface TermDifference {
  /** e.g. `tables.visits.columns.cost`, `allow.statistics.release.minUnits`. */
  readonly path: string;
  readonly change: 'stricter' | 'looser' | 'other';
  /** The terms as text; empty when there was, or is, none. */
  readonly before: string;
  readonly after: string;
}

/**
 * The terms in which `after` differs from `before`. Each is judged alone: the old policy with this one term replaced is
 * compared with the old policy as a counter-offer would be, so that stricter and looser mean what they mean there.
 */
export function termDifferences(before: UsagePolicy, after: UsagePolicy): readonly TermDifference[] {
  return [
    ...term(before, 'metadata.dataset', before.dataset, after.dataset, { ...before, dataset: after.dataset }),
    ...term(before, 'metadata.grade', before.grade, after.grade, { ...before, grade: after.grade }),
    ...tableDifferences(before, after),
    ...conditionDifferences(before, 'defaults', [before.defaults, after.defaults], (defaults) => ({
      ...before,
      defaults,
    })),
    ...allowDifferences(before, after),
    ...listDifferences(before, 'deny', [before.deny, after.deny], (deny) => ({ ...before, deny })),
    ...listDifferences(before, 'duties', [before.duties, after.duties], (duties) => ({ ...before, duties })),
    ...term(before, 'onViolation', before.onViolation, after.onViolation, {
      ...before,
      onViolation: after.onViolation,
    }),
  ];
}

/** No difference when both are the same; else the direction in which replacing it moves the old policy. */
function term(
  base: UsagePolicy,
  path: string,
  before: unknown,
  after: unknown,
  replaced: UsagePolicy,
): readonly TermDifference[] {
  if (JSON.stringify(before) === JSON.stringify(after)) return [];
  const isWider = widenings(base, replaced).length > 0;
  const isNarrower = widenings(replaced, base).length > 0;
  const change = isWider === isNarrower ? 'other' : isWider ? 'looser' : 'stricter';
  return [{ path, change, before: textOf(path, before), after: textOf(path, after) }];
}

function tableDifferences(before: UsagePolicy, after: UsagePolicy): readonly TermDifference[] {
  const names = [...new Set([...before.tables, ...after.tables].map(({ name }) => name))];
  return names.flatMap((name) => {
    const path = name === null ? '' : `tables.${name}`;
    const [old, now] = [before, after].map(({ tables }) => tables.find((one) => one.name === name));
    const others = before.tables.filter((one) => one.name !== name);
    if (old === undefined || now === undefined) {
      const tables = now === undefined ? others : [...others, now];
      return term(before, path === '' ? 'columns' : path, old?.columns, now?.columns, { ...before, tables });
    }
    const dotted = path === '' ? '' : `${path}.`;
    const replaced = (table: TablePolicy): UsagePolicy => ({
      ...before,
      tables: before.tables.map((one) => (one === old ? table : one)),
    });
    const own = (['isPublic', 'privacyUnits', 'rows', 'joins', 'consumerTables'] as const).flatMap((key) =>
      term(
        before,
        `${dotted}${key === 'isPublic' ? 'public' : key}`,
        old[key],
        now[key],
        replaced({ ...old, [key]: now[key] }),
      ),
    );
    const columns = [...new Set([...old.columns, ...now.columns].map((column) => column.name))].flatMap((column) => {
      const [was, is] = [old, now].map((one) => one.columns.find((each) => each.name === column));
      const rest = old.columns.filter((each) => each.name !== column);
      return term(before, `${dotted}columns.${column}`, was?.grants, is?.grants, {
        ...replaced({ ...old, columns: is === undefined ? rest : [...rest, is] }),
      });
    });
    return [...own, ...columns];
  });
}

function conditionDifferences(
  base: UsagePolicy,
  path: string,
  [before, after]: readonly [Conditions, Conditions],
  replaced: (conditions: Conditions) => UsagePolicy,
): readonly TermDifference[] {
  return (Object.keys(before) as (keyof Conditions)[]).flatMap((key) =>
    term(base, `${path}.${key}`, before[key], after[key], replaced({ ...before, [key]: after[key] })),
  );
}

function allowDifferences(before: UsagePolicy, after: UsagePolicy): readonly TermDifference[] {
  const ids = [...new Set([...before.allow, ...after.allow].map(({ id }) => id))];
  return ids.flatMap((id) => {
    const [was, is] = [before, after].map(({ allow }) => allow.find((rule) => rule.id === id));
    const rest = before.allow.filter((rule) => rule.id !== id);
    const path = `allow.${id}`;
    if (was === undefined || is === undefined || was.mode !== is.mode)
      return term(before, path, was?.release, is?.release, {
        ...before,
        allow: is === undefined ? rest : [...rest, is],
      });
    const replaced = (rule: typeof was): UsagePolicy => ({
      ...before,
      allow: before.allow.map((one) => (one === was ? rule : one)),
    });
    const keys = [...new Set([...Object.keys(was.release), ...Object.keys(is.release)])];
    return [
      ...conditionDifferences(before, `${path}.when`, [was.when, is.when], (when) => replaced({ ...was, when })),
      ...keys.flatMap((key) => {
        const [old, now] = [was.release, is.release].map((one) => (one as unknown as Record<string, unknown>)[key]);
        return term(
          before,
          `${path}.release.${documentTerm(key)}`,
          old,
          now,
          replaced({ ...was, release: { ...was.release, [key]: now } }),
        );
      }),
    ];
  });
}

/** Deny rules and duties: each that is gone allows more, each that is new allows less. */
function listDifferences<Item extends object>(
  base: UsagePolicy,
  path: string,
  [before, after]: readonly [readonly Item[], readonly Item[]],
  replaced: (list: readonly Item[]) => UsagePolicy,
): readonly TermDifference[] {
  const isIn = (list: readonly Item[], item: Item): boolean =>
    list.some((one) => JSON.stringify(one) === JSON.stringify(item));
  const name = (item: Item, index: number): string => `${path}.${'id' in item ? String(item.id) : String(index)}`;
  return [
    ...before.flatMap((item, index) =>
      isIn(after, item)
        ? []
        : term(base, name(item, index), item, undefined, replaced(before.filter((one) => one !== item))),
    ),
    ...after.flatMap((item, index) =>
      isIn(before, item) ? [] : term(base, name(item, index), undefined, item, replaced([...before, item])),
    ),
  ];
}

const DOCUMENT_TERMS: Readonly<Record<string, string>> = {
  microEpsilonPerJob: 'epsilonPerJob',
  microEpsilonTotal: 'epsilonTotal',
  microEpsilonDataset: 'epsilonDataset',
  budgetPeriodMs: 'per',
  differencingGuard: 'differencing',
  elapsedMs: 'elapsedTime',
};
const documentTerm = (key: string): string => DOCUMENT_TERMS[key] ?? key;

/** A term as a person reads it; numbers in the units of the document. */
function textOf(path: string, value: unknown): string {
  if (value === null || value === undefined) return '';
  if (typeof value === 'number') {
    if (/\.epsilon\w*$/.test(path)) return String(value / 1e6);
    if (/\.(notBefore|notAfter)$/.test(path)) return new Date(value).toISOString();
    if (/\.(per|elapsedTime)$/.test(path)) return `PT${Math.floor(value / 1000)}S`;
    return String(value);
  }
  if (path.endsWith('.differencing')) return value === true ? 'guard' : 'off';
  if (typeof value !== 'object') return typeof value === 'string' ? value : JSON.stringify(value);
  if (Array.isArray(value) && value.every((one) => typeof one !== 'object')) return value.join(', ');
  if (path.endsWith('.release.limits')) return limitsInWords(value as CodeLimits).join(', ');
  if (/columns\.[^.]+$/.test(path)) return (value as readonly ColumnGrant[]).map(grantText).join('; ');
  return JSON.stringify(value, (_, one: unknown) => (one === null ? undefined : one));
}

function grantText({ consumers, rights, functions, bounds, values, bins }: ColumnGrant): string {
  return [
    rights.join(', '),
    ...(functions.length === 0 ? [] : [`(${functions.join(', ')})`]),
    ...(bounds === null ? [] : [`bounds ${bounds.low}…${bounds.high}`]),
    ...(values === null ? [] : [values === 'public' ? 'values public' : `${values.length} values`]),
    ...(bins === null ? [] : [`${bins.length} bin edges`]),
    ...(consumers === null ? [] : [`for ${consumers.join(', ')}`]),
  ].join(' ');
}
