import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { verifyReceipt } from '../../runtime/evidence/receipt.ts';
import { mandateContent } from '../../runtime/contract/mandate.ts';
import { pseudonymOf, readEntry } from '../../runtime/evidence/entry.ts';
import { connect, type Glovebox } from '../../runtime/client/connect.ts';
import type { Job } from '../../runtime/gen/messages.ts';
import { parseCredential } from '../../runtime/identity/credential.ts';
import { signJws } from '../../runtime/identity/jws.ts';
import { addDataset, agreedWorld, COUNT_QUERY, type RuntimeWorld, runtimeWorld, VISITS } from './runtime-world.ts';

const HOUR_MS = 3_600_000;

describe('parties over the wire: admission, mandates, service roles', () => {
  let world: RuntimeWorld;
  let hospital: Glovebox;
  let acme: Glovebox;
  let desk: Glovebox;
  let agreement: string;

  before(async () => {
    world = await runtimeWorld();
    ({ hospital, acme, agreement } = await agreedWorld(world));
    desk = await world.party('desk', ['consumer']);
  });
  after(() => world[Symbol.asyncDispose]());

  const ask = async (as: Glovebox, mandateId = ''): Promise<Job> => {
    const { job } = await as.jobs.submit({
      job: { computation: { kind: 'sql', sql: { text: COUNT_QUERY } }, mandateId },
      wait: true,
    });
    assert.ok(job !== null);
    return job;
  };

  it('every name is taken or refused with what a name is, never a failure of the runtime', async () => {
    for (const name of ['', '.', 'a.b', 'a_b', 'x-', '9lives', 'Acme', 'a'.repeat(64), 'ac\u0000me'])
      await assert.rejects(
        world.operator.parties.add({ name, roles: ['reviewer'] }),
        /is not a party name: lower-case/,
      );
    for (const name of ['a-9', 'xn--a', 'a'.repeat(63)])
      assert.equal((await world.operator.parties.add({ name, roles: ['reviewer'] })).party?.name, name);
  });

  it('a rule that no policy has is refused by its name, with the rules that there are', async () => {
    const { job } = await acme.jobs.submit({
      job: { computation: { kind: 'sql', sql: { text: COUNT_QUERY } }, ruleId: 'statistic' },
      wait: true,
    });
    assert.deepEqual(
      job?.reasons.map(({ code, remedy }) => [code, remedy]),
      [['rule-unknown', 'name one of: statistics']],
    );
  });

  it('a party that applied is let in only when it is admitted, and one that left never again', async () => {
    const { party, credential } = await world.operator.parties.add({
      name: 'newcomer',
      roles: ['consumer'],
      isApplication: true,
    });
    assert.equal(party?.state, 'applied');
    await using newcomer = connect({ credential: parseCredential(credential) });
    await assert.rejects(newcomer.parties.whoAmI({}), /applied/);
    await assert.rejects(world.operator.parties.suspend({ name: 'newcomer' }), /it is applied/);
    await assert.rejects(acme.parties.admit({ name: 'newcomer' }), /role/);
    assert.equal((await world.operator.parties.admit({ name: 'newcomer' })).party?.state, 'admitted');
    assert.equal((await newcomer.parties.whoAmI({})).party?.name, 'newcomer');
    await assert.rejects(world.operator.parties.admit({ name: 'newcomer' }), /it is admitted/);
    const offered = await hospital.agreements.offer({ dataset: 'visits', consumer: 'newcomer' });
    await newcomer.agreements.accept({ id: offered.agreement?.id ?? '' });
    await assert.rejects(desk.parties.exit({ name: 'newcomer' }), /role/);
    const left = await newcomer.parties.exit({});
    assert.deepEqual([left.party?.state, left.endedAgreements], ['exited', 1]);
    await assert.rejects(newcomer.parties.whoAmI({}), /exited/);
    for (const again of ['admit', 'resume', 'suspend'] as const)
      await assert.rejects(world.operator.parties[again]({ name: 'newcomer' }), /it is exited/);
    const { agreement: ended } = await hospital.agreements.get({ id: offered.agreement?.id ?? '' });
    assert.equal(ended?.state, 'terminated');
    await assert.rejects(world.operator.parties.exit({}), /last operator/);
  });

  it('a delegate submits for who signed its mandate; the result, the budget and the bill are the principal’s', async () => {
    const mandate = await acme.parties.mandate({ delegate: 'desk', notAfterMs: world.now() + HOUR_MS });
    const id = mandate?.id ?? '';
    const job = await ask(desk, id);
    assert.deepEqual([job.state, job.consumer, job.submittedBy, job.ticket], ['released', 'acme', 'desk', null]);
    assert.equal((await desk.jobs.get({ id: job.id })).job?.ticket, null, 'a mandate gives nobody data');
    const { job: mine } = await acme.jobs.get({ id: job.id });
    assert.ok(mine?.ticket !== null && mine !== null);
    assert.equal((await acme.readTable(mine.ticket)).numRows, 3);
    assert.ok((await acme.meters.report({})).lines.some(({ consumer }) => consumer === 'acme'));
    const entries = await world.runtime.store.entries(0, 1000);
    const named = entries.filter((entry) => {
      const opened = readEntry(entry);
      return opened.kind === 'entry' && opened.event.subjects.some(({ sha256 }) => sha256 === mandate?.digest);
    });
    assert.ok(named.length >= 2, 'the log has the mandate, and the decision under it');
    assert.doesNotMatch(Buffer.concat(named).toString(), /acme|desk/);
    await assert.rejects(ask(acme, id), /no mandate/, 'only its delegate acts by it');
    await assert.rejects(ask(hospital, id), /role/);
    assert.equal((await hospital.parties.listMandates({})).mandates.length, 0);

    assert.equal((await desk.parties.revokeMandate({ id })).mandate?.state, 'revoked');
    await assert.rejects(ask(desk, id), /no mandate/);
    await assert.rejects(acme.parties.revokeMandate({ id }), /revoked already/);
  });

  it('a mandate ends with its time, covers what it names, and with its delegate’s admission', async () => {
    const other = await acme.parties.mandate({
      delegate: 'desk',
      agreements: ['agr-of-nobody'],
      notAfterMs: world.now() + HOUR_MS,
    });
    assert.equal((await ask(desk, other?.id)).reasons[0]?.code, 'agreement-not-active');
    const short = await acme.parties.mandate({ delegate: 'desk', notAfterMs: world.now() + HOUR_MS });
    assert.equal((await ask(desk, short?.id)).state, 'released');
    // Who cannot act itself lets nobody act for it, nor look at what it could ask.
    const question = { computation: { kind: 'sql' as const, sql: { text: COUNT_QUERY } }, mandateId: short?.id ?? '' };
    await world.operator.parties.suspend({ name: 'acme' });
    await assert.rejects(ask(desk, short?.id), /no mandate/);
    await assert.rejects(desk.jobs.explain({ job: question }), /no mandate/);
    await world.operator.parties.resume({ name: 'acme' });
    assert.equal((await ask(desk, short?.id)).state, 'released');
    world.pass(HOUR_MS);
    await assert.rejects(ask(desk, short?.id), /no mandate/);
    const { mandates } = await acme.parties.listMandates({});
    assert.equal(mandates.find(({ id }) => id === short?.id)?.state, 'expired');
  });

  it('revoking a mandate stops its running jobs, and nothing of them leaves', async () => {
    const mandate = await acme.parties.mandate({ delegate: 'desk', notAfterMs: world.now() + HOUR_MS });
    const id = mandate?.id ?? '';
    const { store } = world.runtime;
    const commit = store.commitRelease.bind(store);
    // The last moment: everything was computed, and the release is about to be recorded.
    store.commitRelease = async (input) => {
      store.commitRelease = commit;
      await acme.parties.revokeMandate({ id });
      return await commit(input);
    };
    const job = await ask(desk, id);
    assert.equal(job.state, 'stopped');
    assert.equal((await acme.jobs.get({ id: job.id })).job?.ticket, null);
  });

  it('a forged, foreign, endless or replayed mandate is refused', async () => {
    const { authority } = await acme.parties.whoAmI({});
    const { credential } = await world.operator.parties.add({ name: 'mallory', roles: ['consumer'] });
    const bundle = parseCredential(credential);
    await using mallory = connect({ credential: bundle });
    const now = world.now();
    const terms = { id: 'mdt-forged-1', authority, principal: 'mallory', delegate: 'desk', agreements: [] };
    const content = mandateContent({ ...terms, notBeforeMs: now, notAfterMs: now + HOUR_MS });
    const sign = (text: string): ReturnType<typeof signJws> =>
      signJws(text, { kind: 'mandate', party: 'mallory', key: bundle.signingKey });
    const give = (text: string, signature = sign(text)): Promise<unknown> =>
      mallory.parties.grantMandate({ content: text, signature });
    await assert.rejects(give(content.replace('"mallory"', '"acme"')), /only `acme`/);
    await assert.rejects(give(content.replace(authority, 'elsewhere')), /another runtime/);
    await assert.rejects(give(` ${content}`), /not that of a mandate/);
    await assert.rejects(give(content.replace(`${now + HOUR_MS}`, `${now + 9e12}`)), /not that of a mandate/);
    await assert.rejects(give(content.replace('"desk"', '"nobody"')), /no admitted party/);
    const asPolicy = signJws(content, { kind: 'policy', party: 'mallory', key: bundle.signingKey });
    await assert.rejects(give(content, asPolicy), /not signed/);
    await give(content);
    await assert.rejects(give(content), /exists/);
    assert.equal((await ask(desk, 'mdt-forged-1')).reasons[0]?.code, 'agreement-not-active');
  });

  it('service roles reach what they are for: evidence, meters, code, keys — and no data', async () => {
    const auditor = await world.party('auditor', ['auditor']);
    const clearing = await world.party('clearing', ['clearing']);
    const reviewer = await world.party('reviewer', ['reviewer']);
    const custodian = await world.party('custodian', ['custodian']);
    const job = await ask(acme);
    const reach: Readonly<Record<string, (as: Glovebox) => Promise<unknown>>> = {
      'read the log': (as) => as.evidence.listEntries({ start: 0n, limit: 1 }),
      'read any job': (as) => as.jobs.get({ id: job.id }),
      'read any agreement': (as) => as.agreements.get({ id: agreement }),
      'check the meter': (as) => as.meters.check({}),
      'split revenue': (as) => as.meters.split({ by: 'charge' }),
      settle: (as) => as.meters.settle({ agreementId: agreement }),
      'see the dataset': async (as) => {
        const { datasets } = await as.catalogue.list({});
        if (datasets.length === 0) throw new Error('role: sees none');
      },
      'submit a job': (as) => ask(as),
      'fetch a result': (as) => as.readTable(job.ticket ?? Buffer.from('none')),
      'get a ticket': async (as) => {
        if ((await as.jobs.get({ id: job.id })).job?.ticket === null) throw new Error('role: no ticket');
      },
      'offer an agreement': (as) => as.agreements.offer({ dataset: 'visits', consumer: 'acme' }),
      'suspend an agreement': (as) => as.agreements.suspend({ id: agreement }),
      'attach a policy': (as) => as.policies.attach({ document: 'x', fileName: 'p.yaml' }),
      'admit a party': (as) => as.parties.add({ name: 'x', roles: ['consumer'] }),
      'throw a switch': (as) => as.operator.stopAll({}),
    };
    const may = async (as: Glovebox): Promise<readonly string[]> => {
      const can: string[] = [];
      for (const [what, tries] of Object.entries(reach)) {
        try {
          await tries(as);
          can.push(what);
        } catch {
          // Refused: by its role, or because there is nothing of its own.
        }
      }
      return can;
    };
    assert.deepEqual(await may(auditor), [
      'read the log',
      'read any job',
      'read any agreement',
      'check the meter',
      'see the dataset',
    ]);
    assert.deepEqual(await may(clearing), ['check the meter', 'split revenue', 'settle']);
    assert.deepEqual(await may(reviewer), []);
    assert.deepEqual(await may(custodian), [], 'the role alone keeps nothing');
    await hospital.catalogue.setCustodian({ dataset: 'visits', custodian: 'custodian' });
    assert.deepEqual(await may(custodian), ['see the dataset'], 'what it keeps, and no more of it than that');
    await hospital.catalogue.setCustodian({ dataset: 'visits', custodian: '' });
    assert.deepEqual(await may(custodian), []);
    const { lines } = await clearing.meters.report({});
    assert.ok(lines.length > 0, 'clearing reads all meters');
    assert.equal((await reviewer.meters.report({})).lines.length, 0);
    assert.equal((await custodian.evidence.getCheckpoint({})).treeSize > 0n, true, 'the head of the log is public');
    assert.equal((await ask(acme)).state, 'released', 'nobody has stopped anything');
  });

  it('a custodian keeps what its provider named it for: versions, verification, deletion, each on record', async () => {
    const archive = await world.party('archive', ['custodian']);
    const verdictOf = async (as: Glovebox): Promise<boolean | undefined> => {
      for await (const { event } of as.catalogue.verify({ name: 'visits' }))
        if (event?.kind === 'verdict') return event.verdict.isIntact;
      return undefined;
    };
    await assert.rejects(verdictOf(archive), /no dataset/);
    await assert.rejects(addDataset(world, archive, 'visits', VISITS), /register datasets but those that it keeps/);
    await assert.rejects(addDataset(world, archive, 'own', VISITS), /register datasets but those that it keeps/);
    for (const [as, custodian, why] of [
      [acme, 'archive', /role/],
      [hospital, 'acme', /no admitted party/],
      [hospital, 'nobody', /no admitted party/],
    ] as const)
      await assert.rejects(as.catalogue.setCustodian({ dataset: 'visits', custodian }), why);
    await world.party('both', ['custodian', 'consumer']);
    await assert.rejects(
      hospital.catalogue.setCustodian({ dataset: 'visits', custodian: 'both' }),
      /is a consumer, too/,
    );
    await hospital.catalogue.setCustodian({ dataset: 'visits', custodian: 'archive' });
    assert.equal(await verdictOf(archive), true);
    await addDataset(world, archive, 'visits', `${VISITS}\np60,w0,100`);
    const { dataset } = await archive.catalogue.get({ name: 'visits' });
    assert.deepEqual(
      [dataset?.provider, dataset?.version, dataset?.custodian, dataset?.tables, dataset?.policyVersion],
      ['hospital', 2, 'archive', [], 0],
    );
    assert.equal((await acme.catalogue.get({ name: 'visits' })).dataset?.custodian, '', 'consumers need not know');
    await assert.rejects(archive.catalogue.grade({ name: 'visits', grade: 'public' }), /role/);
    const { tables, registeredAtMs } = (await hospital.catalogue.get({ name: 'visits' })).dataset ?? {};
    assert.ok(tables?.[0]?.rowCount === 121n && registeredAtMs !== undefined, 'it stays its provider’s');
    const facts = (await world.runtime.store.entries(0, 1000)).flatMap((entry) => {
      const opened = readEntry(entry);
      return opened.kind === 'entry' && opened.event.kind.startsWith('dataset.') ? [opened.event] : [];
    });
    const custody = facts.findLast(({ kind }) => kind === 'dataset.custody');
    const registered = facts.findLast(({ kind }) => kind === 'dataset.registered');
    assert.match(String(custody?.facts['custodian']), /^p:[0-9a-f]{32}$/);
    assert.equal(registered?.facts['custodian'], custody?.facts['custodian']);
    assert.notEqual(registered?.facts['provider'], registered?.facts['custodian']);
    await hospital.catalogue.setCustodian({ dataset: 'visits', custodian: '' });
    await assert.rejects(verdictOf(archive), /no dataset/);
  });

  it('a party that has left is erased: its entries stay and verify, and nobody can tell that they are its own', async () => {
    const leaver = await world.party('leaver', ['consumer']);
    const offered = await hospital.agreements.offer({ dataset: 'visits', consumer: 'leaver' });
    await leaver.agreements.accept({ id: offered.agreement?.id ?? '' });
    const job = await ask(leaver);
    assert.equal(job.state, 'released');
    const { store } = world.runtime;
    const partyOf = async (): Promise<readonly (readonly [string, number])[]> => {
      const size = Number((await store.checkpoint()).split('\n')[1]);
      return (await store.entries(0, size)).flatMap((entry, position) => {
        const opened = readEntry(entry);
        const party = opened.kind === 'entry' ? opened.event.facts['party'] : undefined;
        return typeof party === 'string' ? [[party, position] as const] : [];
      });
    };
    const salt = store.peek<{ salt: string }>('salt', 'leaver')?.body.salt ?? '';
    const was = pseudonymOf(Buffer.from(salt, 'hex'), 'leaver');
    const its = (await partyOf()).filter(([party]) => party === was).map(([, position]) => position);
    assert.ok(its.length >= 2, 'its salt tells its entries');
    assert.notEqual(salt, store.peek<{ salt: string }>('salt', 'acme')?.body.salt);
    await assert.rejects(world.operator.parties.erase({ name: 'leaver' }), /once it has exited/);
    await leaver.parties.exit({});
    await assert.rejects(hospital.parties.erase({ name: 'leaver' }), /role/);
    const of = offered.agreement?.id ?? '';
    const { dispute } = await hospital.agreements.openDispute({ agreementId: of, text: 'the bill is not paid' });
    await assert.rejects(world.operator.parties.erase({ name: 'leaver' }), /dispute .* is open/);
    await hospital.agreements.resolveDispute({ id: dispute?.id ?? '', resolution: 'paid' });
    const { party, isShared } = await world.operator.parties.erase({ name: 'leaver' });
    assert.deepEqual([party?.state, party?.credentialFingerprint, isShared], ['exited', '', false]);
    assert.deepEqual(store.peek('salt', 'leaver')?.body, {});
    assert.equal(
      (await partyOf()).filter(([one]) => one === was).length,
      its.length + 1,
      'the log forgets nothing, its exit included',
    );
    for (const index of its) {
      const receipt = (await store.receipt(index)) ?? '';
      assert.equal(verifyReceipt(receipt, store.verifierKey).kind, 'verified');
    }
    const state = (): string =>
      readdirSync(join(world.folder, 'data'), { recursive: true, withFileTypes: true })
        .filter((one) => one.isFile() && one.name.includes('.db'))
        .map((one) => readFileSync(join(one.parentPath, one.name), 'latin1'))
        .join('');
    assert.ok(state().includes(store.peek<{ salt: string }>('salt', 'acme')?.body.salt ?? '?'));
    await assert.rejects(world.operator.parties.add({ name: 'leaver', roles: ['consumer'] }), /exists/);
    assert.equal((await world.operator.parties.renew({ name: 'leaver' })).party?.state, 'exited');
    const after = await partyOf();
    assert.equal(after.at(-1)?.[0], `p:${'0'.repeat(32)}`, 'what is recorded later names nobody');
    assert.equal((await ask(acme)).state, 'released', 'others are who they were');
    await world.runtime[Symbol.asyncDispose]();
    assert.ok(!state().includes(salt), 'once the state is closed its files hold the salt no more');
  });
});
