import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { UsagePolicy } from '../policy/model.ts';
import { type Complaint, parsePolicy } from './parse-policy.ts';
import type { Path } from './document.ts';

/** Longer documents are read in a thread of their own, characters: these take up to some 50 ms of processor time. */
export const MAX_INLINE_CHARACTERS = 16 * 1024;
/** Documents that wait for that thread; it takes up to 0.6 s of processor time for one. */
const MAX_WAITING = 32;
/** Longest time for one document from when it was handed over, milliseconds; the thread is ended then. */
const PATIENCE_MS = 60_000;
const MEMORY_MIB = 256;

/** Something that fits the document's form and still is wrong with it. */
export interface Problem {
  readonly path: Path;
  readonly message: string;
}

export type ReadPolicy =
  | {
      readonly kind: 'policy';
      readonly policy: UsagePolicy;
      /** The version that the document names. */
      readonly named: number | null;
      /** Complaints about places in this file, for checks that need more than the file. */
      readonly complaintsAt: (problems: readonly Problem[]) => Promise<readonly Complaint[]>;
    }
  | { readonly kind: 'complaints'; readonly complaints: readonly Complaint[] };

/** What goes to the thread: a document to be read, or places in it to be found. */
export interface ReadOrder {
  readonly id: number;
  readonly text: string;
  readonly file: string;
  readonly problems: readonly Problem[] | null;
}
export type ReadAnswer =
  | { readonly id: number; readonly kind: 'policy'; readonly policy: UsagePolicy; readonly named: number | null }
  | { readonly id: number; readonly kind: 'complaints'; readonly complaints: readonly Complaint[] };

/** Too many long documents at once: try again later. */
export class ReaderBusy extends Error {
  override readonly name = 'ReaderBusy';
}

/**
 * `parsePolicy` for a process that has others to answer: a long document is read in a thread of its own, so that nobody
 * waits for it but its sender. Throws `ReaderBusy` while too many wait.
 */
export async function readPolicy(text: string, file: string): Promise<ReadPolicy> {
  if (text.length <= MAX_INLINE_CHARACTERS) {
    const parsed = parsePolicy(text, file);
    if (parsed.kind === 'complaints') return parsed;
    const complaintsAt = (problems: readonly Problem[]): Promise<readonly Complaint[]> =>
      Promise.resolve(problems.map(({ path, message }) => parsed.complaintAt(path, message)));
    return { kind: 'policy', policy: parsed.policy, named: parsed.document.metadata.version ?? null, complaintsAt };
  }
  const answer = await ask({ text, file, problems: null });
  if (answer.kind === 'complaints') return { kind: 'complaints', complaints: answer.complaints };
  const complaintsAt = async (problems: readonly Problem[]): Promise<readonly Complaint[]> => {
    if (problems.length === 0) return [];
    const placed = await ask({ text, file, problems });
    return placed.kind === 'complaints' ? placed.complaints : [];
  };
  return { kind: 'policy', policy: answer.policy, named: answer.named, complaintsAt };
}

interface Waiting {
  readonly resolve: (answer: ReadAnswer) => void;
  readonly reject: (cause: Error) => void;
}
let thread: { readonly worker: Worker; readonly waiting: Map<number, Waiting> } | null = null;
let asked = 0;

async function ask(order: Omit<ReadOrder, 'id'>): Promise<ReadAnswer> {
  thread ??= startThread();
  const { worker, waiting } = thread;
  if (waiting.size >= MAX_WAITING) throw new ReaderBusy(`${MAX_WAITING} long documents are being read`);
  asked += 1;
  const id = asked;
  const { promise, resolve, reject } = Promise.withResolvers<ReadAnswer>();
  waiting.set(id, { resolve, reject });
  const patience = setTimeout(() => void worker.terminate(), PATIENCE_MS);
  worker.postMessage({ ...order, id } satisfies ReadOrder);
  try {
    return await promise;
  } finally {
    clearTimeout(patience);
    waiting.delete(id);
  }
}

function startThread(): NonNullable<typeof thread> {
  const entry = new URL(`./worker/policy-worker${extname(import.meta.filename)}`, import.meta.url);
  const worker = new Worker(entry, {
    env: {},
    execArgv: ['--disable-warning=ExperimentalWarning'],
    resourceLimits: { maxOldGenerationSizeMb: MEMORY_MIB },
  });
  const started = { worker, waiting: new Map<number, Waiting>() };
  worker.on('message', (answer: ReadAnswer) => started.waiting.get(answer.id)?.resolve(answer));
  let cause: Error | null = null;
  worker.on('error', (error) => {
    cause = error instanceof Error ? error : new Error(String(error));
  });
  worker.on('exit', () => {
    if (thread === started) thread = null;
    for (const { reject } of started.waiting.values())
      reject(new Error('the thread that reads policies has ended', { cause }));
  });
  // Last: a listener for messages would hold the process again. Whoever waits holds it by its own timer.
  worker.unref();
  return started;
}
