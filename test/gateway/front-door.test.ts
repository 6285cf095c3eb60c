import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { GloveboxError } from '../../runtime/client/error.ts';
import type { Glovebox } from '../../runtime/client/connect.ts';
import { SERVICE_NAMES } from '../../runtime/gen/services.ts';
import { PARTY_ROLES, type PartyRole } from '../../runtime/identity/party.ts';
import { schema } from '../../runtime/rpc/schema.ts';
import { agreedWorld, COUNT_QUERY, POLICY, type RuntimeWorld, runtimeWorld } from './runtime-world.ts';

/** Rpcs that look at the caller's role before anything else, with who passes. */
const ROLES: Readonly<Record<string, readonly PartyRole[]>> = {
  'AgreementService.Offer': ['provider'],
  'BudgetService.Grant': ['provider'],
  'CatalogService.RegisterDataset': ['provider', 'custodian'],
  'CatalogService.SetCustodian': ['provider'],
  'CatalogService.Grade': ['provider'],
  'EvidenceService.ListEntries': ['operator', 'auditor'],
  'EvidenceService.Export': ['operator', 'auditor'],
  'HomomorphicService.Upload': ['provider', 'consumer'],
  'HomomorphicService.RegisterEncrypted': ['provider'],
  'AgreementService.SaveProject': ['consumer'],
  'MeterService.Check': ['operator', 'auditor', 'clearing'],
  'MeterService.Split': ['operator', 'clearing'],
  'JobService.Submit': ['consumer'],
  'JobService.Explain': ['consumer'],
  'JobService.Debug': ['consumer'],
  'OperatorService.StopAll': ['operator'],
  'OperatorService.ResumeAll': ['operator'],
  'OperatorService.Status': ['operator', 'auditor'],
  'OperatorService.Drain': ['operator'],
  'OperatorService.SetExportList': ['operator'],
  'OperatorService.GetExportList': ['operator', 'auditor', 'provider'],
  'OperatorService.ListAlerts': ['operator', 'auditor', 'provider'],
  'OperatorService.AcknowledgeAlert': ['operator'],
  'OperatorService.Backup': ['operator'],
  'PartyService.Add': ['operator'],
  'PartyService.List': ['operator', 'auditor', 'provider'],
  'PartyService.Admit': ['operator'],
  'PartyService.Erase': ['operator'],
  'PartyService.Suspend': ['operator'],
  'PartyService.Resume': ['operator'],
  'PartyService.Trust': ['operator'],
  'PartyService.RevokeTrust': ['operator'],
  'PartyService.ListTrust': ['operator', 'auditor', 'provider'],
  'PartyService.Recognise': ['operator'],
  'PolicyService.Attach': ['provider'],
  'TableService.Upload': ['consumer'],
  'TableService.List': ['consumer'],
  'TableService.Remove': ['consumer'],
};
/** Rpcs that answer each caller with what is its own: empty requests name nothing of anybody. */
const OWN =
  'AgreementService.Sign Accept Counter List Get Suspend Resume Terminate Fulfil OpenDispute ' +
  'ResolveDispute ListDisputes ListProjects BudgetService.Get List ' +
  'CatalogService.List Get Verify Twin CodeService.Submit Review Approve Reject Revoke List ' +
  'EvidenceService.GetReceipt GetCheckpoint Verify HomomorphicService.GetUpload Run ChooseParameters List RevokeKey ' +
  'SetDecryptor GetTranscriptKey Fetch Withdraw ImageService.List Get JobService.Get List Watch Cancel MeterService.Report TopUp ' +
  'Settle PartyService.WhoAmI Renew Exit GrantMandate RevokeMandate ListMandates PolicyService.Check Get Test Explain Diff';

const PLACES = {
  AgreementService: 'agreements',
  BudgetService: 'budgets',
  CatalogService: 'catalogue',
  CodeService: 'code',
  EvidenceService: 'evidence',
  HomomorphicService: 'homomorphic',
  ImageService: 'images',
  JobService: 'jobs',
  MeterService: 'meters',
  OperatorService: 'operator',
  PartyService: 'parties',
  PolicyService: 'policies',
  TableService: 'tables',
} as const satisfies Record<(typeof SERVICE_NAMES)[number], keyof Glovebox>;
type Service = keyof typeof PLACES;

