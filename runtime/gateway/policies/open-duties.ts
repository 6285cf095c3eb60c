import type { DutyRecord } from './duty.ts';

/** Duties that are not done, by id and by agreement: what blocks an agreement is asked before every job. */
export class OpenDuties {
  readonly #all = new Map<string, DutyRecord>();
  readonly #byAgreement = new Map<string, Map<string, DutyRecord>>();
  readonly #notices = new Map<string, Set<string>>();

  get(id: string): DutyRecord | undefined {
    return this.#all.get(id);
  }

  set(record: DutyRecord): void {
    this.#all.set(record.id, record);
    const of = this.#byAgreement.get(record.owner) ?? new Map<string, DutyRecord>();
    of.set(record.id, record);
    this.#byAgreement.set(record.owner, of);
    if (record.body.do !== 'notify') return;
    const notices = this.#notices.get(record.owner) ?? new Set<string>();
    this.#notices.set(record.owner, notices.add(record.id));
  }

  delete({ id, owner }: DutyRecord): void {
    this.#all.delete(id);
    const of = this.#byAgreement.get(owner);
    of?.delete(id);
    if (of?.size === 0) this.#byAgreement.delete(owner);
    const notices = this.#notices.get(owner);
    notices?.delete(id);
    if (notices?.size === 0) this.#notices.delete(owner);
  }

  values(): readonly DutyRecord[] {
    return [...this.#all.values()];
  }

  of(agreement: string): readonly DutyRecord[] {
    return [...(this.#byAgreement.get(agreement)?.values() ?? [])];
  }

  /** How many notices of an agreement wait or were given up. */
  noticesOf(agreement: string): number {
    return this.#notices.get(agreement)?.size ?? 0;
  }
}
