import type { EvidenceEvent } from '../../evidence/entry.ts';
import type { DutyOnRelease } from '../../job/needs.ts';
import type { Duty } from '../../policy/model.ts';
import { type Reason, reason } from '../../policy/reason.ts';
import type { Step } from '../../store/jobs.ts';
import type { Store } from '../../store/store.ts';
import type { Delivery } from '../alerts/deliver.ts';
import type { DutyBody, DutyRecord, DutyState } from './duty.ts';
import { OpenDuties } from './open-duties.ts';

/** When a duty is due whose policy sets no time, milliseconds. */
export const DEFAULT_DUTY_MS = 24 * 3_600_000;
/** Attempts to deliver one notice; the last fails into the dead letters: the duty is overdue and stays on record. */
export const MAX_ATTEMPTS = 8;
const FIRST_RETRY_MS = 1000;
/** A result is deleted this part of its time before the end, so that a slow disk breaks no promise. */
const DELETE_EARLY = 0.1;
/** Open notices of one agreement beyond which its denials make no more: they are what a webhook that is away leaves behind. */
export const MAX_OPEN_NOTICES = 256;
/** Overdue duties that one refusal names. */
const MAX_TOLD = 8;
/** Pending duties that one look works on. */
const MAX_AT_ONCE = 100;

export interface DutyNeeds {
  readonly store: Store;
  readonly nowMs: () => number;
  readonly sha256: (content: string) => string;
  readonly pseudonymOf: (party: string) => string;
  readonly removeResult: (jobId: string) => Promise<void>;
  /** Delivers a job's receipt to a webhook; rejects when it was not taken. */
  readonly deliver: (url: string, receipt: string, as: Delivery) => Promise<void>;
  readonly allowedWebhooks: readonly string[];
}

/**
 * What a release obliges to, until it is done. The record of a duty is written in the transaction of the release that
 * it comes from, so a crash forgets none; this book is a copy in memory of what is still open.
 */
export class DutyBook {
  readonly #needs: DutyNeeds;
  readonly #open = new OpenDuties();
  /** Ids of duties before use that were fulfilled. */
  readonly #before = new Set<string>();
  #isWorking = false;

  private constructor(needs: DutyNeeds) {
    this.#needs = needs;
  }

  static async open(needs: DutyNeeds): Promise<DutyBook> {
    const book = new DutyBook(needs);
    for (const state of ['pending', 'overdue'] as const)
      for await (const record of pages(needs.store, { state })) book.#open.set(record);
    for await (const record of pages(needs.store, { state: 'fulfilled' }))
      if (record.body.job === '') book.#before.add(record.id);
    return book;
  }

