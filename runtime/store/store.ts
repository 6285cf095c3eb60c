import type { KeyObject } from 'node:crypto';
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { Json } from '../evidence/canonical-json.ts';
import type { EvidenceEvent, EvidenceKind } from '../evidence/entry.ts';
import type { Digest } from '../evidence/merkle.ts';
import { parseVerifierKey, type VerifierKey } from '../evidence/note.ts';
import type { Balance, BudgetId } from '../ledger/budget.ts';
import { StoreFault } from './fault.ts';
import type {
  Blocked,
  DenyInput,
  DenyOutcome,
  FailInput,
  FailOutcome,
  JobRecord,
  RedeemInput,
  RedeemOutcome,
  ReleaseInput,
  ReleaseOutcome,
  ReserveInput,
  ReserveOutcome,
  Step,
  TransactOutcome,
} from './jobs.ts';
import type { Call, Hello, Recovered, Reopened, Reply, Request, WorkerData, SignedSize } from './protocol.ts';
import { MIRRORED, type RecordFilter, type StoredRecord, type TableName } from './records.ts';

export interface StoreOptions {
  /** The data directory. The store keeps `state/`, `keys/` and `evidence/` in it. */
  readonly path: string;
  /** Milliseconds since 1970. */
  readonly clock: () => number;
  /** The log's name: `host/path` without a scheme. Default: a name made from the key's digest. */
  readonly origin?: string;
  /** An Ed25519 key to sign the log with; default: the one in `keys/evidence.pem`, created at first. */
  readonly privateKey?: KeyObject;
  /** Another entry for the store's thread; tests put one here that dies at a chosen step. */
  readonly workerEntry?: URL;
}

/**
 * Opens the durable state of a data directory for this process alone, after checking that nobody changed it and
 * ending what a crash had interrupted. Rejects with a StoreFault when it must not be used.
 */
export async function openStore(options: StoreOptions): Promise<Store> {
  const entry = options.workerEntry ?? new URL(`./worker-entry${extname(import.meta.filename)}`, import.meta.url);
  const workerData: WorkerData = {
    path: options.path,
    origin: options.origin,
    privateKey: options.privateKey,
    nowMs: options.clock(),
  };
  const worker = new Worker(entry, { workerData, name: 'store' });
  const hello = await new Promise<Hello>((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
    worker.once('exit', () => reject(new StoreFault('state-closed', 'the store ended before it was open')));
  });
  if (hello.kind === 'fault') throw new StoreFault(hello.code, hello.message);
  return new Store(worker, hello, options.clock);
}

/** Durable state. Every promise of a write resolves only after the write is on disk. */
export class Store {
  /** What verifies this store's log and receipts, anywhere. */
  readonly verifierKey: VerifierKey;
  readonly verifierKeyText: string;
  readonly recovered: Recovered;
  readonly #worker: Worker;
  readonly #clock: () => number;
  readonly #mirror = new Map<TableName, Map<string, StoredRecord>>(MIRRORED.map((table) => [table, new Map()]));
  readonly #pending = new Map<number, Caller>();
  #outbox: Call[] = [];
  #nextId = 0;
  #ended: StoreFault | undefined;
  readonly #over = Promise.withResolvers<StoreFault>();

