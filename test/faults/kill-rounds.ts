import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Child, startChild } from './child.ts';
import { auditKilled, nothingSeen } from './kill-audit.ts';
import { makeKillWorld, traffic } from './kill-world.ts';
import { descendantsOf } from './processes.ts';

export interface KillOptions {
  readonly rounds: number;
  /** The same seed kills after the same times; where that is in the work depends on the machine. */
  readonly seed: number;
  /** A gateway is killed at a random time up to this after it serves, milliseconds. */
  readonly mostMs: number;
  readonly onRound?: (round: KillRound) => void;
}

export interface KillRound {
  readonly round: number;
  /** Whether an answer was waited for first. */
  readonly isWarm: boolean;
  /** When it was killed at work, milliseconds after the traffic began or was answered. */
  readonly afterMs: number;
  /** When the next one was killed while it started; null: it was let start. */
  readonly startingMs: number | null;
  /** All so far, as the next start tells them. */
  readonly jobs: number;
  readonly released: number;
}

/**
 * Kills a gateway at random instants while consumers and a provider work with it, starts it again, and compares what it
 * says then with all that anyone was told before. Throws at the first promise that was broken.
 */
export async function runKillRounds(options: KillOptions): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'glovebox-kills-'));
  const path = join(folder, 'data');
  const random = randomOf(options.seed);
  let child: Child | null = null;
  try {
    mkdirSync(path);
    const told = await makeKillWorld(path);
    const seen = nothingSeen();
    let started = performance.now();
    child = await startChild(path);
    for (let round = 1; round <= options.rounds; round += 1) {
      const startMs = performance.now() - started;
      const afterMs = Math.floor(random() * options.mostMs);
      let isOver = false;
      const working = traffic(told, child.address, () => isOver, join(folder, 'more.csv'));
      // Half of them die in the first moments, half while answers flow.
      const isWarm = random() < 0.5;
      const answered = told.jobs.size;
      const warm = async (): Promise<void> => {
        for (let turn = 0; isWarm && told.jobs.size === answered && turn < 1000; turn += 1) await delay(20);
      };
      await Promise.race([warm().then(() => delay(afterMs)), working]);
      const workers = descendantsOf(child.process.pid ?? 0);
      child.process.kill('SIGKILL');
      assert.equal(await child.ended, 'SIGKILL');
      isOver = true;
      await working;
      // One in five dies again before it serves: recovery must bear being cut off, too.
      const startingMs = random() < 0.2 ? Math.floor(random() * startMs) : null;
      if (startingMs !== null) await killWhileStarting(path, startingMs);
      await haveEnded(workers);
      started = performance.now();
      child = await startChild(path);
      const deep = round === options.rounds;
      const books = await auditKilled(told, seen, { server: child.address, path, deep });
      options.onRound?.({ round, isWarm, afterMs, startingMs, ...books });
    }
    child.process.kill('SIGTERM');
    assert.equal(await child.ended, '0', child.log());
    child = null;
  } finally {
    child?.process.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Starts a server and kills it after a while, whether it serves by then or not. */
async function killWhileStarting(path: string, afterMs: number): Promise<void> {
  const starting = startChild(path, (child) => void delay(afterMs).then(() => child.kill('SIGKILL')));
  const child = await starting.catch((error: unknown) => {
    assert.match(String(error), /ended with SIGKILL/);
    return null;
  });
  if (child !== null) assert.equal(await child.ended, 'SIGKILL');
}

/** Waits until none of these processes lives; throws when one outlives the gateway by a minute. */
async function haveEnded(pids: readonly number[]): Promise<void> {
  let left = pids;
  for (let turn = 0; turn < 1200; turn += 1) {
    left = left.filter((pid) => existsSync(`/proc/${pid}`));
    if (left.length === 0) return;
    await delay(50);
  }
  assert.fail(`workers outlive the gateway: ${left.join(', ')}`);
}

/** Mulberry32: numbers in [0, 1) that a seed repeats. */
function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
