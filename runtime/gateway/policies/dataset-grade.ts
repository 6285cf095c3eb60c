import type { Registered } from '../../dataset/ingest.ts';
import {
  type DatasetGrade,
  type GradeProblem,
  gradeProblems,
  isGradeAtLeast,
  type ProposedGrade,
  strictestGrade,
} from '../../policy/grade-pack.ts';
import type { Grade, UsagePolicy } from '../../policy/model.ts';
import { type Reason, reason } from '../../policy/reason.ts';
import type { Expectation } from '../../store/jobs.ts';
import type { StoredRecord } from '../../store/records.ts';
import type { GatewayNeeds } from '../needs.ts';
import type { DatasetBody } from '../records.ts';

/** Most columns whose proposed grade is kept; a table with more personal columns is answered for as a whole. */
const MAX_PROPOSALS = 2000;

/** What is known of a dataset's grade, for the rules of `policy/grade-pack.ts`. */
export const datasetGradeOf = ({ grade, gradeConfirmed, proposedGrades }: DatasetBody): DatasetGrade => ({
  grade,
  isConfirmed: gradeConfirmed !== undefined,
  proposed: proposedGrades ?? [],
});

/** The grade that recognition proposes for a dataset as a whole. */
export const proposedGradeOf = ({ proposedGrades }: DatasetBody): Grade =>
  strictestGrade((proposedGrades ?? []).map(({ grade }) => grade)) ?? 'internal';

/**
 * What of a registration is about its grade. What the provider confirmed holds for the next version too, as long as
 * nothing stricter is found in it; what the provider names now is its word, and is confirmed when it is as strict as
 * what is proposed.
 */
export function gradeAtRegistration(
  findings: Registered['findings'],
  stated: Grade | null,
  before: DatasetBody | undefined,
): Pick<DatasetBody, 'grade' | 'proposedGrades' | 'gradeConfirmed'> {
  // Only what values speak for: a column called `name` may hold names of products.
  const proposedGrades = findings
    .flatMap(({ table, columns }) =>
      columns.flatMap(({ column, findings: found, suggestedGrade: grade }): readonly ProposedGrade[] =>
        found.some(({ finding, share }) => finding !== 'keyCandidate' && share !== null)
          ? [{ table, column, grade }]
          : [],
      ),
    )
    .slice(0, MAX_PROPOSALS);
  const grade = stated ?? before?.grade ?? null;
  const marked = proposedGrades.map((one) => (isAnswered(one, before) ? { ...one, isAnswered: true } : one));
  const isSame = before?.gradeConfirmed !== undefined && stated === null && marked.every((one) => 'isAnswered' in one);
  return {
    grade,
    proposedGrades: marked,
    ...(isSame && before.gradeConfirmed !== undefined ? { gradeConfirmed: before.gradeConfirmed } : {}),
  };
}

/** Whether a proposal is one that the provider was shown when it confirmed the grade. */
function isAnswered({ table, column, grade }: ProposedGrade, before: DatasetBody | undefined): boolean {
  const known = before?.proposedGrades?.find((one) => one.table === table && one.column === column);
  const wasAnswered = before?.gradeConfirmed !== undefined || known?.isAnswered === true;
  return known !== undefined && wasAnswered && isGradeAtLeast(known.grade, grade);
}

/** Why a dataset cannot be offered under a policy because of its grade, for its provider; empty when it can. */
export function gradeReasons(needs: Pick<GatewayNeeds, 'store'>, name: string, policy: UsagePolicy): readonly Reason[] {
  const dataset = needs.store.peek<DatasetBody>('dataset', name);
  if (dataset === undefined) return [];
  return problemsOf(policy, dataset.body).map(({ path, message }) =>
    reason('grade-not-met', message, {
      clause: `${name} v${policy.version} ${path.join('.')}`,
      remedy: 'attach stricter rules, or confirm another grade: dataset grade',
    }),
  );
}

/** The same for a consumer, who is not told what recognition found in the values. */
export function heldByGrade(needs: Pick<GatewayNeeds, 'store'>, name: string, policy: UsagePolicy): readonly Reason[] {
  const dataset = needs.store.peek<DatasetBody>('dataset', name);
  return dataset === undefined || problemsOf(policy, dataset.body).length === 0 ? [] : [GRADE_NOT_MET(name)];
}

/** Judged once per policy version and word about the dataset, not once per decision: both are replaced, never changed. */
const judged = new WeakMap<UsagePolicy, WeakMap<DatasetBody, readonly GradeProblem[]>>();

function problemsOf(policy: UsagePolicy, dataset: DatasetBody): readonly GradeProblem[] {
  let ofPolicy = judged.get(policy);
  if (ofPolicy === undefined) judged.set(policy, (ofPolicy = new WeakMap()));
  let problems = ofPolicy.get(dataset);
  if (problems === undefined) ofPolicy.set(dataset, (problems = gradeProblems(policy, datasetGradeOf(dataset))));
  return problems;
}

const gradingId = (dataset: string): string => `grading/${dataset}`;

/**
 * What is known of a dataset's grade, as one state that a release can expect in its transaction. It is written together
 * with the dataset, whenever that is.
 */
export function gradingRecord(
  needs: Pick<GatewayNeeds, 'nowMs' | 'sha256'>,
  { id, owner, body }: StoredRecord<DatasetBody>,
): StoredRecord {
  const { grade, isConfirmed, proposed } = datasetGradeOf(body);
  const state = needs.sha256(JSON.stringify([grade, isConfirmed, proposed]));
  return { table: 'setting', id: gradingId(id), owner, state, atMs: needs.nowMs(), body: {} };
}

/** The grading by which a dataset is judged now; null: of an earlier version, nobody has spoken of it since. */
export const gradingOf = (needs: Pick<GatewayNeeds, 'store'>, dataset: string): string | null =>
  needs.store.peek('setting', gradingId(dataset))?.state ?? null;

export const gradingInForce = (dataset: string, grading: string | null): Expectation => ({
  table: 'setting',
  id: gradingId(dataset),
  state: grading,
});

export const GRADE_NOT_MET = (dataset: string): Reason =>
  reason('grade-not-met', `the rules are not strict enough for the grade of dataset \`${dataset}\``, {
    remedy: 'ask its provider for an agreement under stricter rules',
  });
