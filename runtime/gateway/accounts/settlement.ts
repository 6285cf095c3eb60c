import { canonicalBytes, type Json } from '../../evidence/canonical-json.ts';
import type { SettleRequest, SettleResponse, SplitRevenueRequest, SplitRevenueResponse } from '../../gen/messages.ts';
import { type Caller, hasRole } from '../../identity/party.ts';
import { microsOf } from '../../metering/money.ts';
import { MAX_PLAYERS, splitByLargestRemainder, splitByShapley } from '../../metering/split.ts';
import { partsOf, statementOf } from '../../metering/statement.ts';
import type { UsageEvent } from '../../metering/usage.ts';
import { Fault } from '../../rpc/fault.ts';
import type { Expectation } from '../../store/jobs.ts';
import type { StoredRecord } from '../../store/records.ts';
import type { StoredAgreement } from '../agreement-record.ts';
import { openDisputes } from '../agreements/disputes.ts';
import { evidence, type GatewayNeeds, newId } from '../needs.ts';

type SettlementBody = {
  readonly agreement: string;
  readonly fromMs: number;
  readonly untilMs: number;
  /** SHA-256 of the statement's canonical form. */
  readonly digest: string;
};

/** Up to when an agreement's charges are settled, milliseconds since 1970; 0: never yet. */
export function settledUntil(needs: Pick<GatewayNeeds, 'store'>, agreement: string): number {
  return needs.store
    .peekAll<SettlementBody>('settlement')
    .filter(({ body }) => body.agreement === agreement)
    .reduce((latest, { body }) => Math.max(latest, body.untilMs), 0);
}

const markId = (agreement: string): string => `settled/${agreement}`;

/** Up to when charges of an agreement are settled or being settled, as a release expects it; null: it never was. */
export const settlementMark = (needs: Pick<GatewayNeeds, 'store'>, agreement: string): string | null =>
  needs.store.peek('setting', markId(agreement))?.state ?? null;

export const settlementMarked = (agreement: string, state: string | null): Expectation => ({
  table: 'setting',
  id: markId(agreement),
  state,
});

function checkUndisputed(needs: Pick<GatewayNeeds, 'store'>, agreement: string): void {
  const [dispute] = openDisputes(needs, agreement);
  if (dispute !== undefined)
    throw new Fault(
      'wrong-state',
      `the settlement of \`${agreement}\` is frozen by the dispute \`${dispute.id}\`: resolve it first`,
    );
}

/**
 * Makes a statement final: what was charged from the last settlement on. Each charge is settled once; an open dispute
 * freezes it. The log holds the statement's digest.
 */
export async function settle(
  needs: GatewayNeeds,
  caller: Caller,
  request: SettleRequest,
  usageEvents: () => Promise<readonly UsageEvent[]>,
): Promise<SettleResponse> {
  const record = needs.store.peek('agreement', request.agreementId) as StoredAgreement | undefined;
  const isProvider = record?.body.provider === caller.party;
  if (record === undefined || !(isProvider || hasRole(caller, 'clearing', 'operator'))) {
    if (record?.body.consumer === caller.party)
      throw new Fault('role-missing', `\`${record.body.provider}\` or a clearing party settles`);
    throw new Fault('not-found', `no agreement \`${request.agreementId}\` of yours`);
  }
  checkUndisputed(needs, record.id);
  const now = needs.nowMs();
  const untilMs = request.untilMs === 0 ? now : request.untilMs;
  const fromMs = settledUntil(needs, record.id);
  if (untilMs > now) throw new Fault('argument-not-valid', 'what is still to come cannot be settled');
  if (untilMs <= fromMs)
    throw new Fault('wrong-state', `agreement \`${record.id}\` is settled until ${new Date(fromMs).toISOString()}`);
  // From here on a charge is of a later time, and what was charged before is on disk: read now, nothing is left out.
  const mark = { table: 'setting', id: markId(record.id), owner: record.id, state: String(untilMs), body: {} } as const;
  const before = settlementMark(needs, record.id);
  if (before === null || Number(before) < untilMs) {
    const marked = await needs.store.transact([
      { do: 'expect', ...settlementMarked(record.id, before) },
      { do: 'put', record: { ...mark, atMs: now } },
    ]);
    if (marked.kind === 'refused') throw new Fault('conflict', `agreement \`${record.id}\` is settled meanwhile`);
  }
  const events = await usageEvents();
  checkUndisputed(needs, record.id);
  const lines = statementOf(events, { fromMs, toMs: untilMs }, (part) => part.agreement === record.id);
  const digest = needs.sha256(canonicalBytes(lines as unknown as Json));
  const settlement: StoredRecord<SettlementBody> = {
    table: 'settlement',
    // The period's start is part of the name: two calls at once cannot settle one period twice.
    id: `${record.id}/${fromMs}`,
    owner: record.id,
    state: 'closed',
    atMs: now,
    body: { agreement: record.id, fromMs, untilMs, digest },
  };
  const outcome = await needs.store.transact([
    { do: 'expect', table: 'settlement', id: settlement.id, state: null },
    { do: 'put', record: settlement },
    {
      do: 'record',
      event: evidence(
        needs,
        'settlement.closed',
        [
          { name: `settlement/${newId(needs, 'stl')}`, sha256: digest },
          { name: `agreement/${record.id}`, sha256: needs.sha256(record.body.content) },
        ],
        {
          by: needs.pseudonymOf(caller.party),
          charges: lines.map(({ chargeMinor, currency }) => `${chargeMinor}:${currency}`),
        },
      ),
    },
  ]);
  if (outcome.kind === 'refused') throw new Fault('conflict', `agreement \`${record.id}\` was settled meanwhile`);
  const paid = lines.filter(({ currency }) => currency !== 'XXX');
  const currency = paid[0]?.currency ?? '';
  return {
    fromMs,
    untilMs,
    jobs: BigInt(lines.reduce((sum, { jobs }) => sum + jobs, 0)),
    chargeMicros:
      currency === ''
        ? 0n
        : microsOf(
            paid.reduce((sum, { chargeMinor }) => sum + chargeMinor, 0),
            currency,
          ),
    currency,
    logIndex: BigInt(outcome.evidence[0] ?? 0),
  };
}