const METHODS = SERVICE_NAMES.flatMap((service) =>
  schema()
    .lookupService(`glovebox.v1.${service}`)
    .methodsArray.map(({ name, requestStream }) => ({ service, name, isUpload: requestStream === true })),
);

/** Calls an rpc and reads its answer to the end: `code: message` of its failure, else `ok`. */
async function ask(client: Glovebox, service: Service, name: string, request: object): Promise<string> {
  const rpc = (client[PLACES[service]] as unknown as Record<string, (request: object) => unknown>)[
    name.charAt(0).toLowerCase() + name.slice(1)
  ];
  assert.ok(rpc, `${service}.${name} is not in the client`);
  try {
    const answer = rpc.call(client[PLACES[service]], request);
    if (typeof answer === 'object' && answer !== null && Symbol.asyncIterator in answer)
      for await (const message of answer as AsyncIterable<unknown>) assert.ok(message);
    else await answer;
    return 'ok';
  } catch (error) {
    if (!(error instanceof GloveboxError)) throw error;
    return `${error.code}: ${error.message}`;
  }
}

describe('the front door', () => {
  let world: RuntimeWorld;
  let hospital: Glovebox;
  let acme: Glovebox;
  let stranger: Glovebox;
  let agreement: string;
  before(async () => {
    world = await runtimeWorld();
    ({ hospital, acme, agreement } = await agreedWorld(world));
    stranger = await world.party(
      'stranger',
      PARTY_ROLES.filter((role) => role !== 'operator' && role !== 'auditor'),
    );
  });
  after(() => world[Symbol.asyncDispose]());

  it('knows for every rpc who may call it: no role gets further than the table says', async () => {
    let service = '';
    const own = OWN.split(' ').map((one) => {
      if (one.includes('.')) [service = ''] = one.split('.');
      return one.includes('.') ? one : `${service}.${one}`;
    });
    assert.deepEqual(
      METHODS.map((method) => `${method.service}.${method.name}`).toSorted(),
      [...Object.keys(ROLES), ...own].toSorted(),
      'an rpc without a line here: who may call it?',
    );
    const parties = new Map<PartyRole, Glovebox>();
    for (const role of PARTY_ROLES) parties.set(role, await world.party(`only-${role}`, [role]));
    for (const { service: of, name, isUpload } of METHODS) {
      const allowed = ROLES[`${of}.${name}`];
      for (const [role, client] of parties) {
        // Stopping and draining would stop the rest of the test: they are only tried by those who may not.
        if (allowed?.includes(role) !== false && /^(Drain|StopAll|Exit)$/.test(name)) continue;
        const request = isUpload ? (async function* () {})() : {};
        const answer = await ask(client, of, name, request);
        const isRefused = answer.startsWith('role-missing');
        assert.equal(isRefused, allowed?.includes(role) === false, `${role} → ${of}.${name}: ${answer}`);
        if (isRefused) assert.match(answer, /needs the role `|may not/, 'it says which role it would take');
      }
    }
  });

  it('answers for what is somebody else’s word for word as for what does not exist', async () => {
    const { job } = await acme.jobs.submit({
      job: { computation: { kind: 'sql', sql: { text: COUNT_QUERY } } },
      wait: true,
    });
    const jobId = job?.id ?? '';
    const signature = { protectedHeader: 'e30', signature: 'AAAA' };
    const probes: readonly (readonly [Service, string, string, (id: string) => object])[] = [
      ...['Get', 'Suspend', 'Resume', 'Terminate'].map(
        (name) => ['AgreementService', name, agreement, (id: string) => ({ id })] as const,
      ),
      ['AgreementService', 'Sign', agreement, (id) => ({ id, signature })],
      ['AgreementService', 'Accept', agreement, (id) => ({ id, signature })],
      ['AgreementService', 'Counter', agreement, (id) => ({ id, policyDocument: POLICY() })],
      ['AgreementService', 'Fulfil', agreement, (id) => ({ id, duty: '0' })],
      ['AgreementService', 'Offer', 'visits', (dataset) => ({ dataset, consumer: 'acme' })],
      ['AgreementService', 'Offer', 'visits', (dataset) => ({ dataset, consumer: 'acme', policyVersion: 7 })],
      ...['Get', 'Watch', 'Cancel'].map((name) => ['JobService', name, jobId, (id: string) => ({ id })] as const),
      ['EvidenceService', 'GetReceipt', jobId, (id) => ({ of: { kind: 'jobId', jobId: id } })],
      ...['Get', 'Verify', 'Twin'].map(
        (name) => ['CatalogService', name, 'visits', (id: string) => ({ name: id })] as const,
      ),
      ['PolicyService', 'Get', 'visits', (dataset) => ({ dataset })],
      [
        'PolicyService',
        'Attach',
        'visits',
        (id) => ({ document: POLICY().replace('dataset: visits', `dataset: ${id}`) }),
      ],
      [
        'PolicyService',
        'Attach',
        'visits',
        (id) => ({ document: MISFIT.replace('dataset: visits', `dataset: ${id}`) }),
      ],
      ['BudgetService', 'Grant', 'visits', (dataset) => ({ dataset, order: ORDER, kind: 'count' })],
      ['HomomorphicService', 'SetDecryptor', 'visits', (dataset) => ({ dataset })],
      ['OperatorService', 'StopAll', 'visits', (id) => ({ scope: { what: { kind: 'dataset', dataset: id } } })],
      ['OperatorService', 'StopAll', agreement, (id) => ({ scope: { what: { kind: 'agreement', agreement: id } } })],
      ['OperatorService', 'ResumeAll', agreement, (id) => ({ scope: { what: { kind: 'agreement', agreement: id } } })],
      ['CodeService', 'Submit', 'visits', (dataset) => ({ dataset, name: 'x', program: { source: '1' } })],
    ];
    for (const [service, name, real, request] of probes) {
      const absent = `${real.slice(0, -1)}${real.endsWith('0') ? '1' : '0'}`;
      const [theirs, nobodys] = [
        await ask(stranger, service, name, request(real)),
        await ask(stranger, service, name, request(absent)),
      ];
      assert.equal(theirs.replaceAll(real, 'ID'), nobodys.replaceAll(absent, 'ID'), `${service}.${name}`);
      assert.match(theirs, /^not-found/, `${service}.${name}`);
    }
  });

  it('says which name is missing when a request names nothing', async () => {
    const everyRole = await world.party('every-role', PARTY_ROLES);
    let named = 0;
    for (const { service: of, name, isUpload } of METHODS) {
      if (isUpload || /^(Drain|StopAll|ResumeAll|Exit|Renew)$/.test(name)) continue;
      const answer = await ask(everyRole, of, name, {});
      // The budget to grant is named within an order that may be signed elsewhere.
      if (name !== 'Grant') assert.doesNotMatch(answer, /^not-found: .*``/, `${of}.${name}`);
      if (/^argument-not-valid: `\w+` is empty: name what the request is about/.test(answer)) named += 1;
    }
    assert.ok(named > 30, `${named} rpcs`);
    assert.match(await ask(stranger, 'PartyService', 'Admit', {}), /^role-missing/, 'who may call comes first');
  });

  it('tells nobody but insiders what a policy does not fit in a dataset', async () => {
    const check = async (client: Glovebox, document: string): Promise<readonly string[]> =>
      (await client.policies.check({ document, fileName: 'p.yaml' })).complaints.map(({ message }) => message);
    assert.match(String(await check(hospital, MISFIT)), /`phone` is not in table/);
    for (const party of [acme, stranger]) {
      assert.deepEqual(await check(party, MISFIT), []);
      assert.deepEqual(await check(party, MISFIT.replace('dataset: visits', 'dataset: nothing')), []);
      assert.match(String(await check(party, 'nonsense')), /./, 'the document itself is still checked');
    }
  });

  it('lets no consumer choose rows, clips or units by a counter-offer, nor find columns that its offer does not show', async () => {
    const { agreement: offered } = await hospital.agreements.offer({ dataset: 'visits', consumer: 'acme' });
    const id = offered?.id ?? '';
    const counter = (policyDocument: string): ReturnType<Glovebox['agreements']['counter']> =>
      acme.agreements.counter({ id, policyDocument });
    const unshown = POLICY().replace('cost:', 'hidden:').replace('[aggregate], bounds: [0, 200]', '[aggregate]');
    assert.match((await counter(unshown)).reasons[0]?.message ?? '', /`hidden` is not in table/);
    const narrowed = POLICY().replace('    columns:', '    rows: "patient_id <> \'p7\'"\n    columns:');
    const answer = await counter(narrowed);
    assert.equal(answer.agreement?.state, 'offered', 'it waits for the provider');
    assert.match(answer.reasons[0]?.message ?? '', /rows` chooses what is looked at/);
    const { job } = await acme.jobs.submit({
      job: { computation: { kind: 'sql', sql: { text: COUNT_QUERY } }, agreementIds: [answer.agreement.id] },
      wait: true,
    });
    assert.deepEqual([job?.state, job?.reasons[0]?.code], ['denied', 'agreement-not-active']);
    await acme.agreements.terminate({ id: answer.agreement.id });
  });

  it('bounds what a request can put on record', async () => {
    const sql = { kind: 'sql' as const, sql: { text: COUNT_QUERY } };
    const long = 'x'.repeat(300);
    for (const job of [
      { computation: sql, agreementIds: Array.from({ length: 65 }, () => 'a') },
      { computation: sql, agreementIds: [long] },
      { computation: sql, ruleId: long },
      { computation: sql, purpose: long },
      { computation: sql, idempotencyKey: long },
    ])
      assert.match(await ask(acme, 'JobService', 'Submit', { job }), /^argument-not-valid/);
    const note = 'n'.repeat(2001);
    for (const name of ['Suspend', 'Terminate'])
      assert.match(await ask(acme, 'AgreementService', name, { id: agreement, note }), /^argument-not-valid.*note/);
    const huge = { kind: 'sql' as const, sql: { text: `select '${'x'.repeat(1 << 20)}'` } };
    const { job } = await acme.jobs.submit({ job: { computation: huge, agreementIds: [agreement] }, wait: true });
    assert.deepEqual(
      job?.reasons.map(({ code }) => code),
      ['query-too-long'],
    );
    const kept = JSON.stringify(await world.runtime.store.job(job.id));
    assert.ok(kept.length < 4096, `${kept.length} characters on record`);
  });

  it('gives one party only so many credentials', async () => {
    const party = await world.party('renewer', ['consumer']);
    let answer = 'ok';
    for (let turn = 0; answer === 'ok' && turn < 40; turn += 1)
      answer = await ask(party, 'PartyService', 'Renew', { name: 'renewer' });
    assert.match(answer, /^wrong-state.*valid credentials/);
    assert.match(await ask(party, 'PartyService', 'Renew', { name: 'acme' }), /^role-missing/, 'its own alone');
    assert.equal(await ask(party, 'PartyService', 'Renew', { name: 'renewer', revokeOld: true }), 'ok');
  });

  it('lists every job, however many there are', async () => {
    const { store } = world.runtime;
    const one = (await acme.jobs.list({ page: { size: 1, token: '' } })).jobs[0];
    const record = await store.job(one?.id ?? '');
    assert.ok(record);
    const copies = Array.from({ length: 1100 }, (_, n) => ({ ...record, id: `job-copy${n}`, owner: 'renewer' }));
    await store.transact(copies.map((copy) => ({ do: 'put', record: copy })));
    const seen = new Set<string>();
    for (let token = '', more = true; more;) {
      const page = await world.operator.jobs.list({ consumer: 'renewer', page: { size: 400, token } });
      for (const { id } of page.jobs) seen.add(id);
      token = page.nextPageToken;
      more = token !== '';
    }
    assert.equal(seen.size, 1100);
  });
});

/** Speaks of a column that the dataset does not have. */
const MISFIT = POLICY().replace('ward:', 'phone:');
const ORDER = JSON.stringify({ id: 'order-00001', budget: 'b', amount: '1', by: 'stranger', atMs: 1 });
