import assert from 'node:assert/strict';
import { createHash, createPrivateKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Channel } from '../../runtime/client/channel.ts';
import { hasEnded } from '../../runtime/client/jobs.ts';
import { tableOf } from '../../runtime/client/results.ts';
import { signAgreement, termsOf } from '../../runtime/contract/agreement.ts';
import type { Agreement, Job, JwsSignature } from '../../runtime/gen/messages.ts';
import { signJws } from '../../runtime/identity/jws.ts';
import { codecOf } from '../../runtime/rpc/translate.ts';
import { listImages } from '../../runtime/sandbox/image.ts';
import { verifyReceipt } from '../../runtime/evidence/receipt.ts';
import { parseVerifierKey } from '../../runtime/evidence/note.ts';
import { readEntry } from '../../runtime/evidence/entry.ts';
import {
  agree,
  ANSWER,
  DATASET,
  type Member,
  QUESTION,
  rowsOf,
  startWorld,
  visitsPolicy,
  type World,
} from './world.ts';

const MAX_USES = 8;

let world: World;
let now = Date.now();
before(async () => {
  world = await startWorld({ policy: visitsPolicy({ count: MAX_USES }), nowMs: () => now });
});
after(() => world[Symbol.asyncDispose]());

const fails = (call: Promise<unknown>, code: string): Promise<void> => assert.rejects(call, { code });

/** A question that is asked for the nth time: other names, so that it is computed again and costs a use. */
const anew = (nth: number): string => QUESTION.replace('as n', `as n${nth}`);
/** Submits and waits; the ticket is not used. */
async function released(consumer: Member, idempotencyKey = '', question = QUESTION): Promise<Job> {
  const { job } = await consumer.jobs.submit({ job: { ...sql(question), idempotencyKey }, wait: true });
  assert.equal(job?.state, 'released', job?.reasons[0]?.message);
  return job as Job;
}
const sql = (text: string) => ({ computation: { kind: 'sql' as const, sql: { text } } });
/** Milliseconds of P30D. */
const PERIOD_MS = 30 * 86_400_000;
const usesOf = async (consumer: Member): Promise<bigint | undefined> =>
  (await consumer.budgets.get({ dataset: DATASET })).budgets[0]?.uses;

