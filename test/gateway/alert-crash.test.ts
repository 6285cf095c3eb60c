import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { parseVerifierKey } from '../../runtime/evidence/note.ts';
import { sha256Hex } from '../../runtime/evidence/entry.ts';
import { verifyReceipt } from '../../runtime/evidence/receipt.ts';
import { AlertBook, type AlertBody } from '../../runtime/gateway/alerts/alerts.ts';
import type { LedgerDecision } from '../../runtime/gateway/alerts/recorded-decisions.ts';
import type { Store } from '../../runtime/store/store.ts';
import { dataDirectory, event, newJob, NOW, openWorld } from '../store/world.ts';

/** Writes to the store and deliveries, counted; from the one that is named on, the process is dead. */
class Dying {
  steps = 0;
  readonly #diesAt: number;
  /** Whether the step at which it dies still happens: a power cut may come before or after the disk has it. */
  readonly #isDone: boolean;
  constructor(diesAt: number, isDone: boolean) {
    this.#diesAt = diesAt;
    this.#isDone = isDone;
  }

  async step<T>(work: () => Promise<T>): Promise<T> {
    this.steps += 1;
    if (this.steps > this.#diesAt || (this.steps === this.#diesAt && !this.#isDone)) throw new Error('dead');
    const answer = await work();
    if (this.steps === this.#diesAt) throw new Error('dead');
    return answer;
  }

  over(store: Store): Store {
    return new Proxy(store, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name, target);
        if (typeof value !== 'function') return value;
        const call = value.bind(target) as (...args: readonly unknown[]) => Promise<unknown>;
        return name === 'put' || name === 'transact'
          ? (...args: readonly unknown[]) => this.step(() => call(...args))
          : call;
      },
    });
  }
}

let nowMs = NOW;
let ids = 0;
async function bookOver(store: Store, dying: Dying, received: string[]): Promise<AlertBook> {
  return await AlertBook.open({
    store: dying.over(store),
    nowMs: () => nowMs,
    newId: () => `alert-${(ids += 1)}`,
    sha256: (content) => sha256Hex(content),
    pseudonymOf: (party) => `p:${sha256Hex(party).slice(0, 32)}`,
    violationOf: () => 'high',
    webhook: 'http://hook.example',
    deliver: (_url, receipt, { event: kind, id }) =>
      dying.step(() => {
        assert.equal(kind, 'alert');
        received.push(`${id} ${receipt}`);
        return Promise.resolve();
      }),
    log: () => undefined,
  });
}

const FORBIDDEN: LedgerDecision = {
  job: { ...newJob('j1'), details: {} },
  verdict: 'deny',
  codes: ['rule-forbids'],
  lines: [],
};

/** A denial on record, and an alert that is raised and delivered by a process that dies somewhere on the way. */
async function lived(t: TestContext, diesAt: number, isDone: boolean): Promise<number> {
  nowMs = NOW;
  const store = await openWorld(t, dataDirectory(t));
  const received: string[] = [];
  const dying = new Dying(diesAt, isDone);
  await bookOver(store, dying, received)
    .then(async (book) => {
      await store.recordDenial({ job: FORBIDDEN.job, reasons: FORBIDDEN.codes, events: [event('decision', 'j1')] });
      await book.saw(FORBIDDEN);
      await book.work();
    })
    .catch(() => undefined);
  // The next process, twice, so that a restart of a restart tells nothing again.
  for (let start = 0; start < 2; start += 1) {
    nowMs += 10_000;
    await (await bookOver(store, new Dying(Infinity, true), received)).work();
  }
  const alerts = await store.list<AlertBody>('alert', { limit: 10 });
  const place = `died at ${diesAt}, ${isDone ? 'after' : 'before'} the step`;
  assert.deepEqual(
    alerts.map(({ body }) => `${body.detector} ${body.severity} ${body.delivery}`),
    ['rule-hit high delivered'],
    place,
  );
  const key = parseVerifierKey(store.verifierKeyText);
  assert.ok(key !== undefined && received.length >= 1 && received.length <= 2, place);
  assert.equal(new Set(received.map((one) => one.split(' ')[0])).size, 1, 'who de-duplicates by id has one alert');
  for (const one of received) {
    const verdict = verifyReceipt(one.slice(one.indexOf(' ') + 1), key);
    assert.ok(verdict.kind === 'verified' && verdict.event.kind === 'alert', place);
    assert.equal(verdict.event.subjects[0]?.name, one.split(' ')[0]);
  }
  return dying.steps;
}

test('wherever a process dies between a decision and the delivery of its alert, the alert is delivered, and has one id', async (t) => {
  const steps = await lived(t, Infinity, true);
  assert.ok(steps >= 3, 'raised, placed, delivered, noted');
  for (let diesAt = 1; diesAt <= steps; diesAt += 1) for (const isDone of [false, true]) await lived(t, diesAt, isDone);
});