  /** The records that belong into the transaction of a release or a denial. */
  recordsFor(
    jobId: string,
    duties: readonly DutyOnRelease[],
    after: 'release' | 'denial' = 'release',
  ): readonly DutyRecord[] {
    const now = this.#needs.nowMs();
    return duties.flatMap(({ agreement, index, duty }): readonly DutyRecord[] => {
      // A denial costs nothing, so a consumer could have any number told: the log has each, and beyond this no more is sent.
      if (after === 'denial' && this.#open.noticesOf(agreement) >= MAX_OPEN_NOTICES) return [];
      // `log` is done by the release's own evidence, `pay` by its usage event.
      if (duty.do === 'log' || duty.do === 'pay' || duty.on === 'before') return [];
      // After a denial there is nothing to delete or attribute: somebody is told.
      if ((duty.on === 'denial') !== (after === 'denial') || (after === 'denial' && duty.do !== 'notify')) return [];
      const body: DutyBody = {
        job: jobId,
        agreement,
        do: duty.do,
        to: duty.to,
        dueAtMs: now + (duty.withinMs ?? DEFAULT_DUTY_MS),
        attempts: 0,
        nextAtMs:
          duty.do === 'delete' ? now + Math.floor((duty.withinMs ?? DEFAULT_DUTY_MS) * (1 - DELETE_EARLY)) : now,
      };
      return [{ table: 'duty', id: `${jobId}/${index}`, owner: agreement, state: 'pending', atMs: now, body }];
    });
  }

  /** The release is durable: its duties are open from now on. */
  took(records: readonly DutyRecord[]): void {
    for (const record of records) this.#open.set(record);
  }

  /** Why nothing may be used under an agreement now: what is overdue, and what has to be done before any use. */
  blocking(agreement: string, duties: readonly Duty[]): readonly Reason[] {
    const now = this.#needs.nowMs();
    const overdue = this.#open
      .of(agreement)
      .filter((one) => one.state === 'overdue' || now >= one.body.dueAtMs)
      .slice(0, MAX_TOLD);
    const missing = duties.flatMap((duty, index) => {
      const id = beforeId(agreement, index);
      return duty.on === 'before' && duty.do === 'attribute' && !this.#before.has(id) ? [{ id, duty }] : [];
    });
    return [
      ...overdue.map(({ id, body }) =>
        reason('duty-overdue', `duty \`${body.do}\` (${id}) of agreement \`${agreement}\` is overdue`, {
          remedy: `fulfil it: agreement fulfil ${agreement} ${id}`,
        }),
      ),
      ...missing.map(({ id, duty }) =>
        reason('duty-pending', `duty \`${duty.do}\` of agreement \`${agreement}\` comes before any use`, {
          remedy: `fulfil it: agreement fulfil ${agreement} ${id}`,
        }),
      ),
    ];
  }

  /** The duties of an agreement for people: open ones first, then the latest that were fulfilled. */
  async linesOf(agreement: string, duties: readonly Duty[]): Promise<readonly string[]> {
    const now = this.#needs.nowMs();
    const records = (await this.#needs.store.list('duty', { owner: agreement, limit: 50 })) as readonly DutyRecord[];
    const before = duties.flatMap((duty, index) => {
      const id = beforeId(agreement, index);
      return duty.on === 'before' && duty.do === 'attribute' && !this.#before.has(id)
        ? [`${id} ${duty.do}${duty.to === null ? '' : ` ${duty.to}`}: pending, before any use`]
        : [];
    });
    const open = this.#open.of(agreement).slice(0, 50);
    const done = records.filter(({ state }) => state === 'fulfilled');
    return [
      ...before,
      ...[...open, ...done].map(({ id, body, state }) => {
        const isOver = state === 'overdue' || (state === 'pending' && now >= body.dueAtMs);
        const due = state === 'fulfilled' ? '' : `, due ${new Date(body.dueAtMs).toISOString()}`;
        const tries = body.attempts === 0 ? '' : `, ${body.attempts} attempts`;
        return `${id} ${body.do}${body.to === null ? '' : ` ${body.to}`}: ${isOver ? 'OVERDUE' : state}${due}${tries}`;
      }),
    ];
  }

  /** What an open duty asks to be done; undefined when there is none. */
  askedBy(agreement: string, id: string): Duty['do'] | undefined {
    const open = this.#open.get(id);
    return open?.owner === agreement ? open.body.do : undefined;
  }

  /** Marks a duty as fulfilled by somebody's word, and deletes what it says; undefined when there is none that is open. */
  async fulfil(agreement: string, id: string, by: string, duties: readonly Duty[]): Promise<DutyRecord | undefined> {
    const open = this.#open.get(id);
    if (open?.owner === agreement) {
      // Nobody's word deletes anything: it is deleted, and that is the proof.
      if (open.body.do === 'delete') await this.#needs.removeResult(open.body.job);
      const proof = open.body.do === 'delete' ? 'removed' : 'confirmed';
      return this.#done(open, { by: this.#needs.pseudonymOf(by), proof });
    }
    const index = duties.findIndex((_, at) => beforeId(agreement, at) === id);
    const duty = duties[index];
    if (duty?.on !== 'before' || this.#before.has(id)) return undefined;
    const now = this.#needs.nowMs();
    const body = { job: '', agreement, do: duty.do, to: duty.to, dueAtMs: now, attempts: 0, nextAtMs: now };
    const record: DutyRecord = { table: 'duty', id, owner: agreement, state: 'pending', atMs: now, body };
    const done = await this.#done(record, { by: this.#needs.pseudonymOf(by), proof: 'confirmed' });
    this.#before.add(id);
    return done;
  }

  /** Does what is due: deletes, delivers, and records what was not done in time. Looks that overlap are left out. */
  async work(): Promise<void> {
    if (this.#isWorking) return;
    this.#isWorking = true;
    try {
      const now = this.#needs.nowMs();
      const due = this.#open.values().filter(({ state, body }) => state === 'pending' && now >= body.nextAtMs);
      // One that cannot be done (a folder that is in the way) must not keep the others, nor itself from being overdue.
      const tried = await Promise.allSettled(due.slice(0, MAX_AT_ONCE).map((record) => this.#attend(record)));
      for (const record of this.#open.values())
        if (record.state === 'pending' && now >= record.body.dueAtMs) await this.#fail(record);
      const failed = tried.find((one) => one.status === 'rejected');
      if (failed !== undefined) throw failed.reason;
    } finally {
      this.#isWorking = false;
    }
  }

  async #attend(record: DutyRecord): Promise<void> {
    const { job, to } = record.body;
    switch (record.body.do) {
      case 'delete':
        await this.#needs.removeResult(job);
        await this.#done(record, { proof: 'removed' });
        return;
      case 'notify': {
        if (to === null || !isWebhook(to)) {
          // A party without a webhook is told by the record itself, which it reads with the agreement.
          await this.#done(record, { proof: 'recorded' });
          return;
        }
        const evidence = (await this.#needs.store.job(job))?.body.evidence.at(-1);
        const receipt = evidence === undefined ? undefined : await this.#needs.store.receipt(evidence);
        try {
          if (receipt === undefined || !this.#needs.allowedWebhooks.includes(new URL(to).origin))
            throw new Error('the operator has not allowed this webhook');
          await this.#needs.deliver(to, receipt, { event: 'release', id: `duty/${record.id}` });
          await this.#done(record, { proof: 'delivered' });
        } catch {
          await this.#retry(record);
        }
        return;
      }
      case 'attribute':
      case 'log':
      case 'pay':
        // What a party has to do itself waits for its word; the others have no record.
        return;
    }
  }

  async #retry(record: DutyRecord): Promise<void> {
    const attempts = record.body.attempts + 1;
    const nextAtMs = this.#needs.nowMs() + FIRST_RETRY_MS * 2 ** (attempts - 1);
    const tried: DutyRecord = { ...record, body: { ...record.body, attempts, nextAtMs } };
    if (attempts >= MAX_ATTEMPTS) return this.#fail(tried);
    await this.#needs.store.put(tried);
    this.#open.set(tried);
  }

  async #done(record: DutyRecord, facts: Readonly<Record<string, string>>): Promise<DutyRecord> {
    const done: DutyRecord = { ...record, state: 'fulfilled' };
    await this.#write(done, 'duty.fulfilled', {
      ...facts,
      isLate: this.#needs.nowMs() > record.body.dueAtMs && record.body.job !== '',
    });
    this.#open.delete(record);
    return done;
  }

  async #fail(record: DutyRecord): Promise<void> {
    const failed: DutyRecord = { ...record, state: 'overdue' };
    await this.#write(failed, 'duty.violated', { attempts: record.body.attempts });
    this.#open.set(failed);
  }

  async #write(
    record: DutyRecord,
    kind: 'duty.fulfilled' | 'duty.violated',
    facts: Readonly<Record<string, string | number | boolean>>,
  ): Promise<void> {
    const { id, body } = record;
    const event: EvidenceEvent = {
      kind,
      atMs: this.#needs.nowMs(),
      subjects: [
        { name: `duty/${id}`, sha256: this.#needs.sha256(JSON.stringify([id, body.do, body.to])) },
        { name: `agreement/${body.agreement}`, sha256: this.#needs.sha256(body.agreement) },
        ...(body.job === '' ? [] : [{ name: `result/${body.job}`, sha256: this.#needs.sha256(body.job) }]),
      ],
      facts: { duty: body.do, ...facts },
    };
    const steps: Step[] = [
      { do: 'put', record },
      { do: 'record', event },
    ];
    await this.#needs.store.transact(steps);
  }
}

/** Webhooks are addresses; every other word after `to` names a party. */
export const isWebhook = (to: string): boolean => /^https?:\/\//.test(to);

const beforeId = (agreement: string, index: number): string => `${agreement}/before/${index}`;

async function* pages(store: Store, filter: { readonly state: DutyState }): AsyncGenerator<DutyRecord, void, void> {
  const limit = 1000;
  let before: { readonly atMs: number; readonly id: string } | undefined;
  for (;;) {
    const page = (await store.list('duty', {
      ...filter,
      limit,
      ...(before === undefined ? {} : { before }),
    })) as readonly DutyRecord[];
    yield* page;
    const last = page.at(-1);
    if (last === undefined || page.length < limit) return;
    before = { atMs: last.atMs, id: last.id };
  }
}