describe('an agreement', () => {
  const offered = async (consumer: string, notAfterMs: number | null = null): Promise<Agreement> => {
    const { agreement } = await world.owner.agreements.offer({ dataset: DATASET, consumer, notAfterMs });
    assert.equal(agreement?.state, 'offered');
    return agreement as Agreement;
  };

  it('is accepted only with the signature of its own consumer over exactly its content', async () => {
    const acme = await world.member('acme', 'consumer');
    const eve = await world.member('eve', 'consumer');
    const agreement = await offered('acme');
    const { id } = agreement;
    const terms = termsOf(agreement.content);
    assert.ok(terms);
    const by = (party: string, privateKey: KeyObject): JwsSignature => {
      const { protected: protectedHeader, signature } = signAgreement(terms, {
        party,
        keyId: `${party}#1`,
        privateKey,
      });
      return { protectedHeader, signature };
    };
    const own = keyOf(acme);
    const good = by('acme', own);
    const content = new TextEncoder().encode(`${agreement.content} `);
    const forgeries = {
      'a key of nobody': by('acme', generateKeyPairSync('ed25519').privateKey),
      'the provider’s key': by('acme', keyOf(world.owner)),
      'another consumer’s key': by('acme', keyOf(eve)),
      'another name': { ...good, protectedHeader: withName(good.protectedHeader, 'eve#1') },
      'other content': { ...good, signature: sign(null, content, own).toString('base64url') },
      nothing: { protectedHeader: '', signature: '' },
      'another header': { ...good, protectedHeader: Buffer.from('{"alg":"none"}').toString('base64url') },
      'a cut signature': { ...good, signature: good.signature.slice(0, -2) },
      'the provider’s own signature': agreement.signatures[0]?.signature,
      'a signature for another use': signJws(agreement.content, {
        kind: 'job-request',
        party: 'acme',
        key: acme.credential.signingKey,
      }),
    };
    for (const [name, signature] of Object.entries(forgeries)) {
      await assert.rejects(
        acme.agreements.accept({ id, signature: signature ?? null }),
        { code: /signature|argument/ },
        name,
      );
    }
    await fails(eve.agreements.accept({ id, signature: good }), 'not-found');
    await fails(world.owner.agreements.accept({ id, signature: good }), 'wrong-state');
    assert.equal((await acme.agreements.get({ id })).agreement?.state, 'offered', 'nothing of it moved the agreement');
    await fails(
      acme.jobs.submit({ job: { ...sql(QUESTION), agreementIds: [id] }, wait: true }).then(deniedWith),
      'agreement-not-active',
    );
    assert.equal((await acme.agreements.accept({ id, signature: good })).agreement?.state, 'active');
  });

  it('that is accepted twice at once is activated once', async () => {
    const twin = await world.member('twin', 'consumer');
    const { id } = await offered('twin');
    const settled = await Promise.allSettled(Array.from({ length: 6 }, () => twin.agreements.accept({ id })));
    assert.equal(settled.filter(({ status }) => status === 'fulfilled').length, 1);
    for (const one of settled)
      if (one.status === 'rejected') assert.match((one.reason as { code: string }).code, /conflict|wrong-state/);
    const { agreement } = await twin.agreements.get({ id });
    assert.equal(agreement?.signatures.length, 2, 'one signature of each');
  });

  it('cannot be accepted after its end, cannot be used after it, and shows as expired', async () => {
    const late = await world.member('late', 'consumer');
    const tooLate = await offered('late', now + 60_000);
    const inTime = await offered('late', now + 60_000);
    await late.agreements.accept({ id: inTime.id });
    now += 61_000;
    await fails(late.agreements.accept({ id: tooLate.id }), 'wrong-state');
    assert.equal((await late.agreements.get({ id: inTime.id })).agreement?.state, 'expired');
    await fails(late.jobs.submit({ job: sql(QUESTION), wait: true }).then(deniedWith), 'agreement-not-active');
    // A clock that is set back brings nothing back: the runtime's time stands still until it is caught up.
    now -= 61_000;
    await fails(late.agreements.accept({ id: tooLate.id }), 'wrong-state');
    assert.equal((await late.agreements.get({ id: inTime.id })).agreement?.state, 'expired');
    await fails(late.jobs.submit({ job: sql(QUESTION), wait: true }).then(deniedWith), 'agreement-not-active');
    now += 61_000;
  });

  it('that was terminated stays so, whoever asks', async () => {
    const gone = await world.consumer('gone');
    await world.owner.agreements.terminate({ id: gone.agreement });
    for (const party of [gone, world.owner]) {
      await fails(party.agreements.resume({ id: gone.agreement }), 'wrong-state');
      await fails(party.agreements.suspend({ id: gone.agreement }), 'wrong-state');
      await fails(party.agreements.terminate({ id: gone.agreement }), 'wrong-state');
    }
    await fails(gone.agreements.accept({ id: gone.agreement }), 'wrong-state');
    await fails(gone.jobs.submit({ job: sql(QUESTION), wait: true }).then(deniedWith), 'agreement-not-active');
  });

  it('is resumed by whoever suspended it, and by nobody else', async () => {
    const calm = await world.consumer('calm');
    await world.owner.agreements.suspend({ id: calm.agreement });
    await fails(calm.agreements.resume({ id: calm.agreement }), 'wrong-state');
    await fails(calm.jobs.submit({ job: sql(QUESTION), wait: true }).then(deniedWith), 'agreement-not-active');
    await world.owner.agreements.resume({ id: calm.agreement });
    await released(calm);
  });
});

