import { addMeters, type Meters, NO_USE, type UsageEvent, type UsagePart } from './usage.ts';

/** What one agreement used and owes in a period. */
export interface StatementLine {
  readonly agreement: string;
  readonly consumer: string;
  readonly provider: string;
  readonly currency: string;
  readonly jobs: number;
  /** Of these, jobs that cost nothing because they were free. */
  readonly freeJobs: number;
  readonly meters: Meters;
  readonly chargeMinor: number;
  /** The operator's part of the charge; the rest is the provider's. */
  readonly operatorMinor: number;
}

/** A time span: inclusive start, exclusive end, milliseconds since 1970. */
export interface Period {
  readonly fromMs: number;
  readonly toMs: number;
}

/** Who reads a statement: lines of parts that they may not see are left out. */
export type MayRead = (part: UsagePart, event: UsageEvent) => boolean;

/**
 * Sums usage events by agreement, provider and currency. An event that comes twice (same id) counts once; two
 * different events with one id are a fault, for then the meter and the log disagree. A job under several agreements is a
 * job of each, with the charge that each asked for.
 */
export function statementOf(
  events: readonly UsageEvent[],
  period: Period,
  mayRead: MayRead = () => true,
): StatementLine[] {
  const lines = new Map<string, StatementLine>();
  for (const event of eventsIn(events, period)) {
    const { consumer, meters } = event.data;
    for (const part of partsOf(event)) {
      if (!mayRead(part, event)) continue;
      const { agreement, provider, currency } = part;
      const key = JSON.stringify([agreement, provider, currency]);
      const line = lines.get(key) ?? {
        agreement,
        consumer,
        provider,
        currency,
        jobs: 0,
        freeJobs: 0,
        meters: NO_USE,
        chargeMinor: 0,
        operatorMinor: 0,
      };
      lines.set(key, {
        ...line,
        jobs: line.jobs + 1,
        freeJobs: line.freeJobs + Number(part.isFree),
        meters: addMeters(line.meters, { ...meters, rowsScanned: part.rowsScanned }),
        chargeMinor: line.chargeMinor + part.chargeMinor,
        operatorMinor: line.operatorMinor + part.operatorMinor,
      });
    }
  }
  return [...lines.values()].toSorted(
    (one, other) => compare(one.agreement, other.agreement) || compare(one.provider, other.provider),
  );
}

/** Events of a period, each once. Throws a RangeError when two differ that have one id. */
export function eventsIn(events: readonly UsageEvent[], period: Period): readonly UsageEvent[] {
  const seen = new Map<string, string>();
  return events.filter((event) => {
    const atMs = Date.parse(event.time);
    if (atMs < period.fromMs || atMs >= period.toMs) return false;
    const content = JSON.stringify(event.data);
    const known = seen.get(event.id);
    if (known === content) return false;
    if (known !== undefined) throw new RangeError(`job '${event.id}' has two different usage events`);
    seen.set(event.id, content);
    return true;
  });
}

/** What each agreement has of a job; events of earlier versions have one agreement and say it themselves. */
export function partsOf({ data }: UsageEvent): readonly UsagePart[] {
  if (data.parts !== undefined) return data.parts;
  const { agreement, provider, chargeMinor, currency, meters } = data;
  const { rowsScanned } = meters;
  return [{ agreement, provider, chargeMinor, currency, rowsScanned, operatorMinor: 0, isFree: false }];
}

function compare(one: string, other: string): number {
  return one < other ? -1 : Number(one > other);
}
