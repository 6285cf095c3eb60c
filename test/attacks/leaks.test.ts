import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { outlineOf } from './oracle.ts';
import { inTurns, openStage, type Stage } from './stage.ts';
import { GUARDED, REFUSED } from './statements.ts';
import { BANK, TRADE } from './worlds.ts';

/** Values that only one customer has, and names that the policy does not grant. */
const SECRETS = /yacht|\bLI\b|ssn-|teller|990000|firm-5|Vaduz/;

describe('a hostile consumer over gRPC', () => {
  let bank: Stage;
  let without: Stage;
  before(async () => {
    bank = await openStage([BANK, TRADE]);
    // An ordinary customer: every group and every condition that holds them holds many others.
    without = await openStage([BANK], { customers: 'customer_id = 96', loans: 'customer_id = 96' });
  });
  after(async () => {
    await bank[Symbol.asyncDispose]();
    await without[Symbol.asyncDispose]();
  });

  for (const [kind, statements] of Object.entries(REFUSED)) {
    it(`${statements.length} statements are denied before a row is read, and the refusal holds nothing of the data: ${kind}`, async () => {
      const wrong = await inTurns(statements, async (sql) => {
        const asked = await bank.ask('bank', sql).catch((error: unknown) => String(error));
        // What is no text at all is refused at the door.
        if (typeof asked === 'string') return /invalid|argument/i.test(asked) ? null : `${sql}\n  ${asked}`;
        const { job } = asked;
        const told = JSON.stringify(job.reasons.map(({ message, remedy }) => [message, remedy]));
        const leaked = SECRETS.test(sql) ? null : SECRETS.exec(told);
        const isSilent = job.meter === null && job.withheld === null && job.rowCount === null && job.ticket === null;
        return job.state === 'denied' && isSilent && leaked === null ? null : `${sql}\n  ${job.state} ${told}`;
      });
      assert.deepEqual(wrong, []);
    });
  }

  for (const [kind, statements] of Object.entries(GUARDED)) {
    it(`${statements.length} statements tell of a customer nothing but what stands in released cells: ${kind}`, async () => {
      const wrong = await inTurns(statements, async (sql) => {
        const [with_, without_] = await Promise.all([bank.ask('bank', sql), without.ask('bank', sql)]);
        const [a, b] = [outlineOf(with_), outlineOf(without_)];
        const shown = JSON.stringify(with_.table?.toArray() ?? [], (_, value: unknown) =>
          typeof value === 'bigint' ? String(value) : value,
        );
        const told = sql.includes('yacht') || sql.includes('LI') ? null : SECRETS.exec(shown);
        if (told !== null) return `${sql}\n  shows ${told[0]}`;
        return a === b ? null : `${sql}\n  ${a}\n  ${b}`;
      });
      assert.deepEqual(wrong, []);
    });
  }

  it('nothing in them stops an honest question', async () => {
    const { job } = await bank.ask('bank', 'SELECT segment, count(*) FROM customers GROUP BY segment');
    assert.equal(job.state, 'released');
  });

  it('explaining tells the same about both banks, word for word', async () => {
    const questions = Object.values(GUARDED)
      .flat()
      .filter((_, index) => index % 3 === 0);
    const explained = async (stage: Stage, text: string): Promise<string> => {
      const agreementIds = [stage.agreements.get('bank') ?? ''];
      const job = { computation: { kind: 'sql' as const, sql: { text } }, ruleId: 'statistics', agreementIds };
      const answer = await stage.consumer.jobs.explain({ job });
      return JSON.stringify(answer, (_, value: unknown) =>
        typeof value === 'bigint' ? String(value) : value,
      ).replaceAll(agreementIds[0] ?? '', 'agr');
    };
    const wrong = await inTurns(questions, async (sql) => {
      const [a, b] = await Promise.all([explained(bank, sql), explained(without, sql)]);
      return a === b ? null : `${sql}\n  ${a}\n  ${b}`;
    });
    assert.deepEqual(wrong, []);
  });

  it('the catalogue shows neither hidden columns and tables nor how many rows there are', async () => {
    const { dataset } = await bank.consumer.catalogue.get({ name: 'bank' });
    assert.deepEqual(
      dataset?.tables.map(({ name, rowCount, bytes, digest }) => [name, rowCount, bytes, digest]),
      ['customers', 'loans', 'countries'].map((name) => [name, null, null, '']),
    );
    assert.ok(
      !JSON.stringify(dataset?.tables, (_, v: unknown) => (typeof v === 'bigint' ? String(v) : v)).includes('ssn'),
    );
  });

  it('a ticket is of no use to another party, nor twice, nor in another form', async () => {
    const eve = await bank.world.party('eve', ['consumer']);
    const agreementIds = [bank.agreements.get('bank') ?? ''];
    const text = 'SELECT country, count(*) AS n FROM customers GROUP BY country';
    const { job } = await bank.consumer.jobs.submit({
      job: { computation: { kind: 'sql', sql: { text } }, ruleId: 'statistics', agreementIds },
      wait: true,
    });
    const ticket = job?.ticket ?? new Uint8Array();
    await assert.rejects(eve.readTable(ticket));
    await assert.rejects(bank.consumer.readTable(ticket.slice(1)));
    await assert.rejects(bank.consumer.readTable(new TextEncoder().encode('SELECT * FROM customers')));
    assert.equal((await bank.consumer.readTable(ticket)).numRows, 5);
    await assert.rejects(bank.consumer.readTable(ticket));
    await assert.rejects(eve.jobs.get({ id: job?.id ?? '' }));
    await assert.rejects(eve.jobs.cancel({ id: job?.id ?? '' }));
    const denied = await eve.jobs.submit({
      job: { computation: { kind: 'sql', sql: { text } }, ruleId: 'statistics', agreementIds },
      wait: true,
    });
    assert.equal(denied.job?.state, 'denied');
  });
});
