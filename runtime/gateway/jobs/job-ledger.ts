import type { LedgerJob } from '../../job/needs.ts';
import type { AgreementForJob } from '../../job/admission.ts';
import type { AlertBook } from '../alerts/alerts.ts';
import type { DutyBook } from '../policies/duties.ts';
import type { StoreLedger } from './ended-jobs.ts';
import { gradingInForce } from '../policies/dataset-grade.ts';
import { listInForce } from '../policies/export-lists.ts';
import type { GatewayNeeds } from '../needs.ts';
import { questionRecords } from './repeats.ts';
import { settlementMarked } from '../accounts/settlement.ts';
import { sketchRecords } from './sketch-records.ts';

/** Duties of one policy are numbered below this, those of the next one above. */
const MAX_DUTIES = 1000;

/** What jobs record in the store, with the duties that a denial or a release brings, and the alerts that they raise. */
export function jobLedger(
  needs: GatewayNeeds & {
    readonly duties: DutyBook;
    readonly alerts: AlertBook;
    /** The agreements of a job that are active now. */
    readonly agreementsOf: (job: LedgerJob) => readonly AgreementForJob[];
  },
): StoreLedger {
  const { store, nowMs, duties, alerts, agreementsOf } = needs;
  return {
    reserve: async (input) => {
      const answer = await store.hold(input);
      // Nothing was written that would have to reach the disk.
      if (answer.kind === 'answered') return answer;
      if (answer.kind !== 'reserved') {
        await answer.durable;
        return answer;
      }
      const seen = { job: input.job, verdict: 'permit', codes: [], lines: input.lines } as const;
      const durable = answer.durable.then(() => alerts.saw(seen));
      durable.catch(() => undefined);
      return { ...answer, durable };
    },
    deny: async (input) => {
      const { job, reasons, state } = input;
      const owed = agreementsOf(job).flatMap(({ id, policy }, at) =>
        policy.duties.map((duty, index) => ({ agreement: id, index: at * MAX_DUTIES + index, duty })),
      );
      // A denial for a duty that is open must not add to what is open.
      const isOfDuty = reasons.some((code) => code.startsWith('duty-'));
      const records = state === undefined && !isOfDuty ? duties.recordsFor(job.id, owed, 'denial') : [];
      const answer = await store.recordDenial({ ...input, records });
      if (answer.kind !== 'denied' || state !== undefined) return answer;
      duties.took(records);
      await alerts.saw({ job, verdict: 'deny', codes: reasons, lines: [] });
      return answer;
    },
    release: async ({ duties: owed, sketches, question, judgedBy, restsOn, ...input }) => {
      const records = duties.recordsFor(input.jobId, owed);
      const expects = [
        ...(judgedBy === undefined ? [] : [listInForce(judgedBy)]),
        ...restsOn.flatMap(({ id, dataset, grading, settlement }) => [
          ...(grading === undefined ? [] : [gradingInForce(dataset, grading)]),
          ...(settlement === undefined ? [] : [settlementMarked(id, settlement)]),
        ]),
      ];
      const kept = [
        ...sketchRecords(input.jobId, sketches, nowMs()),
        ...questionRecords(input.jobId, question, nowMs()),
      ];
      const answer = await store.commitRelease({ ...input, records: [...records, ...kept], expects });
      if (answer.kind === 'released') duties.took(records);
      return answer;
    },
    fail: (input) => store.failJob(input),
  };
}
