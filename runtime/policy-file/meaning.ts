import { conditionProblem } from './condition.ts';
import type { GrantDocument, Path, PolicyDocument, TableDocument } from './document.ts';

interface Wrong {
  readonly path: Path;
  readonly message: string;
}

/** Checks what a shape cannot say: terms that contradict each other, or that would allow nothing or everything. */
export function checkMeaning(document: PolicyDocument): readonly Wrong[] {
  return [
    ...tables(document),
    ...rules(document),
    ...duties(document),
    ...conditionsMeaning(document.defaults, ['defaults']),
  ];
}

function tables(document: PolicyDocument): readonly Wrong[] {
  if (document.tables === undefined) return table(document, []);
  const flat = (
    ['columns', 'privacyUnit', 'privacyUnits', 'rows', 'joins', 'public', 'consumerTables'] as const
  ).filter((key) => document[key] !== undefined);
  return [
    ...flat.map((key) => ({ path: [key], message: 'a document with `tables` says this inside each table' })),
    ...(Object.keys(document.tables).length === 0
      ? [{ path: ['tables'], message: 'no table is named: nothing could be used' }]
      : []),
    ...Object.entries(document.tables).flatMap(([name, one]) => table(one, ['tables', name])),
  ];
}

function table(one: TableDocument, path: Path): readonly Wrong[] {
  const wrong: Wrong[] = [];
  const hasUnit = one.privacyUnit !== undefined || one.privacyUnits !== undefined;
  if (one.privacyUnit !== undefined && one.privacyUnits !== undefined) {
    wrong.push({ path: [...path, 'privacyUnits'], message: 'say either `privacyUnit` or `privacyUnits`' });
  }
  if (one.public === true && hasUnit)
    wrong.push({ path: [...path, 'public'], message: 'a public table protects nobody, so it has no privacy unit' });
  if (one.public !== true && !hasUnit) {
    wrong.push({
      path,
      message: 'no `privacyUnit`: name whom the table protects (key columns, or `row`), or say `public: true`',
    });
  }
  if (Object.keys(one.columns ?? {}).length === 0) {
    wrong.push({ path: [...path, 'columns'], message: 'no column is named: nothing could be used' });
  }
  const seen = new Map<string, string>();
  for (const [name, grants] of Object.entries(one.columns ?? {})) {
    const here = [...path, 'columns', name];
    const twin = seen.get(name.toLowerCase());
    if (twin !== undefined)
      wrong.push({ path: here, message: `the same column as \`${twin}\`: SQL names do not differ by case` });
    seen.set(name.toLowerCase(), name);
    if (name.startsWith('__gb_'))
      wrong.push({ path: here, message: 'names that begin with `__gb_` belong to the runtime' });
    if (Array.isArray(grants)) grants.forEach((grant, index) => wrong.push(...grantMeaning(grant, [...here, index])));
    else wrong.push(...grantMeaning(grants as GrantDocument, here));
  }
  return wrong;
}

/** Squares of values of this size, and sums of billions of them, are still numbers with all their digits. */
const LARGEST_BOUND = 1e100;
const SMALLEST_BOUND = 1e-100;

function isOfCountableSize([low, high]: readonly [number, number]): boolean {
  const size = Math.max(Math.abs(low), Math.abs(high));
  return size >= SMALLEST_BOUND && size <= LARGEST_BOUND;
}

function grantMeaning(grant: GrantDocument, path: Path): readonly Wrong[] {
  const wrong: Wrong[] = [];
  const aggregates = grant.rights.includes('aggregate');
  if (grant.functions !== undefined && !aggregates)
    wrong.push({ path: [...path, 'functions'], message: 'functions need the right `aggregate`' });
  if (grant.bounds !== undefined && !(grant.bounds[0] < grant.bounds[1]))
    wrong.push({ path: [...path, 'bounds'], message: 'the low bound must be below the high bound' });
  else if (grant.bounds !== undefined && !isOfCountableSize(grant.bounds))
    wrong.push({
      path: [...path, 'bounds'],
      message: `the larger of the bounds must lie between ${SMALLEST_BOUND} and ${LARGEST_BOUND} in size, for sums and squares to be numbers`,
    });
  if (
    grant.bins !== undefined &&
    grant.bins.some((edge, index) => index > 0 && edge <= (grant.bins?.[index - 1] ?? -Infinity))
  ) {
    wrong.push({ path: [...path, 'bins'], message: 'edges must ascend' });
  }
  if (new Set(grant.rights).size !== grant.rights.length)
    wrong.push({ path: [...path, 'rights'], message: 'a right is named twice' });
  return wrong;
}

