import assert from 'node:assert/strict';
import { createHash, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { pino } from 'pino';
import { startServer, type RunningServer } from '../../runtime/cli/start-server.ts';
import { connect, type Glovebox } from '../../runtime/client/connect.ts';
import { ED25519_COSIGNATURE, formatVerifierKey } from '../../runtime/evidence/note.ts';
import { verifyReceipt } from '../../runtime/evidence/receipt.ts';
import { readEntry } from '../../runtime/evidence/entry.ts';
import { recogniseReceipt } from '../../runtime/evidence/known-logs.ts';
import { type CredentialBundle, parseCredential } from '../../runtime/identity/credential.ts';
import { type Introduction, introductionText } from '../../runtime/identity/introduction.ts';
import { keyPinOf, parseRuntimeCard, type RuntimeCard, runtimeCardText } from '../../runtime/identity/runtime-card.ts';
import { isTrusted, trustedAuthorities, listedLogs } from '../../runtime/gateway/parties/trust-list.ts';
import { logOf, newSigner, receiptOf } from '../evidence/world.ts';
import { type Authority, createAuthority, issueCredential, serverNameOf } from '../../runtime/rpc/authority.ts';

/** Two runtimes that know nothing of each other: `here`, and `there`, whose party acme wants to work here. */
const closing = new AsyncDisposableStack();
const thereLog = logOf(5, newSigner('there.example/evidence'));
let here: RunningServer;
let operator: Glovebox;
let card: RuntimeCard;
let there: Authority;
let thereCard: RuntimeCard;
let acme: CredentialBundle;
let ours: Awaited<ReturnType<typeof issueCredential>>['bundle'];
const log = pino({ level: 'silent' });

const issued = async (of: Authority, party: string, days = 30, nowMs = Date.now()): Promise<CredentialBundle> =>
  (await issueCredential(of, { party, roles: ['consumer'], server: 'there.example:7410', nowMs, days })).bundle;

before(async () => {
  const folder = mkdtempSync(join(tmpdir(), 'glovebox-trust-'));
  closing.defer(() => rmSync(folder, { recursive: true, force: true }));
  here = await startServer({ dataDirectory: folder, host: '127.0.0.1', port: 0, log }, closing);
  operator = connect({ credential: here.credential });
  closing.defer(() => operator.close());
  const { authority } = await operator.parties.whoAmI({});
  const { verifierKey } = await operator.evidence.getCheckpoint({});
  const { ca } = parseCredential(readFileSync(here.credential, 'utf8'));
  card = { authority, certificate: ca, verifierKey, server: here.address };
  there = await createAuthority(Date.now());
  thereCard = {
    authority: there.name,
    certificate: there.certificate,
    verifierKey: formatVerifierKey(thereLog.signer.verifier),
    server: 'there.example:7410',
  };
  acme = await issued(there, 'acme');
  ours = parseCredential((await operator.parties.add({ name: 'local-one', roles: ['consumer'] })).credential);
});
after(() => closing.disposeAsync());

function introduce(
  by: CredentialBundle,
  changes: Partial<Introduction> = {},
  keys: Partial<CredentialBundle> = {},
): string {
  const { certificate, signingPublicKey, key: certificateKey, signingKey } = { ...by, ...keys };
  const plain = {
    name: by.party,
    audience: card.authority,
    certificate: by.certificate,
    signingPublicKey,
    atMs: Date.now(),
  };
  return introductionText({ ...plain, certificate, ...changes }, { certificateKey, signingKey });
}
/** A connection here with a credential from there. */
function visit(by: CredentialBundle, name = by.party): Glovebox {
  const credential = {
    ...by,
    party: name,
    server: here.address,
    serverName: serverNameOf({ name: card.authority }),
    ca: card.certificate,
  };
  const client = connect({ credential });
  closing.defer(() => client.close());
  return client;
}
const codeOf = async (call: Promise<unknown>): Promise<string> =>
  await call.then(
    () => 'ok',
    (error: unknown) => (error as { readonly code: string }).code,
  );

test('nobody of another runtime gets in before it is trusted, nor by that alone', async () => {
  assert.equal(await codeOf(visit(acme).parties.whoAmI({})), 'credential-unknown');
  assert.match(
    await message(operator.parties.recognise({ introduction: introduce(acme), roles: ['consumer'] })),
    /not on the trust list/,
  );
  await assert.rejects(
    operator.parties.trust({ card: runtimeCardText(thereCard), keyPin: 'a'.repeat(64) }),
    /not the one you were told/,
  );
  const { runtime } = await operator.parties.trust({
    card: runtimeCardText(thereCard),
    keyPin: keyPinOf(there.certificate),
  });
  assert.deepEqual([runtime?.authority, runtime?.isTrusted, runtime?.parties], [there.name, true, []]);
  assert.equal(await codeOf(visit(acme).parties.whoAmI({})), 'credential-unknown', 'trusted is not admitted');
});

const message = async (call: Promise<unknown>): Promise<string> =>
  await call.then(
    () => 'ok',
    (error: unknown) => (error as Error).message,
  );

test('an introduction speaks for whoever holds its keys, to this runtime, soon after, and for nothing else', async () => {
  const other = await issued(there, 'other');
  const rogue = await createAuthority(Date.now());
  const forged = await issued({ ...rogue, name: there.name }, 'acme');
  const posing = await issued({ ...there, name: card.authority }, 'operator');
  const spare = generateKeyPairSync('ed25519').publicKey.export({ format: 'jwk' }).x ?? '';
  const day = 24 * 3_600_000;
  for (const [introduction, why] of [
    [introduce(acme, { audience: there.name }), /for the runtime/],
    [introduce(acme, { atMs: Date.now() - 8 * day }), /older than 7 days/],
    [introduce(acme, { atMs: Date.now() + day }), /of the future/],
    [introduce(acme, { name: 'Not A Name' }), /not the name of a party/],
    [introduce(acme, { certificate: other.certificate }), /not signed with the key of its certificate/],
    [introduce(acme, {}, { key: other.key }), /not signed with the key of its certificate/],
    [introduce(acme, { signingPublicKey: spare }), /not signed with the key that it names/],
    [introduce(acme, { signingPublicKey: 'AAAA' }), /not signed with the key that it names/],
    [introduce(acme, { certificate: there.certificate }), /names no other runtime/],
    [introduce(acme, { certificate: acme.certificate + there.certificate }), /holds no certificate/],
    [introduce(forged), /not issued by the authority/],
    [introduce(posing), /names no other runtime/],
    [introduce(ours), /names no other runtime/],
    [introduce(await issued(there, 'late', 1, Date.now() - 3 * day)), /expired/],
    [introduce(acme).replace('"content": "{\\"type\\"', '"content": "{ \\"type\\"'), /not in the form/],
    [introduce(acme).replace('acme', 'acne'), /not signed/],
    ['', /not JSON/],
    ['[]', /no JSON object/],
    ['{}', /format/],
    ['x'.repeat(20_000), /longer than/],
  ] as const)
    assert.match(await message(operator.parties.recognise({ introduction, roles: ['consumer'] })), why);
  const whole = introduce(acme);
  assert.match(
    await message(
      operator.parties.recognise({ introduction: introduce(acme, { name: 'runtime' }), roles: ['consumer'] }),
    ),
    /runtime's own/,
  );
  await assert.rejects(
    operator.parties.recognise({ introduction: whole, roles: ['operator'] }),
    /cannot be an operator/,
  );
  await assert.rejects(
    operator.parties.recognise({ introduction: introduce(acme, { name: 'local-one' }), roles: ['consumer'] }),
    /exists/,
  );
  assert.deepEqual((await operator.parties.listTrust({})).runtimes[0]?.parties, []);
});

test('a recognised party works here under its own certificate, and the list says who certified it', async () => {
  const { party } = await operator.parties.recognise({ introduction: introduce(acme), roles: ['consumer'] });
  assert.deepEqual([party?.state, party?.authority], ['admitted', there.name]);
  const visitor = visit(acme);
  const { party: me } = await visitor.parties.whoAmI({});
  assert.deepEqual([me?.name, me?.spiffeId], ['acme', `spiffe://${there.name}/party/acme`]);
  const { parties } = await operator.parties.list({});
  assert.deepEqual(
    parties.filter(({ authority }) => authority !== '').map(({ name }) => name),
    ['acme'],
  );
  assert.equal(
    await codeOf(visit(await issued(there, 'acme')).parties.whoAmI({})),
    'credential-unknown',
    'same name, key not pinned',
  );
  await assert.rejects(visitor.parties.renew({ name: 'acme' }), /renews there/);
  await assert.rejects(
    operator.parties.recognise({ introduction: introduce(acme, { name: 'twin' }), roles: ['consumer'] }),
    /belongs to another party/,
  );
});

test('a renewed certificate is introduced again; then the old one opens nothing', async () => {
  const renewed = await issued(there, 'acme');
  await operator.parties.recognise({ introduction: introduce(renewed), roles: ['consumer'] });
  assert.equal(await codeOf(visit(renewed).parties.whoAmI({})), 'ok');
  assert.equal(await codeOf(visit(acme).parties.whoAmI({})), 'credential-unknown');
  await operator.parties.suspend({ name: 'acme' });
  const third = await issued(there, 'acme');
  await operator.parties.recognise({ introduction: introduce(third), roles: ['consumer'] });
  assert.equal(await codeOf(visit(third).parties.whoAmI({})), 'party-not-admitted', 'a suspension is not lifted by it');
  await operator.parties.resume({ name: 'acme' });
  assert.equal(await codeOf(visit(third).parties.whoAmI({})), 'ok');
  acme = third;
});

test('receipts of a trusted runtime are recognised by its log’s key, and no others', async () => {
  const verified = async (text: string): Promise<string> => {
    const { isValid, checks } = await operator.evidence.verify({ document: Buffer.from(text) });
    return isValid ? (checks[1] ?? '') : 'not valid';
  };
  assert.match(await verified(receiptOf(thereLog, 3)), /`there.example\/evidence` of a runtime on the trust list/);
  assert.equal(await verified(receiptOf(logOf(5, newSigner('there.example/evidence')), 3)), 'not valid', 'another key');
  assert.equal(await verified(receiptOf(logOf(5, newSigner('elsewhere.example')), 3)), 'not valid');
});

test('a forged receipt is nobody’s: any byte changed, cut short, of another log, with a stranger’s cosignature', async () => {
  const whole = receiptOf(thereLog, 3);
  const verdict = async (text: string): Promise<readonly [boolean, boolean]> => {
    const { isValid, isGenuine } = await operator.evidence.verify({ document: Buffer.from(text) });
    return [isValid, isGenuine];
  };
  assert.deepEqual(await verdict(whole), [true, true]);
  for (let at = 0; at < whole.length; at += 5) {
    const other = whole[at] === 'A' ? 'B' : 'A';
    assert.deepEqual(await verdict(whole.slice(0, at) + other + whole.slice(at + 1)), [false, false], `byte ${at}`);
    assert.deepEqual(await verdict(whole.slice(0, at)), [false, false], `cut at ${at}`);
  }
  const stranger = newSigner('stranger.example', ED25519_COSIGNATURE);
  const cosigned = `${whole}— stranger.example ${Buffer.concat([Buffer.from(stranger.verifier.id, 'hex'), Buffer.alloc(72)]).toString('base64')}\n`;
  assert.deepEqual(await verdict(cosigned), [true, true], 'it adds nothing and takes nothing away');
  const key = thereLog.signer.verifier;
  const trust = { witnesses: [stranger.verifier], quorum: 1 };
  assert.equal(verifyReceipt(cosigned, key, trust).kind, 'refused', 'nor does it count as a witness');
});

test('a card brings the key of the runtime that it names, and no other', async () => {
  const rogue = await createAuthority(Date.now());
  const refused = async (changes: Partial<RuntimeCard>): Promise<string> =>
    await message(operator.parties.trust({ card: runtimeCardText({ ...thereCard, ...changes }) }));
  assert.match(await refused({ certificate: rogue.certificate }), /not that of the authority/);
  assert.match(await refused({ certificate: acme.certificate }), /not that of the authority/);
  assert.match(await refused({ certificate: there.certificate + rogue.certificate }), /holds no certificate/);
  assert.match(await refused({ verifierKey: 'none' }), /no verifier key/);
  assert.match(await refused({ verifierKey: card.verifierKey }), /log of this runtime itself/);
  assert.match(await refused({ authority: '../x' }), /names no authority/);
  assert.match(await refused({ authority: card.authority, certificate: card.certificate }), /this runtime itself/);
  for (const text of ['', 'null', '{}', 'x'.repeat(20_000)])
    assert.match(await message(operator.parties.trust({ card: text })), /card cannot be read/);
  assert.throws(() => parseRuntimeCard('{"format":"glovebox-runtime/1"}'));
  const local = connect({ credential: ours });
  closing.defer(() => local.close());
  for (const call of [
    local.parties.trust({}),
    local.parties.revokeTrust({}),
    local.parties.listTrust({}),
    local.parties.recognise({}),
  ])
    assert.equal(await codeOf(call), 'role-missing');
});

test('revoked trust suspends its parties at once, on record, and comes back without them', async () => {
  const visitor = visit(acme);
  assert.equal(await codeOf(visitor.parties.whoAmI({})), 'ok');
  const { suspendedParties } = await operator.parties.revokeTrust({ authority: there.name, note: 'lost key' });
  assert.deepEqual(suspendedParties, ['acme']);
  assert.equal(await codeOf(visitor.parties.whoAmI({})), 'party-not-admitted', 'also on a connection that is open');
  assert.equal(await codeOf(visit(acme).parties.whoAmI({})), 'credential-unknown', 'a new one is not even believed');
  const receipt = await operator.evidence.verify({ document: Buffer.from(receiptOf(thereLog, 3)) });
  assert.equal(receipt.isValid, false, 'nor are receipts of its log, whenever they were made');
  const revoked = (await operator.parties.listTrust({})).runtimes.find(({ authority }) => authority === there.name);
  assert.deepEqual([revoked?.isTrusted, revoked?.isRevoked], [false, true]);
  assert.deepEqual(
    [receipt.isGenuine, receipt.authority, receipt.trustEndedAtMs, receipt.reasons[0]?.code],
    [true, there.name, revoked?.sinceMs, 'receipt-trust-ended'],
    'and it is said that it was trusted, whose it is and until when',
  );
  assert.match(receipt.reasons[0]?.message ?? '', /genuine, but of the log of .*revoked at 20/);
  const forged = await operator.evidence.verify({
    document: Buffer.from(receiptOf(logOf(5, newSigner('there.example/evidence')), 3)),
  });
  assert.deepEqual([forged.isGenuine, forged.reasons[0]?.code], [false, 'receipt-not-valid'], 'a forgery is no more');
  await operator.parties.resume({ name: 'acme' });
  assert.equal(await codeOf(visitor.parties.whoAmI({})), 'party-not-admitted', 'resumed is not trusted');
  await assert.rejects(operator.parties.revokeTrust({ authority: there.name }), /is not trusted/);
  const { entries } = await operator.evidence.listEntries({ limit: 1000 });
  const kinds = entries.flatMap(({ body }) => {
    const opened = readEntry(body);
    return opened.kind === 'entry' && opened.event.kind.startsWith('trust.') ? [opened.event] : [];
  });
  const pin = createHash('sha256').update('').digest('hex').length;
  assert.deepEqual(
    kinds.map(({ kind, subjects }) => [kind, subjects[0]?.name, subjects[0]?.sha256.length]),
    [
      ['trust.added', `runtime/${there.name}`, pin],
      ['trust.revoked', `runtime/${there.name}`, pin],
    ],
  );
  const again = { ...(await createAuthority(Date.now())) };
  await operator.parties.trust({
    card: runtimeCardText({ ...thereCard, authority: again.name, certificate: again.certificate }),
  });
  assert.equal(
    await codeOf(visitor.parties.whoAmI({})),
    'party-not-admitted',
    'trust in another one is not trust in it',
  );
});

test('trust ends with the certificate that was trusted, for parties and receipts alike', async () => {
  const old = await createAuthority(Date.UTC(1990, 0, 1));
  const expired = { ...thereCard, authority: old.name, certificate: old.certificate };
  await assert.rejects(operator.parties.trust({ card: runtimeCardText(expired) }), /has expired/);
  const { validTo } = new X509Certificate(thereCard.certificate);
  const record = { table: 'trust', id: there.name, owner: '', state: 'trusted', atMs: 0, body: thereCard };
  const store = { peek: () => record, peekAll: () => [record] } as unknown as Parameters<typeof listedLogs>[0]['store'];
  for (const [nowMs, count] of [
    [Date.parse(validTo) - 1000, 1],
    [Date.parse(validTo), 0],
  ] as const) {
    const needs = { store, nowMs: () => nowMs };
    const [log] = listedLogs(needs);
    assert.equal(log?.owner.kind, count === 1 ? 'trusted' : 'expired');
    const verdict = recogniseReceipt(receiptOf(thereLog, 3), listedLogs(needs));
    assert.equal(verdict.kind, count === 1 ? 'verified' : 'trustEnded');
    if (verdict.kind === 'trustEnded') assert.match(verdict.reason, /ended with its certificate at/);
    assert.equal(trustedAuthorities(needs).length, count);
    assert.equal(isTrusted(needs, there.name), count === 1);
  }
});
