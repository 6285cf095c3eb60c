import type { Repeats, ResultNote } from '../../job/needs.ts';
import type { StoredRecord } from '../../store/records.ts';
import type { Store } from '../../store/store.ts';
import type { Results } from '../results/results.ts';

type QuestionBody = { readonly job: string };

/** The question of a released answer as a record, to be written in the transaction of the release. */
export function questionRecords(jobId: string, question: string | null, nowMs: number): StoredRecord<QuestionBody>[] {
  if (question === null) return [];
  return [{ table: 'question', id: question, owner: '', state: 'answered', atMs: nowMs, body: { job: jobId } }];
}

/** Answers that were released and are still kept: for as long as results are, and no duty deleted them. */
export function repeatsIn(store: Pick<Store, 'get' | 'job'>, results: Results): Repeats {
  return {
    find: async (question, party) => {
      const found = await store.get<QuestionBody>('question', question);
      if (found === undefined) return null;
      const record = await store.job(found.body.job);
      if (record === undefined || record.owner !== party || record.state !== 'released') return null;
      const note = record.body.result as ResultNote | null;
      return note === null || !results.exists(record.id) ? null : { job: record.id, note };
    },
    copy: async ({ job, note }, jobId) => {
      await results.copy(job, jobId, note);
      return { discard: () => results.remove(jobId) };
    },
  };
}
