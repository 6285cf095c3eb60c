import { kindOf } from '../ledger/budget.ts';
import type { Schema } from '../release/columns.ts';
import type { Admission } from './admission.ts';
import type { Disclosed } from './disclose.ts';
import type { Job } from './job.ts';
import type { EarlierAnswer, JobNeeds, Repeats } from './needs.ts';
import type { ColumnAccuracy, Prepared } from './prepare.ts';
import { rulesInForce } from './withheld-rules.ts';

/**
 * One digest for a question that is the same in every respect: who asks, under which agreements, rules and policy versions,
 * over which bytes, for what. null for computations that are not answered from the record.
 *
 * Answering again tells nothing new, so no privacy is lost. Under differential privacy it must be the same noise: a fresh
 * draw for free would let the noise be averaged away.
 */
export function questionOf(
  needs: Pick<JobNeeds, 'sha256'>,
  job: Job,
  admission: Admission,
  prepared: Prepared,
): string | null {
  if (job.computation.kind !== 'sql' || prepared.question === undefined) return null;
  const under = admission.permits
    .map(({ agreement, permit }) =>
      JSON.stringify([agreement.id, agreement.digest, agreement.policyDigest, permit.rule.id]),
    )
    .toSorted();
  const over = prepared.datasets.map(({ name, version, digest }) => JSON.stringify([name, version, digest])).toSorted();
  const groups = job.asker.groups.toSorted();
  const brought = (prepared.brought ?? []).toSorted();
  return needs.sha256(
    JSON.stringify([
      job.asker.party,
      groups,
      admission.mode,
      under,
      over,
      prepared.question,
      prepared.schema,
      ...(brought.length === 0 ? [] : [brought]),
    ]),
  );
}

/**
 * What runs instead: nothing, at no price and no loss of privacy. It is a use all the same: `count: { max: 5 }` lets five
 * results leave, the same or not.
 */
export function freeOf(prepared: Prepared, earlier: EarlierAnswer): Prepared {
  return {
    ...prepared,
    budget: prepared.budget.filter(({ budget }) => kindOf(budget) === 'count'),
    microEpsilon: 0,
    repeats: earlier.job,
    guarantee: `${earlier.note.guarantee.split(AGAIN)[0] ?? ''}${AGAIN} \`${earlier.job}\`, at no price and no further loss of privacy`,
  };
}
const AGAIN = '; this is the answer of job';

/** The earlier result as the result of this job: bytes that passed the gate, unchanged. */
export async function discloseAgain(
  repeats: Repeats,
  jobId: string,
  prepared: Prepared,
  earlier: EarlierAnswer,
): Promise<Disclosed> {
  const { note } = earlier;
  const { discard } = await repeats.copy(earlier, jobId);
  return {
    kind: 'disclosed',
    schema: JSON.parse(note.schema) as Schema,
    rows: note.rows,
    bytes: note.bytes,
    sha256: note.sha256,
    ...(note.framesSha256 === undefined ? {} : { framesSha256: note.framesSha256 }),
    withheld: {
      cells: note.withheldCells === null ? null : BigInt(note.withheldCells),
      reasons: rulesInForce(prepared.terms, prepared),
    },
    errors: note.errors.map(({ column, halfWidth, confidence, cells }) => ({
      column,
      halfWidth: Number(halfWidth),
      confidence: Number(confidence),
      ...(cells === undefined ? {} : { cells: JSON.parse(cells) as ColumnAccuracy['cells'] & {} }),
    })),
    usage: { rowsScanned: 0, cellsReleased: 0, bytesReleased: note.bytes, cpuMs: 0 },
    sketches: [],
    // The copy is durable already.
    settle: () => Promise.resolve(),
    discard,
  };
}
