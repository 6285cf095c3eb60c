import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { fc } from '../property.ts';
import { generalVerify, type GeneralJWSInput } from 'jose';
import {
  agreementDigest,
  agreementPayload,
  agreementToJws,
  signAgreement,
  verifyAgreement,
} from '../../runtime/contract/agreement.ts';
import type { AgreementSignature, AgreementTerms } from '../../runtime/contract/agreement.ts';
import {
  AGREEMENT_STATES,
  applyToAgreement,
  counterAgreement,
  MAX_ROUNDS,
  mayUse,
  offerAgreement,
  OPERATOR,
} from '../../runtime/contract/lifecycle.ts';
import type { Agreement, AgreementAction, AgreementAnswer } from '../../runtime/contract/lifecycle.ts';
import { isTopUpSigned, signTopUp } from '../../runtime/contract/top-up.ts';

const NOW = Date.UTC(2026, 5, 1);
const KEYS = new Map(['acme', 'hospital', 'bank'].map((party) => [party, generateKeyPairSync('ed25519')]));
const TERMS: AgreementTerms = {
  id: 'a1',
  consumer: 'acme',
  datasets: [
    { provider: 'hospital', dataset: 'visits', policyVersion: 3, policyDigest: 'a'.repeat(64), rules: ['statistics'] },
    { provider: 'bank', dataset: 'loans', policyVersion: 1, policyDigest: 'b'.repeat(64), rules: null },
  ],
  authority: 'runtime',
  purposes: ['RiskManagement'],
  notBeforeMs: NOW,
  notAfterMs: NOW + 1000,
  pricesDigest: null,
  supersedes: null,
  counterOffers: 'narrower',
};

function signed(party: string, terms: AgreementTerms = TERMS, key: string = party): AgreementSignature {
  const privateKey = KEYS.get(key)?.privateKey;
  assert.ok(privateKey !== undefined);
  return signAgreement(terms, { party, keyId: `${party}#1`, privateKey });
}

const publicKey = (party: string): NonNullable<ReturnType<typeof KEYS.get>>['publicKey'] => {
  const key = KEYS.get(party)?.publicKey;
  assert.ok(key !== undefined);
  return key;
};

function sign(party: string): AgreementAction {
  return { do: 'sign', by: party, signature: signed(party), publicKey: publicKey(party) };
}

function changed(answer: AgreementAnswer): Agreement {
  assert.ok(answer.kind === 'changed', answer.kind === 'refused' ? answer.reason : '');
  return answer.agreement;
}

function run(...actions: readonly AgreementAction[]): Agreement {
  return actions.reduce(
    (agreement, action) => changed(applyToAgreement(agreement, action, NOW)),
    changed(offerAgreement(TERMS, 'hospital')),
  );
}

const ACCEPTED: readonly AgreementAction[] = [sign('hospital'), { do: 'accept', by: 'acme' }];
const active = run(...ACCEPTED, sign('acme'), sign('bank'));

test('an agreement is active only when the consumer and every provider have signed', () => {
  assert.equal(run().state, 'drafted');
  assert.equal(run(sign('hospital')).state, 'offered');
  assert.equal(run(...ACCEPTED).state, 'agreed');
  assert.equal(run(...ACCEPTED, sign('acme')).state, 'agreed');
  assert.equal(active.state, 'active');
  assert.equal(verifyAgreement(TERMS, active.signatures, (party) => publicKey(party)).kind, 'signedByAll');
  assert.deepEqual(
    verifyAgreement(TERMS, active.signatures.slice(1), (party) => publicKey(party)),
    { kind: 'missing', parties: ['hospital'] },
  );
});

test('an outside JOSE library verifies every signature of the agreement', async () => {
  const jws = agreementToJws(TERMS, active.signatures) as unknown as GeneralJWSInput;
  for (const [index, party] of ['hospital', 'acme', 'bank'].entries()) {
    const one = { ...jws, signatures: jws.signatures.slice(index, index + 1) };
    const { payload, protectedHeader } = await generalVerify(one, publicKey(party));
    assert.deepEqual(Buffer.from(payload), Buffer.from(agreementPayload(TERMS)));
    assert.equal(protectedHeader?.kid, `${party}#1`);
    await assert.rejects(generalVerify(one, publicKey(party === 'acme' ? 'bank' : 'acme')));
  }
});

test('a signature fails for changed terms, another party, another key or another header', () => {
  const keyOf = (party: string): ReturnType<typeof publicKey> => publicKey(party);
  const others: AgreementTerms[] = [
    { ...TERMS, purposes: [] },
    { ...TERMS, notAfterMs: null },
    { ...TERMS, datasets: TERMS.datasets.map((one) => ({ ...one, policyVersion: one.policyVersion + 1 })) },
    { ...TERMS, datasets: TERMS.datasets.toReversed() },
  ];
  for (const terms of others) assert.equal(verifyAgreement(terms, active.signatures, keyOf).kind, 'invalid');
  const [first, second, third] = active.signatures;
  assert.ok(first !== undefined && second !== undefined && third !== undefined);
  const forged = [
    { ...first, party: 'bank' },
    { ...first, keyId: 'other' },
    { ...first, protected: Buffer.from('{"alg":"none"}').toString('base64url') },
    { ...first, signature: second.signature },
    { ...first, signature: `${first.signature}=` },
    signed('acme', TERMS, 'bank'),
  ];
  for (const bad of forged) assert.notEqual(verifyAgreement(TERMS, [bad, second, third], keyOf).kind, 'signedByAll');
});

