import type { CatalogServiceHandlers } from '../../gen/services.ts';
import { isGradeAtLeast } from '../../policy/grade-pack.ts';
import { Fault } from '../../rpc/fault.ts';
import type { StoredRecord } from '../../store/records.ts';
import { checkNote, requireRole } from '../access.ts';
import { pinnedPolicy } from '../agreement-record.ts';
import { gradeReasons, gradingRecord, proposedGradeOf } from '../policies/dataset-grade.ts';
import { type ManifestNeeds, messageOf } from './dataset-message.ts';
import { evidence, type GatewayNeeds } from '../needs.ts';
import { type AgreementBody, type DatasetBody, policyOf } from '../records.ts';

/** A person's word for a grade. It takes effect at once: what its rules are too weak for is stopped. */
export function gradeHandler(
  needs: ManifestNeeds,
  /** Datasets whose record is on its way into the store: another one would undo it. */
  recording: Set<string>,
): Pick<CatalogServiceHandlers, 'grade'> {
  return {
    grade: async (caller, request) => {
      requireRole(caller, 'grade datasets', 'provider');
      checkNote(request.note);
      const dataset = needs.store.peek<DatasetBody>('dataset', request.name);
      if (dataset === undefined || dataset.owner !== caller.party)
        throw new Fault('not-found', `no dataset \`${request.name}\` of yours`);
      const { grade } = request;
      if (grade === 'unspecified')
        throw new Fault('argument-not-valid', 'name a grade: public, internal, important or core');
      const proposed = proposedGradeOf(dataset.body);
      if (!isGradeAtLeast(grade, proposed) && request.note.trim() === '')
        throw new Fault(
          'argument-not-valid',
          `\`${grade}\` is below the proposed grade \`${proposed}\`: say why, in a note`,
        );
      const graded: StoredRecord<DatasetBody> = {
        ...dataset,
        body: {
          ...dataset.body,
          grade,
          gradeConfirmed: { by: caller.party, atMs: needs.nowMs(), note: request.note },
        },
      };
      const { version, digest } = dataset.body;
      if (recording.has(dataset.id)) throw changedMeanwhile(dataset.id);
      recording.add(dataset.id);
      const outcome = await needs.store
        .transact([
          { do: 'expect', table: 'dataset', id: dataset.id, state: dataset.state },
          { do: 'put', record: graded },
          { do: 'put', record: gradingRecord(needs, graded) },
          {
            do: 'record',
            event: evidence(
              needs,
              'dataset.graded',
              [{ name: `dataset/${dataset.id}@${version}`, sha256: digest.replace('sha256:', '') }],
              { by: needs.pseudonymOf(caller.party), grade, proposed, before: dataset.body.grade ?? 'none' },
            ),
          },
        ])
        .finally(() => recording.delete(dataset.id));
      if (outcome.kind === 'refused') throw changedMeanwhile(dataset.id);
      const blockedAgreements = blockedBy(needs, dataset.id);
      const stoppedJobs =
        blockedAgreements.length === 0
          ? 0
          : needs.live.stop((job) => job.agreements.some((id) => blockedAgreements.includes(id)));
      return { dataset: await messageOf(needs, caller, graded), blockedAgreements, stoppedJobs };
    },
  };
}

/** Active agreements whose pinned rules are too weak for the dataset's grade. */
function blockedBy(needs: Pick<GatewayNeeds, 'store'>, dataset: string): readonly string[] {
  return needs.store
    .peekAll<AgreementBody>('agreement')
    .filter(({ state, body }) => state === 'active' && body.dataset === dataset)
    .filter(({ body }) => {
      const policy = pinnedPolicy(needs, body);
      return policy !== undefined && gradeReasons(needs, dataset, policyOf(policy.body)).length > 0;
    })
    .map(({ id }) => id)
    .toSorted();
}

const changedMeanwhile = (name: string): Fault =>
  new Fault('conflict', `dataset \`${name}\` was changed meanwhile: look at it again`);
