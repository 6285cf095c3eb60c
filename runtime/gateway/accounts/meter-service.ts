import type { MeterLine, ReportMeterRequest } from '../../gen/messages.ts';
import type { MeterServiceHandlers } from '../../gen/services.ts';
import { type Caller, hasRole } from '../../identity/party.ts';
import { toFocusCsv, toFocusParquet } from '../../metering/focus.ts';
import { microsOf } from '../../metering/money.ts';
import { publicRows } from '../../metering/public-figures.ts';
import { eventsIn, type Period, partsOf, type StatementLine, statementOf } from '../../metering/statement.ts';
import type { UsageEvent, UsagePart } from '../../metering/usage.ts';
import { Fault } from '../../rpc/fault.ts';
import type { StoredRecord } from '../../store/records.ts';
import { requireRole } from '../access.ts';
import type { StoredAgreement } from '../agreement-record.ts';
import { openDisputes } from '../agreements/disputes.ts';
import { compareWithLog } from './meter-check.ts';
import { settle, settledUntil, splitRevenue } from './settlement.ts';
import { creditLeft, topUpCredit } from './credit.ts';
import type { GatewayNeeds } from '../needs.ts';

/** Pages of usage events that are read for one report. */
const PAGE = 1000;

/** What was used and what it costs: recomputed from the usage events, each written with the release that it counts. */
export function meterService(needs: GatewayNeeds): MeterServiceHandlers {
  return {
    report: async (caller, request) => {
      const period = periodOf(needs, request);
      const mine = (part: UsagePart, event: UsageEvent): boolean =>
        mayRead(caller, part, event) &&
        (request.agreementId === '' || part.agreement === request.agreementId) &&
        (request.consumer === '' || event.data.consumer === request.consumer);
      const events = await usageEvents(needs);
      const lines = statementOf(events, period, mine);
      const checkpoint = await needs.store.checkpoint();
      return {
        lines: await Promise.all(lines.map((line) => lineMessage(needs, line, events))),
        statement: statementIn(request.format, { events, lines, period, issuer: needs.authority, mine }),
        logIndex: BigInt(checkpoint.split('\n')[1] ?? '0'),
      };
    },
    check: async (caller) => {
      requireRole(caller, 'compare the meter with the log', 'operator', 'auditor', 'clearing');
      return await compareWithLog(needs, () => usageEvents(needs));
    },
    topUp: (caller, request) => topUpCredit(needs, caller, request),
    split: async (caller, request) => {
      // A share says something of every other provider's use.
      requireRole(caller, 'split revenue among providers', 'operator', 'clearing');
      return splitRevenue(eventsIn(await usageEvents(needs), periodOf(needs, request)), request);
    },
    settle: async (caller, request) => settle(needs, caller, request, () => usageEvents(needs)),
  };
}

function periodOf(needs: Pick<GatewayNeeds, 'nowMs'>, asked: Pick<ReportMeterRequest, 'fromMs' | 'toMs'>): Period {
  const period = { fromMs: asked.fromMs, toMs: asked.toMs === 0 ? needs.nowMs() + 1 : asked.toMs };
  if (period.toMs <= period.fromMs) throw new Fault('argument-not-valid', 'the period ends before it begins');
  return period;
}

function statementIn(
  format: string,
  of: {
    readonly events: readonly UsageEvent[];
    readonly lines: readonly StatementLine[];
    readonly period: Period;
    readonly issuer: string;
    readonly mine: (part: UsagePart, event: UsageEvent) => boolean;
  },
): Uint8Array {
  const { events, lines, period, issuer, mine } = of;
  switch (format) {
    case '':
      return new Uint8Array(0);
    case 'focus':
    case 'csv':
      return Buffer.from(toFocusCsv(lines, period, issuer));
    case 'parquet':
      return toFocusParquet(lines, period, issuer);
    case 'cloudevents': {
      // Only events that are wholly the reader's: a part of one would not be what was logged.
      const whole = eventsIn(events, period).filter((event) => partsOf(event).every((part) => mine(part, event)));
      return Buffer.from(`${JSON.stringify(whole)}\n`);
    }
    default:
      throw new Fault(
        'argument-not-valid',
        `there is no statement in the form \`${format}\`; choose focus, parquet or cloudevents`,
      );
  }
}

async function lineMessage(
  needs: Pick<GatewayNeeds, 'store' | 'sha256'>,
  line: StatementLine,
  events: readonly UsageEvent[],
): Promise<MeterLine> {
  const { agreement, consumer, provider, currency, jobs, freeJobs, meters, chargeMinor, operatorMinor } = line;
  return {
    agreementId: agreement,
    dataset: datasetOf(needs, events, agreement),
    consumer,
    provider,
    jobs: BigInt(jobs),
    rowsScanned: BigInt(meters.rowsScanned),
    cellsReleased: BigInt(meters.cellsReleased),
    bytesReleased: BigInt(meters.bytesReleased),
    ciphertextOperations: BigInt(meters.heOps),
    microEpsilon: BigInt(meters.microEpsilon),
    chargeMicros: microsOf(chargeMinor, currency),
    currency: currency === 'XXX' ? '' : currency,
    providerMicros: microsOf(chargeMinor - operatorMinor, currency),
    creditLeftMicros: (await creditLeft(needs, agreement))?.micros ?? null,
    isFrozen: openDisputes(needs, agreement).length > 0,
    settledUntilMs: settledUntil(needs, agreement),
    freeJobs: BigInt(freeJobs),
  };
}

async function usageEvents(needs: Pick<GatewayNeeds, 'store'>): Promise<readonly UsageEvent[]> {
  const events: UsageEvent[] = [];
  let before: { readonly atMs: number; readonly id: string } | undefined;
  for (;;) {
    const page: readonly StoredRecord[] = await needs.store.list('usage', {
      limit: PAGE,
      ...(before === undefined ? {} : { before }),
    });
    events.push(...page.map(({ body }) => asToldNow(body as unknown as UsageEvent)));
    const last = page.at(-1);
    if (last === undefined || page.length < PAGE) return events;
    before = { atMs: last.atMs, id: last.id };
  }
}

/** Events of earlier versions held exact counts of rows, which nobody is told any more. */
function asToldNow(event: UsageEvent): UsageEvent {
  if (event.data.parts !== undefined) return event;
  const { meters } = event.data;
  const coarse = { ...meters, rowsScanned: publicRows(meters.rowsScanned, null), cpuMs: 0 };
  return { ...event, data: { ...event.data, meters: coarse } };
}

/** The agreement's dataset; for agreements that are gone, what their events say. */
function datasetOf(needs: Pick<GatewayNeeds, 'store'>, events: readonly UsageEvent[], agreement: string): string {
  const body = (needs.store.peek('agreement', agreement) as StoredAgreement | undefined)?.body;
  if (body !== undefined) return body.dataset;
  const named = events
    .filter(({ data }) => data.agreement === agreement)
    .flatMap(({ data }) => data.datasets.map((name) => name.split('@')[0] ?? name));
  return [...new Set(named)].join(', ');
}

const mayRead = (caller: Caller, part: UsagePart, event: UsageEvent): boolean =>
  event.data.consumer === caller.party ||
  part.provider === caller.party ||
  hasRole(caller, 'operator', 'auditor', 'clearing');
