import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Metadata, status, type Client } from '@grpc/grpc-js';
import { ERROR_TRAILER } from '../../runtime/rpc/error-detail.ts';
import { FAULTS } from '../../runtime/rpc/status.ts';
import { codecOf } from '../../runtime/rpc/translate.ts';
import { TEST_SEED } from '../property.ts';
import {
  ANSWER,
  type Member,
  newQuestion,
  QUESTION,
  rowsOf,
  startWorld,
  visitsPolicy,
  type World,
} from '../gateway/world.ts';
import { call, rawClient, type RawAnswer } from '../rpc/raw-client.ts';
import { everyMethod, type Known, type Mutant, mutantsOf, randomOf } from './mutated-frames.ts';

/** Mutants of each rpc and caller; more of them with MUTANTS in the environment. */
const EACH = Number(process.env['MUTANTS'] ?? 4);
const AT_ONCE = 16;

let world: World;
let acme: Member;
/** Whose messages are mutated: what becomes of it is its own affair. */
let bolt: Member & { readonly agreement: string };
before(async () => {
  const limits = { callsPerSecond: 1e6, callBurst: 1e6, requestTimeoutMs: 1000, uploadPauseMs: 1000 };
  world = await startWorld({ policy: visitsPolicy({ count: 100_000 }), limits });
  acme = await world.consumer('acme');
  bolt = await world.consumer('bolt');
});
after(() => world[Symbol.asyncDispose]());

/** What these do when they are well formed is for other tests: they end the server, or the caller's rights. */
const LEFT_OUT = new Set([
  '/glovebox.v1.PartyService/Exit',
  '/glovebox.v1.PartyService/Renew',
  '/glovebox.v1.OperatorService/Drain',
  '/glovebox.v1.OperatorService/StopAll',
  '/glovebox.v1.OperatorService/SetExportList',
]);

describe('the gateway under mutated messages of every rpc', () => {
  const seed = TEST_SEED;
  for (const name of ['bolt', 'owner'] as const) {
    it(`answers each with a fault of the list, as ${name} (seed ${seed})`, async () => {
      const member = name === 'bolt' ? bolt : world.owner;
      const job = (
        await bolt.jobs.submit({ job: { computation: { kind: 'sql', sql: { text: QUESTION } } }, wait: true })
      ).job;
      const known: Known = {
        '': ['', 'visits', 'bolt', 'x', 'ä\u0000\n', '../..', 'a'.repeat(300), job?.id ?? ''],
        name: ['bolt', 'nobody', 'x/y'],
        party: ['bolt', 'nobody'],
        text: [QUESTION, newQuestion(), 'select', 'select * from visits', '('.repeat(3000)],
        document: [visitsPolicy(), '', '{', '- a: &a [*a]', '\u0000'],
        ticket: [job?.ticket ?? '', '', 'x'.repeat(4096)],
        cmd: ['', 'type.googleapis.com/arrow.flight.protocol.sql.CommandStatementQuery'],
        agreement_ids: [bolt.agreement, 'agr-0'],
        id: [job?.id ?? '', bolt.agreement, 'job-0', ''],
      };
      const client = rawClient({ address: `127.0.0.1:${world.server.port}` }, member.credential);
      const random = randomOf(seed);
      const mutants = everyMethod()
        .filter(({ path }) => !LEFT_OUT.has(path))
        .flatMap((method) => {
          const all = mutantsOf(random, method, known);
          return Array.from({ length: EACH }, () => all.next().value);
        });
      await inTurns(mutants, async (mutant) => checkAnswer(await send(client, mutant), mutant));
      client.close();
    });
  }

  it('and is as it was: honest work is answered, and nothing went wrong inside', async () => {
    const outcome = await acme.jobs.sql(newQuestion());
    assert.ok(outcome.kind === 'released', outcome.kind === 'refused' ? outcome.reasons[0]?.message : '');
    assert.deepEqual(rowsOf(outcome.table), ANSWER);
    assert.deepEqual(
      world.events.filter(({ level }) => level === 'error'),
      [],
    );
  });
});

async function send(client: Client, { path, messages, isStream }: Mutant): Promise<RawAnswer> {
  return await call(client, path, messages, new Metadata(), isStream ? 3000 : 20_000);
}

const DEADLINE: ReadonlySet<number> = new Set([status.OK, status.DEADLINE_EXCEEDED, status.CANCELLED]);

function checkAnswer(answer: RawAnswer, { path, how, messages, isStream }: Mutant): void {
  const about = `${path} (${how}) ${messages.map((one) => one.subarray(0, 400).toString('hex')).join(' | ')}`;
  const { code, details } = answer;
  assert.ok(!/\n|\.ts\b|node_modules|Error:|at .*:\d+:\d+/.test(details), `${about}: ${details}`);
  if (code === status.OK) return;
  const trailer = answer.metadata.get(ERROR_TRAILER)[0];
  if (trailer === undefined) {
    // grpc-js's own words: a message over the limit, an unknown method, a stream that never ends by itself.
    const own = [status.RESOURCE_EXHAUSTED, status.UNIMPLEMENTED, ...(isStream ? DEADLINE : [])];
    assert.ok(own.includes(code), `${about}: ${code} ${details}`);
    return;
  }
  const fault = codecOf('ErrorDetail').decode(Buffer.from(trailer)) as { readonly code: string };
  assert.ok(Object.hasOwn(FAULTS, fault.code), `${about}: ${fault.code}`);
  assert.notEqual(fault.code, 'internal', `${about}: ${details}`);
  assert.equal(code, FAULTS[fault.code as keyof typeof FAULTS].status, about);
}

/** Runs through the items, `AT_ONCE` together; the first failure ends it. */
async function inTurns<Item>(items: readonly Item[], run: (item: Item) => Promise<void>): Promise<void> {
  const left = [...items];
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (let item = left.shift(); item !== undefined; item = left.shift()) await run(item);
    }),
  );
}
