import { createPublicKey } from 'node:crypto';
import { backup } from 'node:sqlite';
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { formatVerifierKey } from '../evidence/note.ts';
import { dsseEnvelope, keyIdOf, sha256Hex } from '../evidence/entry.ts';
import { layoutOf, openDatabase } from './database.ts';
import { EvidenceFiles } from './evidence-files.ts';
import { EvidenceRows } from './evidence-rows.ts';
import { asFault, faultOf, StoreFault } from './fault.ts';
import { loadSigningKey, sealKeyOf, signerOf } from './keys.ts';
import { LedgerRows } from './ledger-rows.ts';
import {
  denyJob,
  endInterruptedJobs,
  failJob,
  redeemTicket,
  releaseJob,
  reserveJob,
  startJob,
  transact,
} from './operations.ts';
import type { Tables } from './operations.ts';
import { isWrite, type WorkerData } from './protocol.ts';
import type { Call, Hello, ReadRequest, Recovered, Reply, WriteRequest } from './protocol.ts';
import { MIRRORED } from './records.ts';
import { digestBytes, digestOfAll, readSeal, RowDigest, Rows, sealMac } from './rows.ts';

/** Pages of a backup that are copied in one step: 4 MiB. */
const BACKUP_PAGES = 1024;

/** The state as one process holds it: the database, its seal, the evidence log and the log's files. */
export class Engine {
  readonly hello: Extract<Hello, { kind: 'ready' }>;
  readonly #database: DatabaseSync;
  readonly #sealKey: Buffer;
  readonly #digest: RowDigest;
  readonly #rows: Rows;
  readonly #ledger: LedgerRows;
  readonly #log: EvidenceRows;
  readonly #files: EvidenceFiles;
  readonly #step: (name: string) => void;
  readonly #ahead: (replies: readonly Reply[]) => void;
  readonly #envelopeOf: (entry: Uint8Array) => Uint8Array;
  readonly #sql: Record<'begin' | 'commit' | 'savepoint' | 'release' | 'seal', StatementSync>;
  #latestMs: number;
  #publishedCheckpoint = '';
  /** Set when a write failed in a way after which nothing the database says can be trusted. */
  #broken: StoreFault | undefined;

