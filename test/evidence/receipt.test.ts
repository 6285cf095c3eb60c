import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from '../property.ts';
import { openCheckpoint } from '../../runtime/evidence/checkpoint.ts';
import { cosign } from '../../runtime/evidence/cosignature.ts';
import { ED25519_COSIGNATURE, formatVerifierKey, parseNote, parseVerifierKey } from '../../runtime/evidence/note.ts';
import { formatReceipt, parseReceipt, verifyReceipt } from '../../runtime/evidence/receipt.ts';
import { eventOf, logOf, newSigner, ORIGIN, receiptOf } from './world.ts';

const log = logOf(300);
const key = log.signer.verifier;

test('a receipt verifies offline and gives back what was recorded', () => {
  for (const index of [0, 1, 255, 256, 299]) {
    const verdict = verifyReceipt(receiptOf(log, index), key);
    assert.ok(verdict.kind === 'verified');
    assert.deepEqual(verdict.event, eventOf(index));
    assert.equal(verdict.checkpoint.size, 300);
  }
});

test('a receipt of a log with a single entry verifies', () => {
  const single = logOf(1);
  assert.equal(verifyReceipt(receiptOf(single, 0), single.signer.verifier).kind, 'verified');
});

test('the verifier key survives being written and read, and a key whose id does not fit is no key', () => {
  const text = formatVerifierKey(key);
  assert.deepEqual(parseVerifierKey(text), { ...key, publicKey: Buffer.from(key.publicKey) });
  for (const bad of [
    '',
    'x',
    text.slice(0, -2),
    text.replace(/\+[0-9a-f]{8}\+/, '+00000000+'),
    text.replace(ORIGIN, 'other'),
  ]) {
    assert.equal(parseVerifierKey(bad), undefined, bad);
  }
});

test('any changed character makes a receipt fail', () => {
  const receipt = receiptOf(log, 77);
  fc.assert(
    fc.property(
      fc.nat(receipt.length - 1),
      fc.constantFrom('A', 'b', '0', '9', '+', '\n', ' ', 'é'),
      (at, character) => {
        fc.pre(receipt[at] !== character);
        const damaged = receipt.slice(0, at) + character + receipt.slice(at + 1);
        assert.equal(verifyReceipt(damaged, key).kind, 'refused');
      },
    ),
    { numRuns: 500 },
  );
});

test('a cut, doubled or extended receipt fails', () => {
  const receipt = receiptOf(log, 77);
  for (const bad of [
    '',
    receipt.slice(0, -1),
    receipt.slice(1),
    receipt + receipt,
    `${receipt}\n`,
    `${receipt}x`,
    receipt.repeat(99),
  ]) {
    assert.equal(verifyReceipt(bad, key).kind, 'refused');
  }
});

test('arbitrary text is refused, never a crash', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 400 }), (text) => {
      assert.equal(verifyReceipt(text, key).kind, 'refused');
      assert.equal(verifyReceipt(`c2sp.org/tlog-proof@v1\nextra ${text}\nindex 0\n\n${text}`, key).kind, 'refused');
    }),
  );
});

test('an entry cannot borrow the proof of another, nor a receipt the checkpoint of another log', () => {
  const proof = parseReceipt(receiptOf(log, 7));
  assert.ok(proof !== undefined);
  const swapped = formatReceipt({ ...proof, entry: log.entries[8] ?? new Uint8Array() });
  assert.equal(verifyReceipt(swapped, key).kind, 'refused');
  assert.equal(verifyReceipt(formatReceipt({ ...proof, index: 8 }), key).kind, 'refused');
  const other = logOf(300, newSigner());
  assert.equal(verifyReceipt(receiptOf(other, 7), key).kind, 'refused');
  assert.equal(verifyReceipt(formatReceipt({ ...proof, checkpoint: other.checkpoint }), key).kind, 'refused');
  const renamed = logOf(3, newSigner('other.example/evidence'));
  assert.equal(verifyReceipt(receiptOf(renamed, 1), { ...renamed.signer.verifier, name: ORIGIN }).kind, 'refused');
});

test('an entry signed by another key is refused even when the log took it in', () => {
  const stranger = newSigner();
  const foreign = logOf(2, stranger);
  assert.ok(openCheckpoint(foreign.checkpoint, stranger.verifier) !== undefined);
  assert.equal(openCheckpoint(foreign.checkpoint, key), undefined);
});

test('a witness cosigns what it saw grow, and its cosignature counts towards a quorum', () => {
  const witness = newSigner('acme.example/witness', ED25519_COSIGNATURE);
  const smaller = logOf(10, log.signer);
  const first = cosign(witness, key, {
    checkpoint: smaller.checkpoint,
    proof: [],
    seen: undefined,
    atSeconds: 1_700_000_000,
  });
  assert.ok(first.kind === 'cosigned');
  const proof = log.tree.consistencyProof(10);
  const second = cosign(witness, key, {
    checkpoint: log.checkpoint,
    proof,
    seen: first.seen,
    atSeconds: 1_700_000_060,
  });
  assert.ok(second.kind === 'cosigned');
  assert.equal(parseNote(second.note)?.signatures.length, 2);
  const receipt = formatReceipt({
    entry: log.entries[5] ?? new Uint8Array(),
    index: 5,
    path: log.tree.inclusionProof(5),
    checkpoint: second.note,
  });
  const trust = { witnesses: [witness.verifier], quorum: 1 };
  const verdict = verifyReceipt(receipt, key, trust);
  assert.ok(verdict.kind === 'verified');
  assert.deepEqual(verdict.witnesses, [{ name: 'acme.example/witness', atSeconds: 1_700_000_060 }]);
  assert.equal(verifyReceipt(receiptOf(log, 5), key, trust).kind, 'refused');
});

test('a witness refuses a log that shows it another history, or a smaller one', () => {
  const witness = newSigner('acme.example/witness', ED25519_COSIGNATURE);
  const seen = { size: 10, root: logOf(11, log.signer).tree.root(10) };
  const forked = { size: 10, root: Buffer.alloc(32, 1) };
  const ask = (checkpoint: string, before: typeof seen): string =>
    cosign(witness, key, { checkpoint, proof: log.tree.consistencyProof(10), seen: before, atSeconds: 1 }).kind;
  assert.equal(ask(log.checkpoint, seen), 'cosigned');
  assert.equal(ask(log.checkpoint, forked), 'refused');
  assert.equal(ask(logOf(5, log.signer).checkpoint, seen), 'refused');
  assert.equal(ask(logOf(300).checkpoint, seen), 'refused');
});
