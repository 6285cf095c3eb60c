import { receiveMessageOnPort, type MessagePort } from 'node:worker_threads';
import { Engine } from './engine.ts';
import { faultOf, StoreFault } from './fault.ts';
import type { Call, Hello, Reopened, Reply, WorkerData } from './protocol.ts';

/** At most this many transactions share one commit: bounds what waits for it. */
const MAX_GROUP = 1024;
/** The log's files are written when nobody has called for a while, since writing them holds up whoever calls … */
const PUBLISH_AFTER_MS = 100;
/** … but may not lag behind the database by more than this. */
const LONGEST_LAG_MS = 1000;
/** After a failed write the state is opened anew at the next call, but not more often than this. */
const REOPEN_EVERY_MS = 250;
/** After the log's files could not be written. */
const PUBLISH_AGAIN_MS = 1000;

/**
 * The store's thread: answers calls from `port` until it is told to close. Calls that arrive while a commit waits for
 * the disk are committed together afterwards, so one call alone waits for nobody and many share one fsync.
 * `step` is called at every named place at which a crash could matter; only tests give one.
 */
export function serveStore(port: MessagePort, data: WorkerData, step: (name: string) => void = () => {}): void {
  let engine: Engine;
  const ahead = (replies: readonly Reply[]): void => port.postMessage(replies);
  try {
    engine = new Engine(data, step, ahead);
  } catch (error) {
    port.postMessage({ kind: 'fault', ...faultOf(error) } satisfies Hello);
    port.close();
    return;
  }
  const waiting: Call[] = [];
  let isScheduled = false;
  /** While a copy is made the engine may be used between two of its steps only. */
  let isCopying = false;
  let triedAtMs = -Infinity;
  let publishing: NodeJS.Timeout | undefined;
  let isPublishDue = false;
  /** When the files began to lag, and when the last calls were answered. */
  let laggingSinceMs = 0;
  let answeredAtMs = 0;

  const flush = (): void => {
    isScheduled = false;
    if (isCopying) return;
    receive();
    const closing = takeOne('close');
    if (closing !== undefined) {
      close(closing);
      return;
    }
    if (engine.isBroken && performance.now() - triedAtMs >= REOPEN_EVERY_MS) {
      triedAtMs = performance.now();
      reopen(waiting[0]?.nowMs ?? data.nowMs);
    }
    const copy = takeOne('backup');
    answerGroup();
    if (copy?.request.do === 'backup') copyTo(copy.id, copy.request.file);
    else if (waiting.length > 0) schedule();
  };
  const receive = (): void => {
    for (let more = receiveMessageOnPort(port); more !== undefined; more = receiveMessageOnPort(port)) {
      waiting.push(...(more.message as Call[]));
    }
  };
  const takeOne = (kind: 'close' | 'backup'): Call | undefined => {
    const index = waiting.findIndex(({ request }) => request.do === kind);
    return index < 0 ? undefined : waiting.splice(index, 1)[0];
  };
  /** Reads and writes that wait; another copy and closing wait on. */
  const answerGroup = (): void => {
    const later: Call[] = [];
    const group: Call[] = [];
    for (const call of waiting.splice(0)) {
      const isForNow = group.length < MAX_GROUP && call.request.do !== 'backup' && call.request.do !== 'close';
      (isForNow ? group : later).push(call);
    }
    waiting.push(...later);
    port.postMessage(engine.run(group));
    step('answered');
    answeredAtMs = performance.now();
    if (engine.hasUnpublished && publishing === undefined) {
      laggingSinceMs = answeredAtMs;
      publishing = setTimeout(publish, PUBLISH_AFTER_MS);
    }
  };
  const copyTo = (id: number, file: string): void => {
    isCopying = true;
    const between = (): void => {
      receive();
      answerGroup();
      if (isPublishDue) publishNow();
    };
    const end = (reply: Reply): void => {
      isCopying = false;
      port.postMessage([reply]);
      if (isPublishDue) publishNow();
      schedule();
    };
    engine.copyTo(file, between).then(
      () => end({ id, answer: null }),
      (error: unknown) => end({ id, fault: faultOf(error) }),
    );
  };
  const publish = (): void => {
    const now = performance.now();
    if (isCopying) isPublishDue = true;
    else if (now - answeredAtMs < PUBLISH_AFTER_MS && now - laggingSinceMs < LONGEST_LAG_MS)
      publishing = setTimeout(publish, PUBLISH_AFTER_MS);
    else publishNow();
  };
  const publishNow = (): void => {
    isPublishDue = false;
    publishing = undefined;
    try {
      engine.publish();
    } catch {
      // The database holds all of it; the files follow when the disk takes them again, at the latest at the next start.
      publishing = setTimeout(publish, PUBLISH_AGAIN_MS);
    }
  };
  const close = (closing: Call): void => {
    clearTimeout(publishing);
    const replies: Reply[] = [];
    for (let copy = takeOne('backup'); copy !== undefined; copy = takeOne('backup')) {
      replies.push({ id: copy.id, fault: faultOf(new StoreFault('state-closed', 'the store was closed')) });
    }
    replies.push(...engine.run(waiting.splice(0)), engine.close(closing));
    port.postMessage(replies);
    port.close();
  };
  /**
   * A disk that was full is seldom full for ever. Opening makes every check of a start, and ends what was under way, so
   * that going on here is the same as a new process.
   */
  const reopen = (nowMs: number): void => {
    engine.abandon();
    try {
      engine = new Engine({ ...data, nowMs }, step, ahead);
    } catch (error) {
      engine.breakWith(error);
      return;
    }
    const { records, recovered } = engine.hello;
    port.postMessage({ kind: 'reopened', records, recovered } satisfies Reopened);
  };
  const schedule = (): void => {
    if (isScheduled) return;
    isScheduled = true;
    setImmediate(flush);
  };

  port.on('message', (calls: Call[]) => {
    waiting.push(...calls);
    schedule();
  });
  port.postMessage(engine.hello);
}