  /** `ahead` hears before a commit what will be answered after it, of calls that ask for that. */
  constructor(data: WorkerData, step: (name: string) => void, ahead: (replies: readonly Reply[]) => void = () => {}) {
    const layout = layoutOf(data.path);
    const { database, isNew } = openDatabase(layout.database);
    try {
      this.#database = database;
      this.#step = step;
      this.#ahead = ahead;
      const privateKey = data.privateKey ?? loadSigningKey(layout.key, isNew || !hasSeal(database));
      const signer = signerOf(privateKey, data.origin);
      const envelopeKey = { id: keyIdOf(createPublicKey(privateKey)), privateKey };
      this.#envelopeOf = (entry) => dsseEnvelope(entry, envelopeKey);
      this.#sealKey = sealKeyOf(privateKey);
      this.#digest = new RowDigest(this.#sealKey);
      const seal = readSeal(database, this.#sealKey);
      this.#digest.value = digestOfAll(database, this.#sealKey);
      if (seal === undefined ? this.#digest.value !== 0n : seal.digest !== this.#digest.value) {
        throw new StoreFault('state-tampered', 'the rows of the state are not those that were sealed');
      }
      this.#latestMs = Math.max(seal?.latestMs ?? 0, data.nowMs);
      this.#rows = new Rows(database, this.#digest);
      this.#ledger = new LedgerRows(database, this.#digest);
      this.#log = new EvidenceRows(database, signer);
      this.#log.load(database, seal);
      this.#files = new EvidenceFiles(layout.evidence, this.#log, signer.verifier);
      this.#sql = {
        begin: database.prepare('begin immediate'),
        commit: database.prepare('commit'),
        savepoint: database.prepare('savepoint one'),
        release: database.prepare('release one'),
        seal: database.prepare('insert or replace into seal values (1, ?, ?, ?, ?, ?)'),
      };
      const recovered = { ...this.#recover(), clockBehindMs: this.#latestMs - data.nowMs };
      const records = MIRRORED.flatMap((table) => this.#rows.all(table));
      this.hello = { kind: 'ready', records, verifierKey: formatVerifierKey(signer.verifier), recovered };
    } catch (error) {
      database.close();
      throw isDamage(error)
        ? new StoreFault('state-tampered', `the state is damaged: ${error.message}`, { cause: error })
        : error;
    }
  }

  get hasUnpublished(): boolean {
    return this.#publishedCheckpoint !== this.#log.checkpoint;
  }

  publish(): void {
    if (!this.hasUnpublished) return;
    this.#files.publish();
    this.#publishedCheckpoint = this.#log.checkpoint;
    this.#step('published');
  }

  /** Whether a write failed so that nothing here can be trusted; a failure that another try cannot heal does not count. */
  get isBroken(): boolean {
    return this.#broken?.code === 'state-write-failed';
  }

  get #isInTransaction(): boolean {
    return this.#database.isOpen && this.#database.isTransaction;
  }

  /**
   * Copies the database into `file`. A step of the copy runs in another thread on this connection, so nothing else may
   * use the engine meanwhile, except inside `between`, which is called between two steps; what is written there goes
   * into the copy too.
   */
  async copyTo(file: string, between: () => void): Promise<void> {
    if (this.#broken !== undefined) throw this.#broken;
    await backup(this.#database, file, { rate: BACKUP_PAGES, progress: between });
  }

  /** Gives the database up as it is. */
  abandon(): void {
    if (this.#database.isOpen) this.#database.close();
  }

  breakWith(error: unknown): void {
    this.#broken = asFault(error);
  }

  close(call: Call): Reply {
    try {
      if (!this.#database.isOpen) return { id: call.id, answer: null };
      this.publish();
      this.#database.close();
      return { id: call.id, answer: null };
    } catch (error) {
      return { id: call.id, fault: faultOf(error) };
    }
  }

  /** Runs calls in order; all that write share one commit, each on its own savepoint. */
  run(calls: readonly Call[]): Reply[] {
    if (calls.length === 0) return [];
    const outcomes: (() => Reply)[] = [];
    const ahead: Reply[] = [];
    const writes = calls.some((call) => isWrite(call.request));
    const before = { digest: this.#digest.value, size: this.#log.tree.size, checkpoint: this.#log.checkpoint };
    const latestBefore = this.#latestMs;
    let isCommitting = false;
    try {
      if (this.#broken !== undefined) throw this.#broken;
      if (writes) {
        this.#sql.begin.run();
        this.#step('begun');
      }
      for (const call of calls) {
        // The clock may stand still, never go back: a window that has slid on stays where it is.
        this.#latestMs = Math.max(this.#latestMs, call.nowMs);
        const told = isWrite(call.request) ? this.#write(call.id, call.request) : this.#read(call.id, call.request);
        outcomes.push(told);
        if (call.request.do === 'reserve' && call.request.tellsAhead === true) {
          // A reservation's answer holds no receipt, so that it is whole before the commit.
          const reply = told();
          if ('answer' in reply) ahead.push({ id: call.id, ahead: reply.answer });
        }
      }
      if (writes) {
        isCommitting = true;
        if (ahead.length > 0) this.#ahead(ahead);
        this.#seal();
        this.#step('sealed');
        this.#sql.commit.run();
        this.#step('committed');
      }
    } catch (error) {
      this.#rollBack(before);
      this.#latestMs = latestBefore;
      // After a failed commit or sync the disk may hold either state: only a new start, which checks, may go on.
      if (isCommitting || this.#isInTransaction) this.#broken ??= asFault(error);
      return calls.map(({ id }) => ({ id, fault: faultOf(error) }));
    }
    return outcomes.map((reply) => reply());
  }

  #write(id: number, request: WriteRequest): () => Reply {
    const before = { digest: this.#digest.value, size: this.#log.tree.size, checkpoint: this.#log.checkpoint };
    this.#sql.savepoint.run();
    try {
      const answer = this.#dispatch(request);
      // An answer that is a refusal leaves no trace, whatever the operation had written before it knew.
      if (isRefusal(answer)) this.#undo(before);
      this.#sql.release.run();
      return () => ({ id, answer: this.#withReceipts(request, answer) });
    } catch (error) {
      this.#undo(before);
      this.#sql.release.run();
      const fault = faultOf(error);
      return () => ({ id, fault });
    }
  }

  #dispatch(request: WriteRequest): object {
    const tables: Tables = {
      rows: this.#rows,
      ledger: this.#ledger,
      log: this.#log,
      nowMs: this.#latestMs,
      step: this.#step,
    };
    switch (request.do) {
      case 'reserve':
        return reserveJob(tables, request.input);
      case 'start':
        return startJob(tables, request.jobId);
      case 'release':
        return releaseJob(tables, request.input);
      case 'deny':
        return denyJob(tables, request.input);
      case 'fail':
        return failJob(tables, request.input);
      case 'redeem':
        return redeemTicket(tables, request.input);
      case 'transact':
        return transact(tables, request.steps);
    }
  }

  #read(id: number, request: ReadRequest): () => Reply {
    return () => {
      try {
        return { id, answer: this.#lookUp(request) };
      } catch (error) {
        return { id, fault: faultOf(error) };
      }
    };
  }

  /** Runs after the commit of its group, so that nobody reads what could still be undone. */
  #lookUp(request: ReadRequest): unknown {
    switch (request.do) {
      case 'get':
        return this.#rows.get(request.table, request.id);
      case 'list':
        return this.#rows.list(request.table, request.filter);
      case 'balance':
        return this.#ledger.balance(request.budget, request.windowMs, this.#latestMs);
      case 'oldestUse':
        return this.#ledger.oldestUse(request.budget, request.windowMs, this.#latestMs);
      case 'receipt':
        return this.#log.receipt(request.position, request.against);
      case 'envelope': {
        const [entry] = this.#log.entries(request.position, request.position + 1);
        return entry === undefined ? undefined : this.#envelopeOf(entry);
      }
      case 'entries':
        return this.#log.entries(request.from, request.to);
      case 'positions':
        return this.#log.positionsOf(request.kind, request.limit);
      case 'checkpoint':
        return this.#log.checkpoint;
      case 'consistency':
        return this.#log.tree.consistencyProof(request.from, request.to);
      case 'publish':
        return this.publish();
      case 'backup':
      case 'close':
        throw new StoreFault('state-misuse', 'this is not a read');
    }
  }

  #withReceipts(request: WriteRequest, answer: object): object {
    if (!('evidence' in answer) || request.do === 'reserve' || request.do === 'transact') return answer;
    const receipts = (answer.evidence as number[]).map((position) => this.#log.receipt(position) ?? '');
    return { ...answer, receipts };
  }

  #seal(): void {
    const seal = {
      digest: this.#digest.value,
      logSize: this.#log.tree.size,
      latestMs: this.#latestMs,
      checkpoint: this.#log.sign(),
    };
    const mac = sealMac(this.#sealKey, seal);
    this.#sql.seal.run(digestBytes(seal.digest), seal.logSize, seal.latestMs, seal.checkpoint, mac);
  }

  #undo(before: Before): void {
    this.#database.exec('rollback to one');
    this.#digest.value = before.digest;
    this.#log.tree.truncate(before.size);
  }

  #rollBack(before: Before): void {
    try {
      if (this.#isInTransaction) this.#database.exec('rollback');
    } catch {
      // What was thrown first is what the caller hears; `run` sees that the transaction is still open.
    }
    this.#digest.value = before.digest;
    this.#log.restore(before.size, before.checkpoint);
  }

  /** Brings state and files to rest after whatever ended the last process. */
  #recover(): Omit<Recovered, 'clockBehindMs'> {
    const repairedFiles = this.#files.rebuild();
    this.#sql.begin.run();
    const tables = { rows: this.#rows, ledger: this.#ledger, log: this.#log, nowMs: this.#latestMs, step: this.#step };
    const interruptedJobs = endInterruptedJobs(tables, (job, reservation) => ({
      kind: 'job.failed',
      atMs: this.#latestMs,
      subjects: [{ name: `job/${job.id}`, sha256: sha256Hex(job.id) }],
      facts: { reason: 'interrupted', reservation },
    }));
    if (repairedFiles > 0) {
      this.#log.append({
        kind: 'alert',
        atMs: this.#latestMs,
        subjects: [{ name: 'log', sha256: sha256Hex(this.#log.checkpoint) }],
        facts: { reason: 'log-files-repaired', files: repairedFiles },
      });
    }
    this.#seal();
    this.#step('recovered');
    this.#sql.commit.run();
    this.#files.publish();
    this.#publishedCheckpoint = this.#log.checkpoint;
    return { interruptedJobs, repairedFiles };
  }
}

interface Before {
  readonly digest: bigint;
  readonly size: number;
  readonly checkpoint: string;
}

function hasSeal(database: DatabaseSync): boolean {
  return database.prepare('select 1 from seal').get() !== undefined;
}

const REFUSALS: ReadonlySet<unknown> = new Set(['refused', 'exhausted', 'known', 'answered']);

function isRefusal(answer: object): boolean {
  return 'kind' in answer && REFUSALS.has(answer.kind);
}

/** What SQLite says about a file whose pages or rows are not what they should be. */
function isDamage(error: unknown): error is Error {
  return (
    error instanceof Error && /malformed|not a database|constraint failed|no such (table|column)/.test(error.message)
  );
}