  /** Use openStore(). */
  constructor(worker: Worker, hello: Extract<Hello, { kind: 'ready' }>, clock: () => number) {
    const verifierKey = parseVerifierKey(hello.verifierKey);
    if (verifierKey === undefined) throw new StoreFault('state-key', 'the store has no valid verifier key');
    this.verifierKey = verifierKey;
    this.verifierKeyText = hello.verifierKey;
    this.recovered = hello.recovered;
    this.#worker = worker;
    this.#clock = clock;
    for (const record of hello.records) this.#mirror.get(record.table)?.set(record.id, record);
    worker.on('message', (message: Reply[] | Reopened) => {
      if (Array.isArray(message)) this.#receive(message);
      else this.#reload(message);
    });
    worker.on('error', (cause) => this.#end(new StoreFault('state-closed', 'the store broke down', { cause })));
    worker.on('exit', () => this.#end(new StoreFault('state-closed', 'the store is closed')));
  }

  /** Resolves when nothing more can be asked: closed, or broken down for good, which only another process can heal. */
  get over(): Promise<StoreFault> {
    return this.#over.promise;
  }

  /** A record of a mirrored table (parties, agreements, policies …), without waiting. */
  peek<Body extends Json = Json>(table: TableName, id: string): StoredRecord<Body> | undefined {
    return this.#mirrorOf(table).get(id) as StoredRecord<Body> | undefined;
  }

  /** All records of a mirrored table, in no order, without waiting. */
  peekAll<Body extends Json = Json>(table: TableName): readonly StoredRecord<Body>[] {
    return [...this.#mirrorOf(table).values()] as StoredRecord<Body>[];
  }

  get<Body extends Json = Json>(table: TableName, id: string): Promise<StoredRecord<Body> | undefined> {
    return this.#call({ do: 'get', table, id });
  }

  /** Records of a table, newest first, at most MAX_PAGE at once. */
  list<Body extends Json = Json>(table: TableName, filter: RecordFilter = {}): Promise<readonly StoredRecord<Body>[]> {
    return this.#call({ do: 'list', table, filter });
  }

  job(id: string): Promise<JobRecord | undefined> {
    return this.#call({ do: 'get', table: 'job', id });
  }

  jobs(filter: RecordFilter = {}): Promise<readonly JobRecord[]> {
    return this.#call({ do: 'list', table: 'job', filter });
  }

  /** Writes one record, with evidence when events are given; answers their positions in the log. */
  async put(record: StoredRecord, ...events: readonly EvidenceEvent[]): Promise<readonly number[]> {
    const steps: Step[] = [{ do: 'put', record }, ...events.map((event) => ({ do: 'record', event }) as const)];
    const outcome = await this.transact(steps);
    return outcome.kind === 'done' ? outcome.evidence : [];
  }

  /** Several steps as one durable transaction: all or none. */
  async transact(steps: readonly Step[]): Promise<TransactOutcome> {
    const outcome = await this.#call<TransactOutcome>({ do: 'transact', steps });
    if (outcome.kind === 'done') this.#reflect(steps);
    return outcome;
  }

  /** Records a new job, its evidence, and holds its budget, or refuses. */
  reserve(input: ReserveInput): Promise<ReserveOutcome> {
    return this.#call({ do: 'reserve', input });
  }

  /**
   * `reserve` that answers as soon as the budget is held in the transaction that goes to disk next; `durable` resolves when
   * it is there, and rejects when it will not be. Every later write goes to disk after it, or not at all.
   */
  async hold(input: ReserveInput): Promise<ReserveOutcome & { readonly durable: Promise<void> }> {
    const { promise: held, resolve } = Promise.withResolvers<ReserveOutcome>();
    const request: Request = { do: 'reserve', input, tellsAhead: true };
    const settled = this.#call<ReserveOutcome>(request, (answer) => resolve(answer as ReserveOutcome));
    const durable = settled.then(() => undefined);
    // Whoever goes on waits for it in time; nobody waiting yet must not end the process.
    durable.catch(() => undefined);
    return { ...(await Promise.race([held, settled])), durable };
  }

  /** Marks a reserved job as running: data may be touched from here on. */
  startJob(jobId: string): Promise<{ kind: 'started' } | { kind: 'refused'; reason: Blocked }> {
    return this.#call({ do: 'start', jobId });
  }

  /** Spends, meters, records and issues the ticket, in one transaction; nothing may leave before this resolves. */
  commitRelease(input: ReleaseInput): Promise<ReleaseOutcome> {
    return this.#call({ do: 'release', input });
  }

  recordDenial(input: DenyInput): Promise<DenyOutcome> {
    return this.#call({ do: 'deny', input });
  }

  failJob(input: FailInput): Promise<FailOutcome> {
    return this.#call({ do: 'fail', input });
  }

  redeemTicket(input: RedeemInput): Promise<RedeemOutcome> {
    return this.#call({ do: 'redeem', input });
  }

  /** Where a budget stands, for limits with this window (none: for ever). */
  balance(budget: BudgetId, windowMs?: number): Promise<Balance> {
    return this.#call({ do: 'balance', budget, windowMs });
  }

  /** When the first use was reserved that a window still counts, milliseconds since 1970; null when it counts none. */
  oldestUse(budget: BudgetId, windowMs: number): Promise<number | null> {
    return this.#call({ do: 'oldestUse', budget, windowMs });
  }

  /** The receipt (tlog-proof text) of a log entry against the latest checkpoint, or against an earlier one of this log. */
  receipt(position: number, against?: SignedSize): Promise<string | undefined> {
    return this.#call({ do: 'receipt', position, against });
  }

  /** A log entry as a DSSE envelope, signed with the log's key; undefined when there is no such entry. */
  envelope(position: number): Promise<Uint8Array | undefined> {
    return this.#call({ do: 'envelope', position });
  }

  /** Raw log entries from…to (exclusive). */
  entries(from: number, to: number): Promise<readonly Uint8Array[]> {
    return this.#call({ do: 'entries', from, to });
  }

  /** Positions of the latest entries of a kind, newest first. */
  positionsOf(kind: EvidenceKind, limit: number): Promise<readonly number[]> {
    return this.#call({ do: 'positions', kind, limit });
  }

  /** The latest signed checkpoint. */
  checkpoint(): Promise<string> {
    return this.#call({ do: 'checkpoint' });
  }

  /** Proof that the log only grew from `from` to `to` entries (default: all): what a witness asks for. */
  consistencyProof(from: number, to?: number): Promise<readonly Digest[]> {
    return this.#call({ do: 'consistency', from, to });
  }

  /** Writes the log's files now instead of within a moment. */
  publishEvidence(): Promise<void> {
    return this.#call({ do: 'publish' });
  }

  /** Copies the database, as it is at one moment, to a file that does not exist; other calls go on meanwhile. */
  backup(file: string): Promise<void> {
    return this.#call({ do: 'backup', file });
  }

  /** Finishes what was called, publishes the log and gives the directory free. */
  async close(): Promise<void> {
    if (this.#ended !== undefined) return;
    await this.#call({ do: 'close' });
    this.#end(new StoreFault('state-closed', 'the store is closed'));
    await this.#worker.terminate();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #call<Answer>(request: Request, ahead?: (answer: unknown) => void): Promise<Answer> {
    return new Promise<Answer>((resolve, reject) => {
      if (this.#ended !== undefined) return reject(this.#ended);
      const id = this.#nextId++;
      this.#pending.set(id, { resolve, reject, ahead });
      // One message for all calls of this turn: they then share one commit, too.
      if (this.#outbox.length === 0) queueMicrotask(() => this.#send());
      this.#outbox.push({ id, nowMs: this.#clock(), request });
    });
  }

  #send(): void {
    const calls = this.#outbox;
    this.#outbox = [];
    try {
      this.#worker.postMessage(calls);
    } catch (cause) {
      const fault = new StoreFault('state-misuse', 'a call holds something that cannot be sent to the store', {
        cause,
      });
      for (const { id } of calls) this.#settle(id)?.reject(fault);
    }
  }

  #receive(replies: readonly Reply[]): void {
    for (const reply of replies) {
      if ('ahead' in reply) {
        this.#pending.get(reply.id)?.ahead?.(reply.ahead);
        continue;
      }
      const caller = this.#settle(reply.id);
      if ('fault' in reply) caller?.reject(new StoreFault(reply.fault.code, reply.fault.message));
      else caller?.resolve(reply.answer as never);
    }
  }

  /** What was written last before a failure is known only now. */
  #reload({ records }: Reopened): void {
    for (const copies of this.#mirror.values()) copies.clear();
    for (const record of records) this.#mirror.get(record.table)?.set(record.id, record);
  }

  #settle(id: number): Caller | undefined {
    const caller = this.#pending.get(id);
    this.#pending.delete(id);
    return caller;
  }

  #reflect(steps: readonly Step[]): void {
    for (const step of steps) {
      if (step.do === 'put') this.#mirror.get(step.record.table)?.set(step.record.id, step.record);
      if (step.do === 'remove') this.#mirror.get(step.table)?.delete(step.id);
    }
  }

  #mirrorOf(table: TableName): Map<string, StoredRecord> {
    const records = this.#mirror.get(table);
    if (records === undefined)
      throw new StoreFault('state-misuse', `table '${table}' is not mirrored: use get() or list()`);
    return records;
  }

  #end(fault: StoreFault): void {
    this.#ended ??= fault;
    this.#over.resolve(this.#ended);
    for (const { reject } of this.#pending.values()) reject(this.#ended);
    this.#pending.clear();
  }
}

interface Caller {
  readonly resolve: (answer: never) => void;
  readonly reject: (fault: unknown) => void;
  readonly ahead: ((answer: unknown) => void) | undefined;
}
