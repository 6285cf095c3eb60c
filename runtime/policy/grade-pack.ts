import { isAtLeast } from './decide.ts';
import type { AllowRule, ColumnPolicy, ColumnRight, Conditions, Grade, Mode, UsagePolicy } from './model.ts';

/** From what may be known to anyone to what must never leave. */
export const GRADES: readonly Grade[] = ['public', 'internal', 'important', 'core'];

/** Whether data of grade `one` is to be treated at least as strictly as data of grade `other`. */
export const isGradeAtLeast = (one: Grade, other: Grade): boolean => GRADES.indexOf(one) >= GRADES.indexOf(other);

/** The stricter of grades; null when there is none. */
export const strictestGrade = (grades: readonly (Grade | null)[]): Grade | null =>
  GRADES.findLast((grade) => grades.includes(grade)) ?? null;

/** The least strict rules under which data of a grade may be offered at all; a policy may be stricter in every term. */
export interface RulePack {
  /** False: no rule is strict enough. */
  readonly mayBeOffered: boolean;
  /** Fewest privacy units behind a released cell, in every mode that has such a limit and adds no noise. */
  readonly minUnits: number;
  /**
   * Most privacy loss of one job, and of all jobs of a consumer where a rule says a total, in micro-epsilon; null: not
   * limited by the grade.
   */
  readonly microEpsilonPerJob: number | null;
  readonly microEpsilonTotal: number | null;
  /** Fewest people that approve code which is bound by nothing but its review. */
  readonly approvals: number;
  /** Whether code runs only where the jail is whole: `isolation: { atLeast: namespaced }` or more has to be said. */
  readonly codeNeedsJail: boolean;
}

/**
 * The default rules per data grade, after China's classes of general, important and core data (Data Security Law,
 * article 21; GB/T 43697-2024). The least numbers are those below which published systems do not go: 3 units
 * (DataSHIELD, Diffix), 5 for what harms many.
 */
export const RULE_PACKS: Readonly<Record<Grade, RulePack>> = {
  public: {
    mayBeOffered: true,
    minUnits: 1,
    microEpsilonPerJob: null,
    microEpsilonTotal: null,
    approvals: 0,
    codeNeedsJail: false,
  },
  internal: {
    mayBeOffered: true,
    minUnits: 3,
    microEpsilonPerJob: 10_000_000,
    microEpsilonTotal: null,
    approvals: 1,
    codeNeedsJail: false,
  },
  important: {
    mayBeOffered: true,
    minUnits: 5,
    microEpsilonPerJob: 5_000_000,
    microEpsilonTotal: 20_000_000,
    approvals: 2,
    codeNeedsJail: true,
  },
  core: {
    mayBeOffered: false,
    minUnits: 1,
    microEpsilonPerJob: null,
    microEpsilonTotal: null,
    approvals: 0,
    codeNeedsJail: true,
  },
};

/** What of a policy falls short of a grade: where in the document, and what would be enough. */
export interface GradeProblem {
  readonly path: readonly (string | number)[];
  readonly message: string;
}

/** What recognition proposed for one column, as the provider was told at registration. */
export type ProposedGrade = {
  readonly table: string;
  readonly column: string;
  readonly grade: Grade;
  /** Its provider has answered it with the grade of an earlier version, in which it was proposed as well. */
  readonly isAnswered?: boolean;
};

/** What is known of a dataset's grade. */
export interface DatasetGrade {
  /** What its provider said; null: nothing yet. */
  readonly grade: Grade | null;
  /** Whether the provider said so having been shown the proposals. */
  readonly isConfirmed: boolean;
  readonly proposed: readonly ProposedGrade[];
}

/**
 * Why a dataset cannot be used under a policy because of its grade; empty when it can. A dataset whose provider named a
 * grade needs rules at least as strict as the grade's pack, and a policy that says no lower grade. A grade that
 * recognition proposed for a column whose values a consumer could come near is met by the grade that the dataset, the
 * policy or the column states, or it waits for the provider's word.
 */
export function gradeProblems(policy: UsagePolicy, dataset: DatasetGrade): readonly GradeProblem[] {
  const { grade } = dataset;
  return [
    ...(grade !== null && !isGradeAtLeast(policy.grade, grade)
      ? [problem(['metadata', 'grade'], `the policy says grade \`${policy.grade}\`, its dataset is \`${grade}\``)]
      : []),
    ...(grade === null ? [] : packProblems(policy, grade)),
    ...unconfirmed(policy, dataset).map(({ table, column, grade: proposed }) =>
      problem(
        ['metadata', 'grade'],
        `\`${table}.${column}\` looks like data of grade \`${proposed}\`, and the policy says \`${policy.grade}\`: confirm the grade with \`dataset grade\`, or say \`grade\` at the column`,
      ),
    ),
  ];
}