function rules(document: PolicyDocument): readonly Wrong[] {
  const wrong: Wrong[] = [];
  const ids = new Set<string>();
  const named = [
    ...(document.allow ?? []).map((rule, index) => ({ rule, path: ['allow', index] as Path })),
    ...(document.deny ?? []).map((rule, index) => ({ rule, path: ['deny', index] as Path })),
  ];
  for (const { rule, path } of named) {
    if (ids.has(rule.id)) wrong.push({ path: [...path, 'id'], message: `the id \`${rule.id}\` is used twice` });
    ids.add(rule.id);
    wrong.push(...conditionsMeaning(rule.when, [...path, 'when']));
  }
  for (const [index, rule] of (document.allow ?? []).entries()) {
    const path: Path = ['allow', index];
    if (rule.mode === 'differentialPrivacy') {
      if (rule.release.epsilonPerJob > rule.release.epsilonTotal) {
        wrong.push({ path: [...path, 'release', 'epsilonPerJob'], message: 'more per job than in total' });
      }
      if (rule.release.noise === 'gaussian' && rule.release.delta === 0) {
        wrong.push({ path: [...path, 'release', 'delta'], message: 'gaussian noise needs a delta above 0' });
      }
    }
    if (rule.mode === 'differentialPrivacy' || rule.mode === 'sandbox') {
      const deltaTotal = rule.mode === 'sandbox' ? undefined : rule.release.deltaTotal;
      if (rule.release.accounting === 'zcdp' && (deltaTotal ?? rule.release.delta) === 0)
        wrong.push({ path: [...path, 'release', 'accounting'], message: 'zCDP needs a delta above 0' });
      const { epsilonPerJob, epsilonDataset } = rule.release;
      if (epsilonDataset !== undefined && epsilonPerJob > epsilonDataset) {
        wrong.push({ path: [...path, 'release', 'epsilonPerJob'], message: 'more per job than for the whole dataset' });
      }
      // A rule without the limit would let others spend what it was meant to hold.
      if (epsilonDataset === undefined && isDatasetLimited(document)) {
        wrong.push({
          path: [...path, 'release'],
          message: 'another rule limits `epsilonDataset`: say it in every rule that adds noise',
        });
      }
    }
    if (rule.mode === 'approvedCode' && rule.when?.digests === undefined && rule.when?.approvals === undefined) {
      wrong.push({ path: [...path, 'when'], message: 'approved code needs `digests` or `approvals`' });
    }
  }
  return wrong;
}

function isDatasetLimited({ allow }: PolicyDocument): boolean {
  return (allow ?? []).some(
    (rule) =>
      (rule.mode === 'differentialPrivacy' || rule.mode === 'sandbox') && rule.release.epsilonDataset !== undefined,
  );
}

function duties(document: PolicyDocument): readonly Wrong[] {
  return (document.duties ?? []).flatMap((duty, index): readonly Wrong[] => {
    const path = ['duties', index];
    if (duty.do === 'pay' && (duty.unitPrice === undefined || duty.currency === undefined)) {
      return [{ path, message: 'a payment needs `unitPrice` and `currency`' }];
    }
    if (duty.do === 'notify' && duty.to === undefined) return [{ path, message: 'say `to` whom the notice goes' }];
    return [];
  });
}

function conditionsMeaning(
  when:
    | {
        readonly notBefore?: string | undefined;
        readonly notAfter?: string | undefined;
        readonly condition?: string | undefined;
      }
    | undefined,
  path: Path,
): readonly Wrong[] {
  const wrong: Wrong[] = [];
  if (when?.condition !== undefined) {
    const problem = conditionProblem(when.condition);
    if (problem !== null) wrong.push({ path: [...path, 'condition'], message: problem });
  }
  if (
    when?.notBefore !== undefined &&
    when.notAfter !== undefined &&
    Date.parse(when.notBefore) >= Date.parse(when.notAfter)
  ) {
    wrong.push({ path: [...path, 'notAfter'], message: 'ends before it begins' });
  }
  return wrong;
}
