import assert from 'node:assert/strict';
import { test } from 'node:test';
import { verifyReceipt } from '../../runtime/evidence/receipt.ts';
import { verifyLog } from '../../runtime/evidence/verify-log.ts';
import { encodeEntry } from '../../runtime/evidence/entry.ts';
import { eventOf, filesOf, logOf, newSigner, readerOf, receiptOf } from './world.ts';

// The entries are the same bytes: what is tried here is the size of the log, not 70,000 signatures.
test('a log of 70,000 entries is built, proved and verified whole', () => {
  const signer = newSigner();
  const entry = encodeEntry(eventOf(1));
  const log = logOf(70_000, signer, () => entry);
  for (const index of [0, 65_535, 65_536, 69_999])
    assert.equal(verifyReceipt(receiptOf(log, index), signer.verifier).kind, 'verified');
  const verdict = verifyLog(readerOf(filesOf(log)), signer.verifier);
  assert.ok(verdict.kind === 'verified' && verdict.entries === 70_000);
});