describe('a party', () => {
  it('that is suspended is refused on connections it has, and admitted again when it is resumed', async () => {
    const party = await world.consumer('shaky');
    await party.parties.whoAmI({});
    await world.owner.parties.suspend({ name: 'shaky' });
    await fails(party.parties.whoAmI({}), 'party-not-admitted');
    await fails(party.jobs.submit({ job: sql(QUESTION), wait: true }), 'party-not-admitted');
    await world.owner.parties.resume({ name: 'shaky' });
    await released(party);
  });

  it('cannot undo its suspension by renewing its credential meanwhile', async () => {
    const party = await world.member('clinger', 'consumer');
    const renewals = Array.from({ length: 8 }, () => party.parties.renew({ name: 'clinger' }));
    const suspended = world.owner.parties.suspend({ name: 'clinger' }).catch(() =>
      // Somebody who suspends must not lose against a crowd of renewals either.
      world.owner.parties.suspend({ name: 'clinger' }),
    );
    await Promise.allSettled([...renewals, suspended]);
    const state = (await world.owner.parties.list({})).parties.find(({ name }) => name === 'clinger')?.state;
    assert.equal(state, 'suspended');
    await fails(party.parties.whoAmI({}), 'party-not-admitted');
  });

  it('does only what its roles allow', async () => {
    const consumer = await world.member('plain', 'consumer');
    const auditor = await world.member('looker', 'auditor');
    const provider = await world.member('other-provider', 'provider');
    for (const party of [consumer, auditor, provider]) {
      await fails(party.parties.add({ name: 'x', roles: ['operator'] }), 'role-missing');
      await fails(party.parties.suspend({ name: 'plain' }), 'role-missing');
      await fails(party.parties.renew({ name: 'operator' }), 'role-missing');
      await fails(party.operator.stopAll({}), 'role-missing');
      await fails(party.operator.resumeAll({}), 'role-missing');
      await fails(party.operator.drain({}), 'role-missing');
    }
    await fails(consumer.evidence.listEntries({}), 'role-missing');
    await fails(consumer.policies.attach({ document: visitsPolicy() }), 'role-missing');
    await fails(provider.policies.attach({ document: visitsPolicy({ version: 99 }) }), 'not-found');
    await fails(auditor.jobs.submit({ job: sql(QUESTION) }), 'role-missing');
    await fails(provider.agreements.offer({ dataset: DATASET, consumer: 'plain' }), 'not-found');
  });
});

describe('the catalogue', () => {
  it('shows rows to nobody, counts to insiders, granted columns to those with an offer, nothing to others', async () => {
    const stranger = await world.member('stranger', 'consumer');
    const invited = await world.member('invited', 'consumer');
    assert.deepEqual((await stranger.catalogue.list({})).datasets, []);
    await fails(stranger.catalogue.get({ name: DATASET }), 'not-found');
    await fails(stranger.policies.get({ dataset: DATASET }), 'not-found');
    await world.owner.agreements.offer({ dataset: DATASET, consumer: 'invited' });
    const { dataset } = await invited.catalogue.get({ name: DATASET });
    assert.deepEqual(
      dataset?.tables.flatMap(({ columns, rowCount, bytes, digest }) => [
        columns.map(({ name }) => name),
        rowCount,
        bytes,
        digest,
      ]),
      [['patient_id', 'ward', 'cost'], null, null, ''],
    );
    await fails(collect(invited.catalogue.verify({ name: DATASET })), 'role-missing');
    const inside = await world.owner.catalogue.get({ name: DATASET });
    assert.equal(inside.dataset?.tables[0]?.rowCount, 60n);
  });
});

