import { readEntry } from '../../evidence/entry.ts';
import type { CheckMeterResponse } from '../../gen/messages.ts';
import { chargesOf, usageSubject } from '../../job/events.ts';
import { microsOf } from '../../metering/money.ts';
import type { UsageEvent } from '../../metering/usage.ts';
import { MAX_ENTRIES } from '../evidence/evidence-service.ts';
import type { GatewayNeeds } from '../needs.ts';

/** Most differences that are told. */
const MAX_DIFFERENCES = 100;

/**
 * Holds the meter against the log: every entry that names a usage event has that event, bit by bit, every event has one
 * entry, and what was charged adds up to the same. Events of versions that logged no digest are left out.
 */
export async function compareWithLog(
  needs: Pick<GatewayNeeds, 'store' | 'sha256'>,
  usageEvents: () => Promise<readonly UsageEvent[]>,
): Promise<CheckMeterResponse> {
  // Jobs go on meanwhile: every event that is read has its entry by the time the log is read, and an entry that came
  // after the first look may be of a job whose event came after the events were read.
  const sizeBefore = await sizeOf(needs);
  const events = (await usageEvents()).filter(({ data }) => data.parts !== undefined);
  const known = new Set(events.map(({ id }) => id));
  const logged = await loggedUses(needs, (job, index) => index >= sizeBefore && !known.has(job));
  const differences: string[] = [];
  const metered = new Map<string, bigint>();
  for (const event of events) {
    for (const charge of chargesOf(event)) add(metered, charge);
    const entry = logged.uses.get(event.id);
    if (entry === undefined) differences.push(`job ${event.id} has a usage event and no entry in the log`);
    else if (entry.digest !== usageSubject(needs, event).sha256)
      differences.push(`the usage event of job ${event.id} is not the one that was logged at ${entry.index}`);
  }
  for (const [job, { index }] of logged.uses)
    if (!known.has(job)) differences.push(`the log names a usage event of job ${job} at ${index}, and there is none`);
  differences.push(...logged.twice.map((job) => `the log names the usage event of job ${job} twice`));
  const currencies = [...new Set([...metered.keys(), ...logged.charges.keys()])].toSorted();
  const totals = currencies.map((currency) => ({
    currency,
    meteredMicros: microsOf(metered.get(currency) ?? 0n, currency),
    loggedMicros: microsOf(logged.charges.get(currency) ?? 0n, currency),
  }));
  for (const { currency, meteredMicros, loggedMicros } of totals)
    if (meteredMicros !== loggedMicros) differences.push(`charges in ${currency} add up to another amount in the log`);
  return {
    isEqual: differences.length === 0,
    events: BigInt(events.length),
    entries: BigInt(logged.uses.size),
    totals,
    differences: differences.slice(0, MAX_DIFFERENCES),
    logIndex: BigInt(logged.size),
  };
}

interface Logged {
  readonly uses: ReadonlyMap<string, { readonly digest: string; readonly index: number }>;
  readonly twice: readonly string[];
  readonly charges: ReadonlyMap<string, bigint>;
  readonly size: number;
}

const sizeOf = async ({ store }: Pick<GatewayNeeds, 'store'>): Promise<number> =>
  Number((await store.checkpoint()).split('\n')[1] ?? '0');

async function loggedUses(
  needs: Pick<GatewayNeeds, 'store'>,
  isTooNew: (job: string, index: number) => boolean,
): Promise<Logged> {
  const { store } = needs;
  const size = await sizeOf(needs);
  const uses = new Map<string, { readonly digest: string; readonly index: number }>();
  const twice: string[] = [];
  const charges = new Map<string, bigint>();
  for (let from = 0; from < size; from += MAX_ENTRIES) {
    const entries = await store.entries(from, Math.min(size, from + MAX_ENTRIES));
    for (const [at, bytes] of entries.entries()) {
      const opened = readEntry(bytes);
      if (opened.kind !== 'entry' || opened.event.kind !== 'budget.committed') continue;
      const { subjects, facts } = opened.event;
      const subject = subjects.find(({ name }) => name.startsWith('usage/'));
      if (subject === undefined) continue;
      const job = subject.name.slice('usage/'.length);
      if (isTooNew(job, from + at)) continue;
      if (uses.has(job)) twice.push(job);
      uses.set(job, { digest: subject.sha256, index: from + at });
      for (const charge of Array.isArray(facts['charges']) ? (facts['charges'] as readonly string[]) : [])
        add(charges, charge);
    }
  }
  return { uses, twice, charges, size };
}

function add(sums: Map<string, bigint>, charge: string): void {
  const [amount = '0', currency = ''] = charge.split(':');
  sums.set(currency, (sums.get(currency) ?? 0n) + BigInt(amount));
}