test('terms have one digest whatever the order of their members, and another for every changed member', () => {
  const shuffled = Object.fromEntries(Object.entries(TERMS).toReversed()) as unknown as AgreementTerms;
  assert.equal(agreementDigest(shuffled), agreementDigest(TERMS));
  assert.notEqual(agreementDigest({ ...TERMS, supersedes: 'a0' }), agreementDigest(TERMS));
});

test('terms that make no sense cannot be offered', () => {
  const one = TERMS.datasets[0];
  assert.ok(one !== undefined);
  const bad: Partial<AgreementTerms>[] = [
    { datasets: [] },
    { datasets: [one, one] },
    { datasets: [{ ...one, policyDigest: 'latest' }] },
    { notAfterMs: NOW },
    { notBeforeMs: 0.5 },
    { id: '' },
  ];
  for (const part of bad) assert.throws(() => offerAgreement({ ...TERMS, ...part }, 'hospital'), RangeError);
});

test('a counter-offer comes from the other side, is an agreement of its own, and keeps the parties', () => {
  const offered = run(sign('hospital'));
  const terms = { ...TERMS, id: 'a2', supersedes: 'a1', purposes: ['Research'] };
  const counter = (
    of: Agreement,
    by: string,
    change: Partial<AgreementTerms> = {},
  ): ReturnType<typeof counterAgreement> =>
    counterAgreement(of, { by, terms: { ...terms, ...change }, widens: [] }, NOW);
  for (const refused of [
    counter(offered, 'hospital'),
    counter(offered, 'stranger'),
    counter(run(), 'acme'),
    counter(active, 'acme'),
    counter(offered, 'acme', { id: 'a1' }),
    counter(offered, 'acme', { supersedes: null }),
    counter(offered, 'acme', { consumer: 'evil' }),
    counter(offered, 'acme', { authority: 'elsewhere' }),
    counter({ ...offered, round: MAX_ROUNDS }, 'acme'),
  ])
    assert.equal(refused.kind, 'refused');
  const answer = counter(offered, 'acme');
  assert.ok(answer.kind === 'countered');
  assert.equal(answer.superseded.state, 'countered');
  assert.equal(answer.counterOffer.state, 'drafted');
  const signature = { do: 'sign', by: 'acme', signature: signed('acme', terms), publicKey: publicKey('acme') } as const;
  const proposed = changed(applyToAgreement(answer.counterOffer, signature, NOW));
  assert.equal(proposed.state, 'offered', 'it asks for other purposes: the other side has to accept');
  assert.equal(applyToAgreement(proposed, { do: 'accept', by: 'acme' }, NOW).kind, 'refused');
  assert.equal(changed(applyToAgreement(proposed, { do: 'accept', by: 'hospital' }, NOW)).state, 'agreed');
});

test('a counter-offer that only narrows is active once signed, for the signature over the offer accepts it ahead', () => {
  const terms = { ...TERMS, datasets: TERMS.datasets.slice(0, 1) };
  const offer = changed(
    applyToAgreement(
      changed(offerAgreement(terms, 'hospital')),
      { do: 'sign', by: 'hospital', signature: signed('hospital', terms), publicKey: publicKey('hospital') },
      NOW,
    ),
  );
  const outcome = (change: Partial<AgreementTerms>, widens: readonly string[], of: Agreement = offer): string => {
    const wanted = { ...of.terms, id: 'a2', supersedes: 'a1', ...change };
    const answer = counterAgreement(of, { by: 'acme', terms: wanted, widens }, NOW);
    assert.ok(answer.kind === 'countered', answer.kind === 'refused' ? answer.reason : '');
    const signature = {
      do: 'sign',
      by: 'acme',
      signature: signed('acme', wanted),
      publicKey: publicKey('acme'),
    } as const;
    return changed(applyToAgreement(answer.counterOffer, signature, NOW)).state;
  };
  assert.equal(outcome({ notAfterMs: NOW + 500, notBeforeMs: NOW + 1 }, []), 'active');
  assert.equal(outcome({}, ['allow.statistics.release']), 'offered');
  assert.equal(outcome({ notAfterMs: null }, []), 'offered');
  assert.equal(outcome({ notAfterMs: NOW + 1001 }, []), 'offered');
  assert.equal(outcome({ notBeforeMs: NOW - 1 }, []), 'offered');
  assert.equal(outcome({ purposes: [] }, []), 'offered');
  assert.equal(outcome({ pricesDigest: 'c'.repeat(64) }, []), 'offered');
  assert.equal(outcome({ datasets: terms.datasets.map((one) => ({ ...one, rules: null })) }, []), 'offered');
  const firm = changed(offerAgreement({ ...terms, counterOffers: 'none' }, 'hospital'));
  const firmly: AgreementAction = {
    do: 'sign',
    by: 'hospital',
    signature: signed('hospital', firm.terms),
    publicKey: publicKey('hospital'),
  };
  assert.equal(outcome({}, [], changed(applyToAgreement(firm, firmly, NOW))), 'offered');
});