describe('a policy', () => {
  it('keeps its versions: the same version with other content, or an older one, is refused; the same again is the same', async () => {
    const versions = async (): Promise<number | undefined> =>
      (await world.owner.policies.get({ dataset: DATASET })).policy?.version;
    const first = await versions();
    const again = await world.owner.policies.attach({ document: visitsPolicy({ count: MAX_USES, version: 1 }) });
    assert.equal(again.policy?.version, first);
    const other = await world.owner.policies.attach({ document: visitsPolicy({ count: 999, version: 1 }) });
    assert.equal(other.policy, null);
    assert.match(other.complaints[0]?.message ?? '', /version 1 is not after version 1/);
    assert.equal(await versions(), first);
    const ten = await world.owner.policies.attach({ document: visitsPolicy({ count: MAX_USES, version: 10 }) });
    assert.equal(ten.policy?.version, 10);
    const older = await world.owner.policies.attach({ document: visitsPolicy({ count: MAX_USES, version: 9 }) });
    assert.equal(older.policy, null);
    const races = await Promise.allSettled(
      [5, 6].map((count) => world.owner.policies.attach({ document: visitsPolicy({ count, version: 11 }) })),
    );
    const won = races.filter((one) => one.status === 'fulfilled' && one.value.policy !== null);
    assert.equal(won.length, 1, 'two contents for one version: one of them');
    await world.owner.policies.attach({ document: visitsPolicy({ count: MAX_USES, version: 12 }) });
  });

  it('that is edited never refills a budget: uses go on counting under the new version and the new agreement', async () => {
    const saver = await world.consumer('saver');
    for (let use = 0; use < 3; use += 1) await released(saver, '', anew(use));
    assert.equal(await usesOf(saver), 3n);
    const [{ periodEndsAtMs } = { periodEndsAtMs: null }] = (await saver.budgets.get({ dataset: DATASET })).budgets;
    const periodMs = (periodEndsAtMs ?? 0) - now;
    assert.ok(
      periodMs > 0.99 * PERIOD_MS && periodMs <= PERIOD_MS,
      'the first use comes back when it is thirty days old',
    );
    await world.owner.agreements.terminate({ id: saver.agreement });
    const renamed = visitsPolicy({ count: MAX_USES, version: 20 }).replace('id: statistics', 'id: renamed');
    assert.equal((await world.owner.policies.attach({ document: renamed })).policy?.version, 20);
    await agree(world.owner, saver);
    assert.equal(await usesOf(saver), 3n);
    for (let use = 3; use < MAX_USES; use += 1) await released(saver, '', anew(use));
    await fails(saver.jobs.submit({ job: sql(QUESTION), wait: true }).then(deniedWith), 'budget-exhausted');
    assert.equal(await usesOf(saver), BigInt(MAX_USES));
  });
});

