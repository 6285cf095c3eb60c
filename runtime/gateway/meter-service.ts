import type { MeterServiceHandlers } from '../gen/services.ts';
import { type Caller, hasRole } from '../identity/party.ts';
import { statementOf, toFocusCsv } from '../metering/statement.ts';
import type { UsageEvent } from '../metering/usage.ts';
import { Fault } from '../rpc/fault.ts';
import type { StoredRecord } from '../store/records.ts';
import type { GatewayNeeds } from './needs.ts';

/** Pages of usage events that are read for one report. */
const PAGE = 1000;

/** What was used and what it costs: recomputed from the usage events, each written with the release that it counts. */
export function meterService(needs: GatewayNeeds): MeterServiceHandlers {
  return {
    report: async (caller, request) => {
      const period = { fromMs: request.fromMs, toMs: request.toMs === 0 ? needs.nowMs() + 1 : request.toMs };
      if (period.toMs <= period.fromMs) throw new Fault('argument-not-valid', 'the period ends before it begins');
      const events = (await usageEvents(needs)).filter(({ data }) => mayRead(caller, data));
      const wanted = events
        .filter(({ data }) => request.agreementId === '' || data.agreement === request.agreementId)
        .filter(({ data }) => request.consumer === '' || data.consumer === request.consumer);
      const lines = statementOf(wanted, period);
      const statement =
        request.format === 'focus' || request.format === 'csv' ? toFocusCsv(lines, period, needs.authority) : '';
      const checkpoint = await needs.store.checkpoint();
      return {
        lines: lines.map(({ agreement, consumer, provider, currency, jobs, meters, chargeMinor }) => ({
          agreementId: agreement,
          dataset: datasetOf(wanted, agreement),
          consumer,
          provider,
          jobs: BigInt(jobs),
          rowsScanned: BigInt(meters.rowsScanned),
          cellsReleased: BigInt(meters.cellsReleased),
          bytesReleased: BigInt(meters.bytesReleased),
          ciphertextOperations: BigInt(meters.heOps),
          microEpsilon: BigInt(meters.microEpsilon),
          chargeMicros: BigInt(chargeMinor) * 10_000n,
          currency: currency === 'XXX' ? '' : currency,
        })),
        statement: Buffer.from(statement),
        logIndex: BigInt(checkpoint.split('\n')[1] ?? '0'),
      };
    },
  };
}

async function usageEvents(needs: GatewayNeeds): Promise<readonly UsageEvent[]> {
  const events: UsageEvent[] = [];
  let before: { readonly atMs: number; readonly id: string } | undefined;
  for (;;) {
    const page: readonly StoredRecord[] = await needs.store.list('usage', {
      limit: PAGE,
      ...(before === undefined ? {} : { before }),
    });
    events.push(...page.map(({ body }) => body as unknown as UsageEvent));
    const last = page.at(-1);
    if (last === undefined || page.length < PAGE) return events;
    before = { atMs: last.atMs, id: last.id };
  }
}

const datasetOf = (events: readonly UsageEvent[], agreement: string): string =>
  [
    ...new Set(
      events
        .filter(({ data }) => data.agreement === agreement)
        .flatMap(({ data }) => data.datasets.map((name) => name.split('@')[0] ?? name)),
    ),
  ].join(', ');

const mayRead = (caller: Caller, data: UsageEvent['data']): boolean =>
  data.consumer === caller.party ||
  data.provider === caller.party ||
  hasRole(caller, 'operator', 'auditor', 'clearing');