test('only who suspended an agreement resumes it, and the operator can stop but not conclude', () => {
  const suspended = changed(applyToAgreement(active, { do: 'suspend', by: 'hospital' }, NOW));
  assert.equal(applyToAgreement(suspended, { do: 'resume', by: 'acme' }, NOW).kind, 'refused');
  assert.equal(applyToAgreement(suspended, { do: 'resume', by: OPERATOR }, NOW).kind, 'refused');
  assert.equal(changed(applyToAgreement(suspended, { do: 'resume', by: 'hospital' }, NOW)).state, 'active');
  assert.equal(applyToAgreement(active, { do: 'terminate', by: OPERATOR }, NOW).kind, 'changed');
  assert.equal(
    applyToAgreement(changed(offerAgreement(TERMS, 'hospital')), { do: 'accept', by: OPERATOR }, NOW).kind,
    'refused',
  );
  assert.equal(applyToAgreement(active, { do: 'suspend', by: 'stranger' }, NOW).kind, 'refused');
});

test('an agreement ends at its end: nothing is signed or resumed after it', () => {
  const agreed = run(...ACCEPTED);
  assert.equal(applyToAgreement(agreed, sign('acme'), NOW + 1000).kind, 'refused');
  assert.equal(applyToAgreement(active, { do: 'expire' }, NOW + 999).kind, 'refused');
  assert.equal(changed(applyToAgreement(active, { do: 'expire' }, NOW + 1000)).state, 'expired');
});

test('whatever happens, the final states stay final, and nothing becomes active without all signatures', () => {
  const party = fc.constantFrom('acme', 'hospital', 'bank', 'stranger', OPERATOR);
  const action: fc.Arbitrary<AgreementAction> = fc.oneof(
    fc.record({
      do: fc.constantFrom('accept' as const, 'decline' as const, 'suspend' as const, 'resume' as const),
      by: party,
    }),
    fc.record({ do: fc.constant('terminate' as const), by: party }),
    fc.constantFrom(sign('acme'), sign('hospital'), sign('bank')),
    fc.constant<AgreementAction>({ do: 'expire' }),
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(action, fc.nat(1500)), { maxLength: 40 }), (steps) => {
      let agreement = changed(offerAgreement(TERMS, 'hospital'));
      for (const [step, later] of steps) {
        const answer = applyToAgreement(agreement, step, NOW + later);
        if (answer.kind === 'refused') {
          assert.notEqual(answer.reason, '');
          continue;
        }
        assert.ok(!['terminated', 'expired', 'declined', 'countered'].includes(agreement.state));
        agreement = answer.agreement;
        assert.ok(AGREEMENT_STATES.includes(agreement.state));
        if (agreement.state === 'active') {
          assert.equal(
            verifyAgreement(agreement.terms, agreement.signatures, (name) => publicKey(name)).kind,
            'signedByAll',
          );
        }
      }
    }),
  );
});

test('a job may use what an active agreement covers, for its consumer, in its time', () => {
  const use = { consumer: 'acme', dataset: 'visits', nowMs: NOW };
  assert.deepEqual(mayUse(active, use), { kind: 'allowed' });
  for (const bad of [{ consumer: 'bank' }, { dataset: 'other' }, { nowMs: NOW - 1 }, { nowMs: NOW + 1000 }]) {
    assert.equal(mayUse(active, { ...use, ...bad }).kind, 'refused');
  }
  for (const state of AGREEMENT_STATES.filter((one) => one !== 'active'))
    assert.equal(mayUse({ ...active, state }, use).kind, 'refused');
});

test('a top-up is valid with its own signature only', () => {
  const key = KEYS.get('hospital');
  assert.ok(key !== undefined);
  const topUp = { id: 'n1', budget: 'credit/agreement/a1', amount: '500', by: 'hospital', atMs: NOW };
  const signature = signTopUp(topUp, key.privateKey);
  assert.ok(isTopUpSigned(topUp, signature, key.publicKey));
  for (const bad of [{ amount: '501' }, { id: 'n2' }, { budget: 'x' }, { by: 'acme' }, { atMs: NOW + 1 }]) {
    assert.ok(!isTopUpSigned({ ...topUp, ...bad }, signature, key.publicKey));
  }
  for (const amount of ['0', '-1', '1.5', '1e3', ''])
    assert.throws(() => signTopUp({ ...topUp, amount }, key.privateKey), RangeError);
});