describe('a ticket', () => {
  it('works once: of many parallel uses exactly one gets the rows', async () => {
    const once = await world.consumer('once');
    const { ticket } = await released(once);
    const settled = await Promise.allSettled(Array.from({ length: 12 }, () => once.readTable(ticket as Uint8Array)));
    const tables = settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    assert.equal(tables.length, 1);
    assert.deepEqual(tables.map(rowsOf), [ANSWER]);
    for (const one of settled)
      if (one.status === 'rejected') assert.equal((one.reason as { code: string }).code, 'ticket-not-valid');
  });

  it('fetches what the log names under a salt, which only the consumer is told', async () => {
    const reader = await world.consumer('prover');
    const { id, ticket, receipt } = await released(reader);
    const channel = new Channel({ server: `127.0.0.1:${world.server.port}`, credential: reader.credential });
    const request = codecOf('arrow.flight.protocol.Ticket').encode({ ticket: ticket as Uint8Array });
    const messages = createHash('sha256');
    for await (const message of channel.serverStream('/arrow.flight.protocol.FlightService/DoGet', request))
      messages.update(message);
    channel.close();
    const { job } = await reader.jobs.get({ id });
    assert.ok(job);
    assert.equal(messages.digest('hex'), job.resultDigest);
    const key = parseVerifierKey((await reader.evidence.getCheckpoint({})).verifierKey);
    const verified = verifyReceipt(Buffer.from(receipt?.document ?? []).toString(), key ?? assert.fail());
    assert.ok(verified.kind === 'verified');
    const named = verified.event.subjects.find(({ name }) => name === `result/${id}`)?.sha256;
    assert.equal(createHash('sha256').update(job.resultSalt).update(job.resultDigest).digest('hex'), named);
    assert.notEqual(named, job.resultDigest);
    const seen = (await world.owner.jobs.get({ id })).job;
    assert.deepEqual([seen?.state, seen?.resultDigest, seen?.resultSalt.byteLength], ['released', '', 0]);
  });

  it('that was used leaves the job the receipt of its release', async () => {
    const reader = await world.consumer('reader');
    const { id, ticket, receipt } = await released(reader);
    await reader.readTable(ticket as Uint8Array);
    const { job } = await reader.jobs.get({ id });
    assert.equal(job?.receipt?.logIndex, receipt?.logIndex);
    const stored = await reader.evidence.getReceipt({ of: { kind: 'jobId', jobId: id } });
    const key = parseVerifierKey((await reader.evidence.getCheckpoint({})).verifierKey);
    const verified = verifyReceipt(Buffer.from(stored.receipt?.document ?? []).toString(), key ?? assert.fail());
    assert.ok(verified.kind === 'verified' && verified.event.kind.startsWith('release'), verified.kind);
    assert.notEqual(verified.event.kind, 'release.fetched');
  });

  it('is used up by a small result that comes with the answer, on record before it leaves', async () => {
    const quick = await world.consumer('quick');
    const request = { job: { ...sql(QUESTION), idempotencyKey: 'with-result' }, wait: true, withResult: true };
    const { job, result } = await quick.jobs.submit(request);
    assert.equal(job?.state, 'released');
    assert.equal(job.ticket, null);
    assert.deepEqual(rowsOf(await tableOf(result)), ANSWER);
    const [last = -1] = await world.runtime.store.positionsOf('release.fetched', 1);
    assert.ok(last > Number(job.receipt?.logIndex), 'the fetch is on record behind the release');
    // The job is known now: its result is fetched again as any other.
    const again = await quick.jobs.submit(request);
    assert.deepEqual([again.wasKnown, again.result.length], [true, 0]);
    assert.deepEqual(rowsOf(await quick.readTable(again.job?.ticket as Uint8Array)), ANSWER);
    const unasked = await quick.jobs.submit({ job: sql(anew(1)), wait: true });
    assert.equal(unasked.result.length, 0);
    assert.ok(unasked.job?.ticket);
    const unwaited = await quick.jobs.submit({ job: sql(anew(2)), withResult: true });
    assert.equal(unwaited.result.length, 0);
  });

  it('of an idempotency key is of its own question only: another one with it is refused, at once and later', async () => {
    const keyed = await world.consumer('keyed');
    const request = { job: { ...sql(anew(7)), idempotencyKey: 'monday' }, wait: true };
    const other = { job: { ...sql(anew(8)), idempotencyKey: 'monday' }, wait: true };
    const [first, refused, again] = await Promise.allSettled(
      [request, other, request].map((one) => keyed.jobs.submit(one)),
    );
    assert.ok(first?.status === 'fulfilled' && again?.status === 'fulfilled' && refused?.status === 'rejected');
    assert.match(String(refused.reason), /the idempotency key was given to job `job-\w+`, which asks something else/);
    assert.equal(again.value.job?.id, first.value.job?.id);
    await fails(keyed.jobs.submit(other), 'already-exists');
    await fails(keyed.jobs.submit({ job: { ...request.job, ruleId: 'statistics-2' } }), 'already-exists');
    const later = await keyed.jobs.submit({ ...request, job: { ...request.job, deadlineMs: 5000 } });
    assert.deepEqual([later.wasKnown, later.job?.id], [true, first.value.job?.id]);
  });

  it('works for its own party only, whatever the other party’s roles, and not after its time', async () => {
    const mine = await world.consumer('mine');
    const { ticket, id, ticketExpiresAtMs } = await released(mine);
    const theirs = await world.consumer('theirs');
    for (const party of [theirs, world.owner]) await fails(party.readTable(ticket as Uint8Array), 'ticket-not-valid');
    await fails(theirs.jobs.get({ id }), 'not-found');
    assert.equal((await world.owner.jobs.get({ id })).job?.ticket, null, 'an operator sees the job and gets no ticket');
    now = (ticketExpiresAtMs ?? 0) - 1;
    assert.deepEqual(rowsOf(await mine.readTable(ticket as Uint8Array)), ANSWER);
    const { job } = await mine.jobs.get({ id });
    now = (job?.ticketExpiresAtMs ?? 0) + 1;
    await fails(mine.readTable(job?.ticket as Uint8Array), 'ticket-not-valid');
    for (const bad of [new Uint8Array(32), new Uint8Array(1), Buffer.from(id)])
      await fails(mine.readTable(bad), 'ticket-not-valid');
  });

  it('of a released job is worth nothing while its agreement or its party is suspended', async () => {
    const held = await world.consumer('held');
    const { ticket, id } = await released(held);
    await world.owner.agreements.suspend({ id: held.agreement });
    await fails(held.readTable(ticket as Uint8Array), 'ticket-not-valid');
    const again = (await held.jobs.get({ id })).job?.ticket;
    if (again) await fails(held.readTable(again), 'ticket-not-valid');
    await world.owner.agreements.resume({ id: held.agreement });
    assert.deepEqual(rowsOf(await held.readTable(ticket as Uint8Array)), ANSWER, 'it was not used up by the refusals');
  });
});

