import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from '../property.ts';
import { signCheckpoint } from '../../runtime/evidence/checkpoint.ts';
import { cosignedAt, type Witnessed } from '../../runtime/evidence/cosignature.ts';
import { ED25519_COSIGNATURE, parseNote } from '../../runtime/evidence/note.ts';
import {
  type AddCheckpointAnswer,
  answerAddCheckpoint,
  formatAddCheckpoint,
  parseAddCheckpoint,
  withCosignatures,
} from '../../runtime/evidence/witness.ts';
import { logOf, newSigner, ORIGIN } from './world.ts';

const log = logOf(300);
const witness = newSigner('acme.example/witness', ED25519_COSIGNATURE);
const checkpointAt = (size: number): string =>
  signCheckpoint({ origin: ORIGIN, size, root: log.tree.root(size) }, log.signer);

function ask(seen: Witnessed | undefined, body: string): AddCheckpointAnswer {
  return answerAddCheckpoint(witness, [log.signer.verifier], () => seen, body, 1_800_000_000);
}
const seenAt = (size: number): Witnessed => ({ size, root: log.tree.root(size) });
const body = (old: number, size: number): string =>
  formatAddCheckpoint({
    old,
    proof: old === 0 || old === size ? [] : log.tree.consistencyProof(old, size),
    checkpoint: checkpointAt(size),
  });

test('a log that grew is cosigned, and the cosignature holds over the log’s own checkpoint', () => {
  for (const [seen, size] of [
    [undefined, 1],
    [undefined, 300],
    [seenAt(1), 300],
    [seenAt(255), 257],
    [seenAt(300), 300],
  ] as const) {
    const answer = ask(seen, body(seen?.size ?? 0, size));
    assert.ok(answer.status === 200, JSON.stringify(answer));
    assert.deepEqual(answer.seen, { size, root: Buffer.from(log.tree.root(size)) });
    const cosigned = parseNote(withCosignatures(checkpointAt(size), answer.body) ?? '');
    assert.ok(cosigned !== undefined);
    assert.equal(cosignedAt(cosigned, witness.verifier), 1_800_000_000);
  }
});

test('the answer says what is wrong as the protocol has it', () => {
  const other = logOf(300);
  const fork = signCheckpoint({ origin: ORIGIN, size: 300, root: other.tree.root(299) }, log.signer);
  const stranger = newSigner('stranger.example/log');
  const foreign = signCheckpoint({ origin: 'stranger.example/log', size: 1, root: log.tree.root(1) }, stranger);
  const forged = signCheckpoint({ origin: ORIGIN, size: 1, root: log.tree.root(1) }, newSigner());
  const cases: readonly (readonly [number, Witnessed | undefined, string])[] = [
    [400, undefined, ''],
    [400, undefined, 'old x\n\n'],
    [400, seenAt(100), formatAddCheckpoint({ old: 300, proof: [], checkpoint: checkpointAt(200) })],
    [403, undefined, formatAddCheckpoint({ old: 0, proof: [], checkpoint: forged })],
    [404, undefined, formatAddCheckpoint({ old: 0, proof: [], checkpoint: foreign })],
    [409, seenAt(100), body(99, 300)],
    [409, undefined, body(100, 300)],
    // Rolled back: the log is smaller than what was seen.
    [409, seenAt(300), body(200, 200)],
    [409, seenAt(300), formatAddCheckpoint({ old: 300, proof: [], checkpoint: fork })],
    [422, seenAt(100), formatAddCheckpoint({ old: 100, proof: [], checkpoint: checkpointAt(300) })],
    [422, seenAt(100), formatAddCheckpoint({ old: 100, proof: log.tree.consistencyProof(100), checkpoint: fork })],
  ];
  for (const [status, seen, text] of cases) assert.equal(ask(seen, text).status, status, text.slice(0, 60));
  assert.equal(ask(seenAt(100), body(99, 300)).body, '100\n');
});

test('a request survives being written and read; arbitrary and damaged ones are refused without a crash', () => {
  const whole = body(77, 300);
  assert.equal(formatAddCheckpoint(parseAddCheckpoint(whole) ?? assert.fail()), whole);
  fc.assert(
    fc.property(fc.nat(whole.length - 1), fc.string({ unit: 'binary', minLength: 1, maxLength: 2 }), (at, put) => {
      fc.pre(!whole.startsWith(put, at));
      const damaged = whole.slice(0, at) + put + whole.slice(at + 1);
      assert.notEqual(ask(seenAt(77), damaged).status, 200);
    }),
    { numRuns: 100 },
  );
  fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (text) => ask(undefined, text).status === 400));
});

test('lines that are no signatures, or change the text, are not joined to a checkpoint', () => {
  for (const lines of ['x\n', '\n\n— a b\n', '— name !!!\n', 'more\n\n— name AAAAAAAAAA==\n', '— name AAAAAAAAAA=='])
    assert.equal(withCosignatures(checkpointAt(3), lines), undefined, JSON.stringify(lines));
});
