import type { EvidenceEvent } from '../../evidence/entry.ts';
import type { LedgerJob } from '../../job/needs.ts';
import { placesOf } from './alert-places.ts';
import type { Delivery } from './deliver.ts';
import { type LedgerDecision, MAX_RECORDED_DECISIONS, recordedDecisions } from './recorded-decisions.ts';
import { type Decided, type Finding, RiskDetectors, type Severity } from '../../risk/detect.ts';
import { shapeOf } from '../../risk/shape.ts';
import type { StoredRecord } from '../../store/records.ts';
import type { Store } from '../../store/store.ts';
import type { LogEvent } from '../needs.ts';

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
/** A decision is looked at within this time after it was made, milliseconds; what is older was. */
const IN_FLIGHT_MS = 60_000;
/** Alerts that are read at once. */
const PAGE = 1000;
/** Limits above this are counters, not budgets. */
const NO_LIMIT = 2n ** 60n;

export interface AlertNeeds {
  readonly store: Store;
  readonly nowMs: () => number;
  readonly newId: () => string;
  readonly sha256: (content: string) => string;
  readonly pseudonymOf: (party: string) => string;
  /** How severe the policies of a job take it that one of their deny rules is hit. */
  readonly violationOf: (job: LedgerJob) => Severity;
  /** Null: alerts are only listed. */
  readonly webhook: string | null;
  /** May deliver one alert twice, where a crash fell between the delivery and its record: `id` tells. */
  readonly deliver: (url: string, receipt: string, as: Delivery) => Promise<void>;
  readonly log: (event: LogEvent) => void;
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
    const records = await allAlerts(needs.store);
    for (const record of records) {
      if (record.body.delivery === 'pending') book.#undelivered.set(record.id, record);
      const { detector, severity, dataset } = record.body;
      book.#detectors.rememberTold(
        { detector: detector as Finding['detector'], severity, party: record.owner, dataset },
        record.atMs,
      );
    }
    await book.#findPlaces();
    await book.#replay();
    return book;
  }

  /** Between an alert's entry and the note of its place lies a crash: the log knows. */
  async #findPlaces(): Promise<void> {
    const lost = [...this.#undelivered.values()].filter(({ body }) => body.position < 0);
    const places = await placesOf(this.#needs.store, new Set(lost.map(({ id }) => id)));
    for (const record of lost) {
      const placed = { ...record, body: { ...record.body, position: places.get(record.id) ?? -1 } };
      this.#undelivered.set(record.id, placed);
      await this.#needs.store.put(placed);
    }
  }

  /**
   * What was decided before a restart counts like what comes after it. Decisions whose alert may not have been written
   * when the process ended, the last ones, are looked at as if they were made now: what was told is not told again.
   */
  async #replay(): Promise<void> {
    const decisions = await recordedDecisions(this.#needs.store);
    const last = decisions.at(-1)?.atMs ?? 0;
    const isWhole = decisions.length < MAX_RECORDED_DECISIONS;
    const lost: Finding[] = [];
    for (const { decision, atMs } of decisions) {
      const decided = this.#decidedOf(decision, atMs);
      if (last - atMs > IN_FLIGHT_MS) this.#detectors.remember(decided);
      else lost.push(...this.#detectors.observe(decided));
    }
    // What is new or odd can only be said by who has seen everything.
    for (const finding of lost)
      if (isWhole || (finding.detector !== 'new-code' && finding.detector !== 'odd-hour')) await this.#raise(finding);
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

  #decidedOf({ job, verdict, codes, lines }: LedgerDecision, atMs = this.#needs.nowMs()): Decided {
    const { sha256, violationOf } = this.#needs;
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
      violationAs: verdict === 'deny' ? violationOf(job) : 'low',
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
      await deliver(webhook, receipt, { event: 'alert', id: `alert/${record.id}` });
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

/** Every alert, oldest first. */
async function allAlerts(store: Pick<Store, 'list'>): Promise<readonly AlertRecord[]> {
  const found: AlertRecord[] = [];
  for (let before: { readonly atMs: number; readonly id: string } | undefined; ;) {
    const page = (await store.list('alert', {
      limit: PAGE,
      ...(before === undefined ? {} : { before }),
    })) as readonly AlertRecord[];
    found.push(...page);
    const last = page.at(-1);
    if (last === undefined || page.length < PAGE) return found.toReversed();
    before = { atMs: last.atMs, id: last.id };
  }
}