describe('a budget', () => {
  it('of N uses gives exactly N to 200 parallel jobs, and the ledger, the jobs and the evidence agree', async () => {
    const greedy = await world.consumer('greedy');
    const jobs = await Promise.all(
      Array.from(
        { length: 200 },
        async (_, nth) => (await greedy.jobs.submit({ job: sql(anew(nth)), wait: true })).job,
      ),
    );
    const states = Map.groupBy(jobs, (job) => job?.state);
    assert.equal(states.get('released')?.length, MAX_USES);
    assert.equal(states.get('denied')?.length, 200 - MAX_USES);
    for (const job of states.get('denied') ?? []) assert.equal(job?.reasons[0]?.code, 'budget-exhausted');
    assert.equal(await usesOf(greedy), BigInt(MAX_USES));
    for (const job of [...(states.get('released') ?? []), ...(states.get('denied') ?? []).slice(0, MAX_USES)]) {
      const verified = await greedy.evidence.verify({ document: job?.receipt?.document ?? new Uint8Array(0) });
      assert.equal(verified.isValid, true, job?.id);
    }
  });

  it('is drawn one use for the same question again: the recorded answer is given, under a receipt that names its job', async () => {
    const again = await world.consumer('again');
    const first = await released(again);
    const rows = rowsOf(await again.readTable(first.ticket as Uint8Array));
    const respelled = 'SELECT ward, COUNT(*) AS n,\n  sum(visits.cost) AS total FROM visits GROUP BY 1 ORDER BY 1';
    for (const question of [QUESTION, respelled]) {
      const second = await released(again, '', question);
      assert.notEqual(second.id, first.id);
      assert.deepEqual(rowsOf(await again.readTable(second.ticket as Uint8Array)), rows);
      assert.match(second.guarantee, new RegExp(`answer of job \`${first.id}\``));
      const receipt = second.receipt?.document ?? new Uint8Array(0);
      assert.equal((await again.evidence.verify({ document: receipt })).isValid, true);
      assert.ok(new TextDecoder().decode(receipt).length > 0);
    }
    assert.equal(await usesOf(again), 3n);
    // Somebody else's answer, another question, another agreement are no repeats.
    const other = await world.consumer('other');
    assert.doesNotMatch((await released(other)).guarantee, /answer of job/);
    await released(again, '', QUESTION.replace('sum(cost)', 'avg(cost)'));
    assert.equal(await usesOf(again), 4n);
    await world.owner.agreements.terminate({ id: again.agreement });
    await agree(world.owner, again);
    assert.doesNotMatch((await released(again)).guarantee, /answer of job/);
  });

  it('is not spent by two calls with one idempotency key: it is one job, also when they come at once', async () => {
    const twice = await world.consumer('twice');
    const answers = await Promise.all(Array.from({ length: 6 }, () => released(twice, 'same')));
    assert.equal(new Set(answers.map(({ id }) => id)).size, 1);
    assert.equal(await usesOf(twice), 1n);
    assert.equal((await released(twice, 'same')).id, answers[0]?.id);
    assert.equal(await usesOf(twice), 1n);
  });
});

