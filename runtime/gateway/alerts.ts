import type { EvidenceEvent } from '../evidence/entry.ts';
import type { LedgerJob } from '../job/needs.ts';
import type { BudgetLine } from '../ledger/reservation.ts';
import { recordedDecisions } from './recorded-decisions.ts';
import { type Decided, type Finding, RiskDetectors, type Severity, shapeOf } from '../risk/detect.ts';
import type { StoredRecord } from '../store/records.ts';
import type { Store } from '../store/store.ts';
import type { LogEvent } from './needs.ts';

export type AlertBody = {
  readonly detector: string;
  readonly severity: Severity;
  readonly dataset: string;
  readonly count: number;
  /** Place of its entry in the log. */
  readonly position: number;
  /** none: there is no webhook. failed: it was tried MAX_ATTEMPTS times. */
  readonly delivery: 'none' | 'pending' | 'delivered' | 'failed';
  readonly attempts: number;
  readonly nextAtMs: number;
};
/** Its owner is the party that it is about. */
export type AlertRecord = StoredRecord<AlertBody>;

export const MAX_ATTEMPTS = 8;
const FIRST_RETRY_MS = 1000;
/** Limits above this are counters, not budgets. */
const NO_LIMIT = 2n ** 60n;

export interface AlertNeeds {
  readonly store: Store;
  readonly nowMs: () => number;
  readonly newId: () => string;
  readonly sha256: (content: string) => string;
  readonly pseudonymOf: (party: string) => string;
  /** Null: alerts are only listed. */
  readonly webhook: string | null;
  readonly deliver: (url: string, receipt: string) => Promise<void>;
  readonly log: (event: LogEvent) => void;
}

/** What a decision was, as the ledger was told. */
export interface LedgerDecision {
  readonly job: LedgerJob;
  readonly verdict: Decided['verdict'];
  readonly codes: readonly string[];
  readonly lines: readonly BudgetLine[];
  readonly violationAs: Severity;
}

/**
 * Alerts: findings of the risk detectors, each on record in the log, listed until somebody acknowledges it, and delivered
 * as a signed receipt. Watching never holds up or fails a job: what goes wrong here is logged.
 */
export class AlertBook {
  readonly #needs: AlertNeeds;
  readonly #detectors = new RiskDetectors();
  readonly #undelivered = new Map<string, AlertRecord>();
  #isWorking = false;

  private constructor(needs: AlertNeeds) {
    this.#needs = needs;
  }