/** Where a policy is less strict than the rule pack of a grade. */
export function packProblems(policy: UsagePolicy, grade: Grade): readonly GradeProblem[] {
  const pack = RULE_PACKS[grade];
  if (!pack.mayBeOffered)
    return [problem(['metadata', 'grade'], `data of grade \`${grade}\` is not offered to anybody, under no rules`)];
  return policy.allow.flatMap((rule, index) => {
    const at = (...path: string[]): readonly (string | number)[] => ['allow', index, ...path];
    const says = (path: readonly (string | number)[], term: string, least: string): GradeProblem =>
      problem(path, `rule \`${rule.id}\`: ${term}; data of grade \`${grade}\` needs ${least}`);
    return shortfalls(rule, policy.defaults, pack).map(({ path, term, least }) => says(at(...path), term, least));
  });
}

/** A rule pack as sentences, for people. */
export function packInWords(grade: Grade): readonly string[] {
  const pack = RULE_PACKS[grade];
  if (!pack.mayBeOffered) return ['not offered to anybody'];
  const { minUnits, microEpsilonPerJob, microEpsilonTotal, approvals, codeNeedsJail } = pack;
  const said = [
    ...(minUnits > 1 ? [`\`minUnits\` of at least ${minUnits}`] : []),
    ...(microEpsilonPerJob === null ? [] : [`\`epsilonPerJob\` of at most ${microEpsilonPerJob / 1e6}`]),
    ...(microEpsilonTotal === null ? [] : [`\`epsilonTotal\` of at most ${microEpsilonTotal / 1e6}`]),
    ...(approvals > 0 ? [`approved code: a \`quorum\` of at least ${approvals}`] : []),
    ...(codeNeedsJail ? ['code: `isolation: { atLeast: namespaced }`'] : []),
  ];
  return said.length === 0 ? ['nothing more than a policy'] : said;
}

interface Shortfall {
  readonly path: readonly string[];
  readonly term: string;
  readonly least: string;
}

function shortfalls({ when, release }: AllowRule, defaults: Conditions, pack: RulePack): readonly Shortfall[] {
  const found: Shortfall[] = [];
  if ('minUnits' in release && release.minUnits !== null && release.minUnits < pack.minUnits)
    found.push({
      path: ['release', 'minUnits'],
      term: `minUnits is ${release.minUnits}`,
      least: `at least ${pack.minUnits}`,
    });
  if ('microEpsilonPerJob' in release) {
    const { microEpsilonPerJob: perJob, microEpsilonTotal: total } = release;
    if (pack.microEpsilonPerJob !== null && perJob > pack.microEpsilonPerJob)
      found.push({
        path: ['release', 'epsilonPerJob'],
        term: `epsilonPerJob is ${perJob / 1e6}`,
        least: `at most ${pack.microEpsilonPerJob / 1e6}`,
      });
    if (pack.microEpsilonTotal !== null && total !== null && total > pack.microEpsilonTotal)
      found.push({
        path: ['release', 'epsilonTotal'],
        term: `epsilonTotal is ${total / 1e6}`,
        least: `at most ${pack.microEpsilonTotal / 1e6}`,
      });
  }
  const isCode = CODE_MODES.includes(release.mode);
  if (isCode && pack.codeNeedsJail && !isJailed(when, defaults))
    found.push({ path: ['when'], term: 'it names no isolation', least: '`isolation: { atLeast: namespaced }`' });
  const quorum = Math.max(when.approvals?.quorum ?? 0, defaults.approvals?.quorum ?? 0);
  if (release.mode === 'approvedCode' && quorum < pack.approvals)
    found.push({ path: ['when'], term: `its quorum is ${quorum}`, least: `one of at least ${pack.approvals}` });
  return found;
}

const CODE_MODES: readonly Mode[] = ['sandbox', 'approvedCode'];

const isJailed = (...conditions: readonly Conditions[]): boolean =>
  conditions.some(({ isolationAtLeast: least }) => least !== null && isAtLeast(least, 'namespaced'));

/** Rights that bring nobody near a value: keys are matched and counted. */
const BLIND: readonly ColumnRight[] = ['join', 'countDistinct'];

/** Proposals for columns in use that nobody has answered: neither the dataset, nor the policy, nor the column. */
function unconfirmed(policy: UsagePolicy, dataset: DatasetGrade): readonly ProposedGrade[] {
  if (dataset.isConfirmed) return [];
  return dataset.proposed.filter(({ table, column, grade, isAnswered }) => {
    if (isAnswered === true) return false;
    const found = policy.tables.find(({ name }) => name === table || (name === null && policy.tables.length === 1));
    const used = found?.columns.find(({ name }) => name === column);
    return used !== undefined && isLookedAt(used) && used.grade === null && !isGradeAtLeast(policy.grade, grade);
  });
}

const isLookedAt = ({ grants }: ColumnPolicy): boolean =>
  grants.some(({ rights }) => rights.some((right) => !BLIND.includes(right)));

const problem = (path: readonly (string | number)[], message: string): GradeProblem => ({ path, message });