describe('the kill switch', () => {
  it('under load: no release stands in the log after its index, running jobs stop, and nothing starts until it is off', async () => {
    const crowd = await Promise.all(['k1', 'k2', 'k3', 'k4'].map((name) => world.consumer(name)));
    const jobs = crowd.flatMap((consumer) =>
      Array.from({ length: 6 }, async () => (await consumer.jobs.submit({ job: sql(QUESTION), wait: true })).job),
    );
    await Promise.any(jobs); // some are done, some run, some wait
    const { logIndex } = await world.owner.operator.stopAll({ note: 'drill' });
    const ended = await Promise.all(jobs);
    const kinds = ended.map((job) => `${job?.state} ${job?.reasons[0]?.code ?? ''}`);
    assert.ok(
      kinds.every((kind) => /^(released |stopped stopped|denied stopped)$/.test(kind)),
      kinds.join(', '),
    );
    for (const job of ended) {
      if (job?.state === 'released') assert.ok((job.receipt?.logIndex ?? 0n) < logIndex);
    }
    const { entries } = await world.owner.evidence.listEntries({ start: logIndex, limit: 1000 });
    assert.equal(entries[0]?.kind, 'switch');
    assert.equal(entries.filter(({ kind }) => kind === 'release').length, 0);
    const refused = (await crowd[0]?.jobs.submit({ job: sql(QUESTION), wait: true }))?.job;
    assert.equal(refused?.reasons[0]?.code, 'stopped');
    const done = ended.find((job) => job?.state === 'released');
    const owner = crowd.find(({ credential }) => credential.party === done?.consumer);
    if (done?.ticket) await fails((owner as Member).readTable(done.ticket), 'ticket-not-valid');
    await world.owner.operator.resumeAll({});
    await released(crowd[1] as Member);
  });
});

describe('sandbox images', () => {
  it('are all listed, and each is shown by its name', async () => {
    const { images } = await world.owner.images.list({});
    assert.ok(images.length > 0);
    assert.deepEqual(
      images.map(({ name }) => name),
      await listImages(join(import.meta.dirname, '..', '..')),
    );
    const { image } = await world.owner.images.get({ name: 'javascript' });
    assert.deepEqual(image?.methods, ['rowFunction', 'blocks', 'approved', 'post']);
    assert.ok(image.libraries.includes('d3-array@3.2.5'), image.manifest);
  });
});

describe('the log', () => {
  it('after all of this holds a signed entry for every step, and every receipt verifies offline', async () => {
    const { verifierKey } = await world.owner.evidence.getCheckpoint({});
    const key = parseVerifierKey(verifierKey);
    assert.ok(key);
    for (let start = 0n as bigint | null; start !== null;) {
      const page = await world.owner.evidence.listEntries({ start, limit: 1000 });
      for (const { body } of page.entries) assert.equal(readEntry(body).kind, 'entry');
      start = page.nextStart;
    }
    const { jobs } = await world.owner.jobs.list({});
    for (const { id, state } of jobs) {
      assert.ok(hasEnded({ state }), id);
      const { receipt } = await world.owner.evidence.getReceipt({ of: { kind: 'jobId', jobId: id } });
      assert.notEqual(verifyReceipt(Buffer.from(receipt?.document ?? []).toString(), key).kind, 'refused', id);
    }
  });
});

const withName = (header: string, kid: string): string => {
  const fields = JSON.parse(Buffer.from(header, 'base64url').toString()) as object;
  return Buffer.from(JSON.stringify({ ...fields, kid })).toString('base64url');
};
const keyOf = ({ credential }: Member): KeyObject => createPrivateKey(credential.signingKey);

/** Turns a denied job into its first reason, so that both ways of refusing are asserted alike. */
function deniedWith({ job }: { readonly job: Job | null }): void {
  if (job?.state === 'denied') throw Object.assign(new Error(job.reasons[0]?.message), { code: job.reasons[0]?.code });
}
async function collect<T>(items: AsyncIterable<T>): Promise<readonly T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}