  static async open(needs: AlertNeeds): Promise<AlertBook> {
    const book = new AlertBook(needs);
    const records = (await needs.store.list('alert', { limit: 1000 })) as readonly AlertRecord[];
    for (const record of records.toReversed()) {
      if (record.body.delivery === 'pending') book.#undelivered.set(record.id, record);
      const { detector, severity, dataset } = record.body;
      book.#detectors.rememberTold(
        { detector: detector as Finding['detector'], severity, party: record.owner, dataset },
        record.atMs,
      );
    }
    // What was decided before a restart counts like what comes after it.
    for (const { decision, atMs } of await recordedDecisions(needs.store))
      book.#detectors.remember(book.#decidedOf(decision, atMs));
    return book;
  }

  /** Looks at a decision that was made; resolves when what it led to is on record. Never rejects. */
  async saw(decision: LedgerDecision): Promise<void> {
    try {
      for (const finding of this.#detectors.observe(this.#decidedOf(decision))) await this.#raise(finding);
    } catch (cause) {
      this.#needs.log({ level: 'error', event: 'alert.failed', cause });
    }
  }

  /** Delivers what is due. Looks that overlap are left out. */
  async work(): Promise<void> {
    if (this.#isWorking) return;
    this.#isWorking = true;
    try {
      const now = this.#needs.nowMs();
      for (const record of [...this.#undelivered.values()].slice(0, 100))
        if (now >= record.body.nextAtMs) await this.#deliver(record);
    } finally {
      this.#isWorking = false;
    }
  }

  /** Marks an alert as seen; undefined when there is none that is open. */
  async acknowledge(id: string, by: string): Promise<AlertRecord | undefined> {
    const { store, nowMs, pseudonymOf, sha256 } = this.#needs;
    const found = (await store.get<AlertBody>('alert', id)) as AlertRecord | undefined;
    if (found?.state !== 'open') return undefined;
    const seen: AlertRecord = { ...found, state: 'acknowledged' };
    const event: EvidenceEvent = {
      kind: 'alert',
      atMs: nowMs(),
      subjects: [{ name: `alert/${id}`, sha256: sha256(id) }],
      facts: { state: 'acknowledged', by: pseudonymOf(by) },
    };
    const outcome = await store.transact([
      { do: 'expect', table: 'alert', id, state: 'open' },
      { do: 'put', record: seen },
      { do: 'record', event },
    ]);
    if (outcome.kind === 'refused') return undefined;
    if (this.#undelivered.has(id)) this.#undelivered.set(id, seen);
    return seen;
  }

  #decidedOf({ job, verdict, codes, lines, violationAs }: LedgerDecision, atMs = this.#needs.nowMs()): Decided {
    const { sha256 } = this.#needs;
    const { kind, text, datasets, digest } = job.details;
    const question = typeof text === 'string' ? text : typeof digest === 'string' ? digest : job.id;
    return {
      atMs,
      hour: new Date(atMs).getHours(),
      party: job.party,
      datasets: Array.isArray(datasets) ? (datasets as string[]) : [],
      verdict,
      codes,
      question: sha256(question),
      shape: sha256(typeof text === 'string' ? shapeOf(text) : question),
      code: kind === 'javascript' && typeof digest === 'string' ? digest : null,
      draws: lines.filter(({ limit }) => limit < NO_LIMIT),
      violationAs,
    };
  }

  async #raise(finding: Finding): Promise<void> {
    const { store, nowMs, newId, pseudonymOf, sha256, webhook, log } = this.#needs;
    const { detector, severity, party, dataset, count } = finding;
    const id = newId();
    const event: EvidenceEvent = {
      kind: 'alert',
      atMs: nowMs(),
      subjects: [
        { name: `alert/${id}`, sha256: sha256(id) },
        ...(dataset === '' ? [] : [{ name: `dataset/${dataset}`, sha256: sha256(dataset) }]),
      ],
      facts: { detector, severity, party: pseudonymOf(party), count },
    };
    const body: AlertBody = {
      detector,
      severity,
      dataset,
      count,
      position: -1,
      delivery: webhook === null ? 'none' : 'pending',
      attempts: 0,
      nextAtMs: nowMs(),
    };
    const record: AlertRecord = { table: 'alert', id, owner: party, state: 'open', atMs: nowMs(), body };
    const outcome = await store.transact([
      { do: 'record', event },
      { do: 'put', record },
    ]);
    const position = outcome.kind === 'done' ? (outcome.evidence[0] ?? -1) : -1;
    const placed: AlertRecord = { ...record, body: { ...body, position } };
    if (webhook !== null) this.#undelivered.set(id, placed);
    await store.put(placed);
    log({ level: 'warn', event: 'alert', facts: { id, detector, severity, count } });
  }

  async #deliver(record: AlertRecord): Promise<void> {
    const { store, webhook, deliver, nowMs, log } = this.#needs;
    const attempts = record.body.attempts + 1;
    let delivery: AlertBody['delivery'] = 'delivered';
    try {
      const receipt = await store.receipt(record.body.position);
      if (receipt === undefined || webhook === null) throw new Error('there is nothing to deliver, or nowhere');
      await deliver(webhook, receipt);
    } catch {
      delivery = attempts >= MAX_ATTEMPTS ? 'failed' : 'pending';
      if (delivery === 'failed') log({ level: 'error', event: 'alert.undelivered', facts: { id: record.id } });
    }
    const current = this.#undelivered.get(record.id) ?? record;
    const nextAtMs = nowMs() + FIRST_RETRY_MS * 2 ** (attempts - 1);
    const tried: AlertRecord = { ...current, body: { ...current.body, delivery, attempts, nextAtMs } };
    if (delivery === 'pending') this.#undelivered.set(tried.id, tried);
    else this.#undelivered.delete(tried.id);
    await store.put(tried);
  }
}
