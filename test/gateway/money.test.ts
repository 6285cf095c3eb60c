import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { DuckDBInstance } from '@duckdb/node-api';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Glovebox } from '../../runtime/client/connect.ts';
import type { Job } from '../../runtime/gen/messages.ts';
import { addDataset, COUNT_QUERY, POLICY, type RuntimeWorld, runtimeWorld, VISITS } from './runtime-world.ts';

const PLAN = (payment: string, more = ''): string => `
apiVersion: glovebox/v1
kind: PricePlan
currency: CNY
prices: [{ meter: calls, unitPrice: "0.80" }, { meter: rowsScanned, unitPrice: "0.10", per: 1000 }]
payment: ${payment}
operatorShare: 0.1
${more}`;

describe('prices, credit and settlement over the wire', () => {
  let world: RuntimeWorld;
  let hospital: Glovebox;
  let clinic: Glovebox;
  let acme: Glovebox;
  let clearing: Glovebox;

  before(async () => {
    world = await runtimeWorld();
    hospital = await world.party('hospital', ['provider']);
    clinic = await world.party('clinic', ['provider']);
    acme = await world.party('acme', ['consumer']);
    clearing = await world.party('bank', ['clearing']);
    await addDataset(world, hospital, 'visits', VISITS);
    await addDataset(world, clinic, 'stays', VISITS);
    await hospital.policies.attach({ document: POLICY(), fileName: 'p.yaml' });
    const stays = POLICY().replace('dataset: visits', 'dataset: stays');
    const { complaints } = await clinic.policies.attach({ document: stays, fileName: 'q.yaml' });
    assert.deepEqual(complaints, []);
  });
  after(() => world[Symbol.asyncDispose]());

  const agree = async (provider: Glovebox, dataset: string, prices: string): Promise<string> => {
    const { agreement } = await provider.agreements.offer({ dataset, consumer: 'acme', prices });
    const id = agreement?.id ?? '';
    assert.equal((await acme.agreements.accept({ id })).agreement?.state, 'active');
    return id;
  };
  // A question that was answered before is answered again for nothing: each of these is another one.
  let questions = 0;
  const another = (): string => COUNT_QUERY.replace(' AS n', ` AS n${(questions += 1)}`);
  const ask = async (agreementIds: readonly string[], text = another()): Promise<Job> => {
    const { job } = await acme.jobs.submit({
      job: { computation: { kind: 'sql', sql: { text } }, agreementIds },
      wait: true,
    });
    assert.ok(job !== null);
    return job;
  };
  const outcome = ({ state, reasons }: Job): string => reasons[0]?.code ?? state;

  it('a job without credit is refused; credit is topped up once per signed order, by the provider alone', async () => {
    const id = await agree(hospital, 'visits', PLAN('prepaid'));
    assert.equal(outcome(await ask([id])), 'credit-exhausted');
    await assert.rejects(acme.meters.addCredit({ agreement: id, amountMinor: 1000n }), /tops up the credit/);
    await assert.rejects(clinic.meters.addCredit({ agreement: id, amountMinor: 1000n }), /no agreement/);
    const order = { agreement: id, amountMinor: 200n, id: 'order-0001' };
    assert.equal((await hospital.meters.addCredit(order)).creditLeftMicros, 2_000_000n);
    await assert.rejects(hospital.meters.addCredit(order), /applied before/);

    const { priceMicros, currency } = await acme.jobs.explain({
      job: { computation: { kind: 'sql', sql: { text: COUNT_QUERY } }, agreementIds: [id] },
    });
    assert.deepEqual([priceMicros, currency], [900_000n, 'CNY'], '0.80 for the call, 0.10 for up to 1000 rows');
    const first = await Promise.all([ask([id]), ask([id]), ask([id]), ask([id])]);
    assert.deepEqual(first.map(outcome).toSorted(), ['credit-exhausted', 'credit-exhausted', 'released', 'released']);
    const { lines } = await acme.meters.report({ agreementId: id });
    assert.equal(lines[0]?.chargeMicros, 1_800_000n);
    assert.equal(lines[0].providerMicros, 1_620_000n, 'the operator has a tenth');
    assert.equal(lines[0].creditLeftMicros, 200_000n);
    assert.equal(lines[0].rowsScanned, 2000n, 'two jobs over 120 rows each: nobody is told 120');
    assert.equal((await clearing.meters.addCredit({ agreement: id, amountMinor: 90n })).creditLeftMicros, 1_100_000n);
    assert.equal(outcome(await ask([id], 'SELECT nonsense FROM visits')), 'column-unknown');
    const last = another();
    assert.equal(outcome(await ask([id], last)), 'released');
    assert.equal(outcome(await ask([id], last)), 'released', 'the same again costs nothing');
    await hospital.agreements.terminate({ id });
  });

  it('free jobs are free as often as agreed, also when many ask at once; then the price holds', async () => {
    const id = await agree(hospital, 'visits', PLAN('{ postpaid: "1.80" }', 'freeJobs: { max: 3, per: P30D }'));
    const jobs = await Promise.all(Array.from({ length: 8 }, () => ask([id])));
    assert.equal(jobs.filter(({ state }) => state === 'released').length, 5, 'three free, two paid, then the limit');
    const { lines } = await hospital.meters.report({ agreementId: id });
    assert.deepEqual([lines[0]?.freeJobs, lines[0]?.jobs, lines[0]?.chargeMicros], [3n, 5n, 1_800_000n]);
    await hospital.agreements.terminate({ id });
  });

  it('a job of two providers is charged by both agreements, and the revenue is split without a rest', async () => {
    const one = await agree(hospital, 'visits', PLAN('{ postpaid: "1000" }'));
    const other = await agree(clinic, 'stays', PLAN('{ postpaid: "1000" }').replace('0.80', '0.31'));
    await acme.agreements.saveProject({ name: 'study', agreementIds: [one, other] });
    const { job } = await acme.jobs.submit({
      job: {
        computation: {
          kind: 'sql',
          sql: {
            text: 'SELECT v.ward, count(*) AS n FROM visits.visits v JOIN stays.visits s ON v.patient_id = s.patient_id GROUP BY v.ward',
          },
        },
        project: 'study',
      },
      wait: true,
    });
    assert.equal(job?.state, 'released', JSON.stringify(job?.reasons));
    assert.equal((await ask([one])).state, 'released');
    const { lines } = await acme.meters.report({});
    const chargeOf = (id: string): bigint => lines.find(({ agreementId }) => agreementId === id)?.chargeMicros ?? 0n;
    assert.deepEqual([chargeOf(one), chargeOf(other)], [1_800_000n, 410_000n]);
    for (const [by, shares] of [
      ['charge', [37n, 162n]],
      ['shapley', [59n, 140n]],
      ['units', [66n, 133n]],
    ] as const) {
      const answer = await clearing.meters.split({ by, agreementIds: [one, other] });
      assert.equal(answer.revenueMinor, 199n, '180 and 41 fen less a tenth each, rounded for the provider');
      assert.deepEqual(
        answer.shares.map(({ provider, shareMinor }) => [provider, shareMinor]),
        [
          ['clinic', shares[0]],
          ['hospital', shares[1]],
        ],
        by,
      );
    }
    await assert.rejects(hospital.meters.split({ by: 'shapley' }), /role/);
    const { statement } = await clinic.meters.report({ format: 'cloudevents' });
    assert.deepEqual(JSON.parse(Buffer.from(statement).toString()), [], 'a joint event is not one provider’s alone');
    await hospital.agreements.terminate({ id: one });
    await clinic.agreements.terminate({ id: other });
  });

  it('a dispute freezes the settlement and flags jobs until who opened it withdraws it', async () => {
    const id = await agree(hospital, 'visits', PLAN('{ postpaid: "1000" }'));
    const { id: jobId } = await ask([id]);
    const { dispute } = await acme.agreements.openDispute({ jobId, text: 'the ward counts are wrong' });
    assert.deepEqual((await acme.jobs.get({ id: jobId })).job?.disputes, [dispute?.id]);
    assert.deepEqual((await hospital.agreements.get({ id })).agreement?.disputes, [dispute?.id]);
    assert.equal((await acme.meters.report({ agreementId: id })).lines[0]?.isFrozen, true);
    await assert.rejects(hospital.meters.settle({ agreementId: id }), /frozen by the dispute/);
    const disputeId = dispute?.id ?? '';
    await assert.rejects(hospital.agreements.resolveDispute({ id: disputeId, resolution: 'no' }), /only `acme`/);
    await assert.rejects(clinic.agreements.openDispute({ agreementId: id, text: 'x' }), /no agreement or job/);
    assert.equal((await clinic.agreements.listDisputes({})).disputes.length, 0);
    assert.equal((await ask([id])).state, 'released', 'nobody held jobs');
    await acme.agreements.resolveDispute({ id: disputeId, resolution: 'withdrawn' });
    const settled = await hospital.meters.settle({ agreementId: id });
    assert.deepEqual([settled.jobs, settled.chargeMicros, settled.currency], [2n, 1_800_000n, 'CNY']);
    world.pass(10);
    assert.equal((await hospital.meters.settle({ agreementId: id })).jobs, 0n, 'each charge is settled once');
    await assert.rejects(acme.meters.settle({ agreementId: id }), /settles/);

    // A settlement that comes between a job's charge and its commit: the charge belongs to the next one, to none twice.
    const { store } = world.runtime;
    const commitRelease = store.commitRelease.bind(store);
    let inBetween: { readonly jobs: bigint } | null = null;
    store.commitRelease = async (input) => {
      world.pass(10);
      inBetween ??= await hospital.meters.settle({ agreementId: id });
      return await commitRelease(input);
    };
    assert.equal((await ask([id])).state, 'released');
    store.commitRelease = commitRelease;
    assert.equal((inBetween as { readonly jobs: bigint } | null)?.jobs, 0n);
    world.pass(10);
    assert.equal((await hospital.meters.settle({ agreementId: id })).jobs, 1n, 'no charge is left out');

    await assert.rejects(acme.agreements.openDispute({ agreementId: id, text: 'x', holdsJobs: true }), /provider/);
    const held = await hospital.agreements.openDispute({ agreementId: id, text: 'unpaid', holdsJobs: true });
    assert.equal(outcome(await ask([id])), 'agreement-disputed');
    await world.operator.agreements.resolveDispute({ id: held.dispute?.id ?? '', resolution: 'paid' });
    assert.equal((await ask([id])).state, 'released');
  });

  it('meter and log add up to the same, and statements are read by other tools', async () => {
    const check = await clearing.meters.check({});
    assert.deepEqual(check.differences, []);
    assert.ok(check.isEqual && check.events > 10n && check.events === check.entries);
    assert.equal(check.totals[0]?.meteredMicros, check.totals[0]?.loggedMicros);
    await assert.rejects(acme.meters.check({}), /role/);
    // Also while a job is released between the look at the meter and the look at the log.
    const id = await agree(hospital, 'visits', PLAN('{ postpaid: "1000" }'));
    const { store } = world.runtime;
    const list = store.list.bind(store);
    let asked: string | null = null;
    store.list = (async (...args: Parameters<typeof list>) => {
      const found = await list(...args);
      if (args[0] === 'usage' && asked === null) {
        asked = '';
        asked = (await ask([id])).state;
      }
      return found;
    }) as typeof store.list;
    const meanwhile = await clearing.meters.check({});
    store.list = list;
    assert.equal(asked, 'released');
    assert.deepEqual([meanwhile.differences, meanwhile.events], [[], check.events]);
    assert.equal((await clearing.meters.check({})).events, check.events + 1n);

    const csv = Buffer.from((await acme.meters.report({ format: 'focus' })).statement).toString();
    const file = join(world.folder, 'statement.parquet');
    writeFileSync(file, (await acme.meters.report({ format: 'parquet' })).statement);
    writeFileSync(`${file}.csv`, csv);
    const database = await (await DuckDBInstance.create(':memory:')).connect();
    const rowsOf = async (source: string): Promise<unknown> =>
      (
        await database.runAndReadAll(
          `select ResourceId, ProviderName, BilledCost::double, x_RowsScanned::bigint, BillingPeriodStart::timestamp from '${source}' order by all`,
        )
      ).getRows();
    assert.deepEqual(await rowsOf(file), await rowsOf(`${file}.csv`));
    const events = JSON.parse(
      Buffer.from((await acme.meters.report({ format: 'cloudevents' })).statement).toString(),
    ) as readonly { readonly specversion: string; readonly id: string; readonly data: { readonly meters: object } }[];
    assert.equal(new Set(events.map(({ id }) => id)).size, events.length);
    assert.ok(events.every(({ specversion }) => specversion === '1.0'));
    assert.doesNotMatch(JSON.stringify(events), /"rowsScanned":(120|240)\b/);
    await assert.rejects(acme.meters.report({ format: 'xml' }), /no statement in the form/);
  });

  it('a plan that makes no sense is refused, and one that was not shown is not signed', async () => {
    const offer = (prices: string): Promise<unknown> =>
      hospital.agreements.offer({ dataset: 'visits', consumer: 'acme', prices });
    for (const [plan, why] of [
      [PLAN('prepaid').replace('calls', 'cpuMs'), /price plan is not one/],
      [PLAN('prepaid').replace('"0.80"', '-1'), /price plan is not one/],
      [PLAN('sometimes'), /price plan is not one/],
      [`${PLAN('prepaid')}\nextra: 1`, /price plan is not one/],
      ['a: &a [*a, *a]', /price plan is not one/],
      ['x'.repeat(70_000), /larger than/],
      [PLAN('{ postpaid: "0.001" }'), /smallest unit/],
      [PLAN('prepaid').replace('CNY', 'XXX'), /no currency/],
    ] as const)
      await assert.rejects(offer(plan), why);
  });
});
