import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { connect, type Glovebox } from '../../runtime/client/connect.ts';
import { hasEnded } from '../../runtime/client/jobs.ts';
import { parseVerifierKey } from '../../runtime/evidence/note.ts';
import { verifyReceipt } from '../../runtime/evidence/receipt.ts';
import type { CredentialBundle } from '../../runtime/identity/credential.ts';
import { ANSWER, DATASET, newQuestion, rowsOf, startWorld, visitsPolicy } from '../gateway/world.ts';
import { type Child, startChild } from './child.ts';

/** Where the gateway is killed, and what the job that was under way must be afterwards. */
const POINTS = [
  { at: 'parse', becomes: 'unknown' },
  { at: 'reserve', becomes: 'unknown' },
  // The debit goes to disk while the worker starts; nothing that it answers is looked at before.
  { at: 'held', becomes: 'begun' },
  { at: 'run', becomes: 'begun' },
  { at: 'debited', becomes: 'interrupted' },
  { at: 'disclose', becomes: 'interrupted' },
  // Its file is whole and has its name, and nothing says that it may leave.
  { at: 'written', becomes: 'interrupted' },
  { at: 'record', becomes: 'interrupted' },
  // The commit was on its way: it happened or it did not, and either is whole.
  { at: 'commit', becomes: 'either' },
  { at: 'settled', becomes: 'either' },
  { at: 'committed', becomes: 'released' },
  { at: 'release', becomes: 'released' },
  { at: 'answer', becomes: 'released' },
  // A small result is handed over from memory, a large one from its file.
  { at: 'taken', becomes: 'released' },
  { at: 'redeem', becomes: 'released' },
  { at: 'redeemed', becomes: 'released' },
] as const;

let path: string;
let acme: CredentialBundle;
let owner: CredentialBundle;
before(async () => {
  path = mkdtempSync(join(tmpdir(), 'glovebox-killed-'));
  const world = await startWorld({ path, policy: visitsPolicy({ count: 100 }) });
  acme = (await world.consumer('acme')).credential;
  owner = world.owner.credential;
  await world.stop();
});
after(() => rmSync(path, { recursive: true, force: true }));

/** Uses that were spent before, with what is known of every job so far. */
interface Books {
  readonly uses: bigint;
  readonly states: ReadonlyMap<string, string>;
}

/** After a start: everything that must hold whatever happened before. */
async function audit(client: Glovebox): Promise<Books> {
  const { jobs } = await client.jobs.list({});
  const { verifierKey } = await client.evidence.getCheckpoint({});
  const key = parseVerifierKey(verifierKey);
  assert.ok(key);
  let spent = 0n;
  for (const job of jobs) {
    assert.ok(hasEnded(job), `${job.id} is ${job.state}`);
    const { job: shown } = await client.jobs.get({ id: job.id });
    const document = Buffer.from(shown?.receipt?.document ?? []).toString();
    assert.notEqual(verifyReceipt(document, key).kind, 'refused', `${job.id}: its receipt does not verify`);
    if (job.state === 'failed')
      assert.deepEqual(
        job.reasons.map(({ code }) => code),
        ['interrupted'],
      );
    if (job.state === 'released' || job.state === 'failed') spent += 1n;
    if (job.state === 'released') {
      assert.ok(shown?.ticket, `${job.id} was released and cannot be fetched`);
      assert.deepEqual(rowsOf(await client.readTable(shown.ticket)), ANSWER);
    }
  }
  const [budget] = (await client.budgets.get({ dataset: DATASET })).budgets;
  assert.equal(budget?.uses, spent, 'the ledger counts what the jobs say');
  assert.equal(budget?.usesReserved, 0n, 'nothing is held for jobs that are over');
  const released = jobs.filter(({ state }) => state === 'released').map(({ id }) => `${id}.frames`);
  assert.deepEqual(
    readdirSync(join(path, 'results')).toSorted(),
    released.toSorted(),
    'exactly the released results are kept',
  );
  assert.deepEqual(readdirSync(join(path, 'uploads')), []);
  // The log is published while we look: a file of it that is being written now is not left over.
  let leftovers = unfinishedFiles();
  for (let look = 0; look < 1500 && leftovers.length > 0; look += 1) {
    await setTimeout(20);
    const still = new Set(unfinishedFiles());
    leftovers = leftovers.filter((name) => still.has(name));
  }
  assert.deepEqual(leftovers, []);
  return { uses: spent, states: new Map(jobs.map(({ id, state }) => [id, state])) };
}

