import type { Duty } from '../../policy/model.ts';
import type { StoredRecord } from '../../store/records.ts';

/** pending: to be done. fulfilled: done, with evidence. overdue: its time is over, and the next use waits for it. */
export type DutyState = 'pending' | 'fulfilled' | 'overdue';
export type DutyBody = {
  /** Empty for a duty that comes before any job. */
  readonly job: string;
  readonly agreement: string;
  readonly do: Duty['do'];
  readonly to: string | null;
  readonly dueAtMs: number;
  readonly attempts: number;
  readonly nextAtMs: number;
};
export type DutyRecord = StoredRecord<DutyBody>;