/**
 * Splits what was paid in a currency, after the operators' parts, among the providers of the jobs; whole minor units that
 * add up. By Shapley value the worth of a set of providers is what was paid for jobs that need no other provider: each
 * job's price is then shared among those without whom it could not have run, and no partial result is computed for it.
 */
export function splitRevenue(events: readonly UsageEvent[], request: SplitRevenueRequest): SplitRevenueResponse {
  const jobs = events.map((event) => ({
    parts: partsOf(event).filter(
      ({ agreement }) => request.agreementIds.length === 0 || request.agreementIds.includes(agreement),
    ),
  }));
  const currencies = [...new Set(jobs.flatMap(({ parts }) => parts.map(({ currency }) => currency)))].filter(
    (one) => one !== 'XXX',
  );
  const currency = request.currency === '' ? (currencies[0] ?? '') : request.currency;
  if (request.currency === '' && currencies.length > 1)
    throw new Fault('argument-not-valid', `name one of the currencies ${currencies.toSorted().join(', ')}`);
  const providers = [...new Set(jobs.flatMap(({ parts }) => parts.map(({ provider }) => provider)))].toSorted();
  const earned = jobs.map(({ parts }) =>
    parts.reduce((sum, one) => sum + (one.currency === currency ? one.chargeMinor - one.operatorMinor : 0), 0),
  );
  const revenue = earned.reduce((sum, one) => sum + BigInt(one), 0n);
  if (providers.length === 0) return { revenueMinor: 0n, currency, shares: [] };
  const weigh = (of: (part: (typeof jobs)[number]['parts'][number]) => number): bigint[] =>
    providers.map((provider) =>
      jobs.reduce(
        (sum, { parts }) =>
          parts.reduce((inner, part) => (part.provider === provider ? inner + BigInt(of(part)) : inner), sum),
        0n,
      ),
    );
  const shares = ((): bigint[] => {
    switch (request.by) {
      case 'charge':
        return splitByLargestRemainder(
          revenue,
          weigh((part) => (part.currency === currency ? part.chargeMinor - part.operatorMinor : 0)),
        );
      case 'jobs':
        return splitByLargestRemainder(
          revenue,
          weigh(() => 1),
        );
      case 'rows':
        return splitByLargestRemainder(
          revenue,
          weigh(({ rowsScanned }) => rowsScanned),
        );
      case 'units':
        return splitByLargestRemainder(
          revenue,
          weigh(({ units = 0 }) => units),
        );
      case 'shapley': {
        if (providers.length > MAX_PLAYERS)
          throw new Fault(
            'argument-not-valid',
            `Shapley values of ${providers.length} providers: at most ${MAX_PLAYERS}, so name fewer agreements`,
          );
        const worths = worthOfCoalitions(
          providers.length,
          jobs.map(({ parts }, at) => ({
            needs: parts.reduce((mask, { provider }) => mask | (1 << providers.indexOf(provider)), 0),
            worth: earned[at] ?? 0,
          })),
        );
        return splitByShapley(revenue, providers.length, (coalition) => worths[coalition] ?? 0);
      }
      default:
        throw new Fault(
          'argument-not-valid',
          `revenue is not split by \`${request.by}\`; choose charge, jobs, rows, units or shapley`,
        );
    }
  })();
  return {
    revenueMinor: revenue,
    currency,
    shares: providers.map((provider, at) => ({ provider, shareMinor: shares[at] ?? 0n })),
  };
}

/** What each set of providers (a bit mask) earns without the others: the sum over all its subsets, in n·2^n steps. */
function worthOfCoalitions(
  players: number,
  jobs: readonly { readonly needs: number; readonly worth: number }[],
): Float64Array {
  const worths = new Float64Array(2 ** players);
  for (const { needs, worth } of jobs) worths[needs] = (worths[needs] ?? 0) + worth;
  for (let player = 0; player < players; player += 1)
    for (let set = 0; set < worths.length; set += 1)
      if ((set & (1 << player)) !== 0) worths[set] = (worths[set] ?? 0) + (worths[set ^ (1 << player)] ?? 0);
  return worths;
}