const unfinishedFiles = (): readonly string[] =>
  readdirSync(path, { recursive: true })
    .map(String)
    .filter((name) => /\.part$|\.new$|\.incoming-/.test(name));

describe('a gateway that is killed', () => {
  let books: Books = { uses: 0n, states: new Map() };
  let child: Child;
  let client: Glovebox;
  const restart = async (): Promise<void> => {
    client?.close();
    child = await startChild(path);
    client = connect({ credential: acme, server: child.address });
  };
  before(restart);
  after(async () => {
    client.close();
    await stop(child);
  });

  for (const { at, becomes } of POINTS) {
    it(`at \`${at}\` leaves a job that is ${becomes} at the next start, and all books in order`, async () => {
      await child.arm(at);
      // A small result comes with the answer; with a ticket it is fetched as a large one is.
      const asked = (at.startsWith('redeem') ? fetched(client) : client.jobs.sql(newQuestion())).then(
        () => 'answered',
        () => 'cut off',
      );
      assert.equal(await child.ended, 'SIGKILL');
      assert.equal(await asked, 'cut off');
      await restart();

      const now = await audit(client);
      const added = [...now.states].filter(([id]) => !books.states.has(id)).map(([, state]) => state);
      const expected = {
        unknown: [[]],
        begun: [[], ['failed']],
        interrupted: [['failed']],
        released: [['released']],
        either: [['released'], ['failed']],
      }[becomes];
      assert.ok(
        expected.some((one) => String(one) === String(added)),
        `new jobs: ${String(added)}`,
      );
      for (const [id, state] of books.states) assert.equal(now.states.get(id), state, 'older jobs are as they were');
      books = now;
    });
  }

  it('between the copy of an earlier answer and its release keeps the earlier one, and no copy that nothing speaks of', async () => {
    const question = newQuestion();
    assert.equal((await client.jobs.sql(question)).kind, 'released');
    const earlier = await audit(client);
    await child.arm('copied');
    await assert.rejects(client.jobs.sql(question));
    assert.equal(await child.ended, 'SIGKILL');
    await restart();
    books = await audit(client);
    const added = [...books.states].filter(([id]) => !earlier.states.has(id)).map(([, state]) => state);
    assert.deepEqual(added, ['failed']);
    assert.equal(books.uses, earlier.uses + 1n, 'the use that was booked is not given back');
  });

  it('in the middle of an upload leaves no part of it, and the dataset as it was', async () => {
    const provider = connect({ credential: owner, server: child.address });
    const uploading = (async () => {
      const parts = (async function* () {
        yield { part: { kind: 'header' as const, header: { name: DATASET } } };
        yield { part: { kind: 'file' as const, file: { name: 'x.csv', table: 'visits' } } };
        for (let index = 0; ; index += 1) {
          yield { part: { kind: 'chunk' as const, chunk: Buffer.alloc(1 << 20, 'a,b\n') } };
          if (index === 20) child.process.kill('SIGKILL');
        }
      })();
      for await (const event of provider.catalogue.registerDataset(parts)) assert.ok(event);
    })();
    await assert.rejects(uploading);
    assert.equal(await child.ended, 'SIGKILL');
    provider.close();
    await restart();
    await audit(client);
  });

  it('works again after all of that, without anybody’s help', async () => {
    const outcome = await client.jobs.sql(newQuestion());
    assert.ok(outcome.kind === 'released');
    assert.deepEqual(rowsOf(outcome.table), ANSWER);
    assert.equal((await audit(client)).uses, books.uses + 1n);
  });

  it('holds its data directory: a second one is refused, and changes nothing in it', async () => {
    const entries = readdirSync(path, { recursive: true }).length;
    await assert.rejects(startChild(path), /in use by another Glovebox process/);
    assert.equal(readdirSync(path, { recursive: true }).length, entries);
    await audit(client);
  });
});

async function fetched(client: Glovebox): Promise<unknown> {
  const job = { computation: { kind: 'sql' as const, sql: { text: newQuestion() } } };
  const answer = await client.jobs.submit({ job, wait: true });
  assert.ok(answer.job?.ticket);
  return await client.readTable(answer.job.ticket);
}

/** Ends a server as an operator would. */
async function stop(child: Child): Promise<void> {
  child.process.kill('SIGTERM');
  assert.equal(await child.ended, '0', child.log());
}
