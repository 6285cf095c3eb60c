import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from '../property.ts';
import { signCheckpoint } from '../../runtime/evidence/checkpoint.ts';
import { verifyLog } from '../../runtime/evidence/verify-log.ts';
import { dsseEnvelope, encodeEntry } from '../../runtime/evidence/entry.ts';
import { verifyReceipt } from '../../runtime/evidence/receipt.ts';
import { eventOf, filesOf, logOf, newSigner, readerOf, receiptOf } from './world.ts';

test('a whole log verifies from its files at the sizes where tiles begin and end', () => {
  const signer = newSigner();
  for (const size of [0, 1, 255, 256, 257, 600]) {
    const log = logOf(size, signer);
    let seen = 0;
    const visit = (_: unknown, index: number): void => {
      assert.equal(index, seen);
      seen += 1;
    };
    const verdict = verifyLog(readerOf(filesOf(log)), signer.verifier, visit);
    assert.equal(verdict.kind, 'verified', String(size));
    assert.equal(seen, size);
  }
});

test('a flipped bit in any file of a log is found', () => {
  const log = logOf(300);
  const files = filesOf(log).filter((file) => file.path !== 'vkey');
  fc.assert(
    fc.property(fc.nat(files.length - 1), fc.nat(), fc.integer({ min: 0, max: 7 }), (which, at, bit) => {
      const damaged = files.map((file, index) => {
        if (index !== which) return file;
        const bytes = Buffer.from(file.bytes);
        bytes[at % bytes.length] = (bytes[at % bytes.length] ?? 0) ^ (1 << bit);
        return { ...file, bytes };
      });
      assert.equal(verifyLog(readerOf(damaged), log.signer.verifier).kind, 'refused');
    }),
    { numRuns: 60 },
  );
});

test('a missing file is named', () => {
  const log = logOf(300);
  const files = filesOf(log);
  for (const { path } of files.filter((file) => file.path !== 'vkey')) {
    const verdict = verifyLog(readerOf(files.filter((file) => file.path !== path)), log.signer.verifier);
    assert.ok(verdict.kind === 'refused' && verdict.path === path, path);
  }
});

test('a checkpoint that hides the last entries or claims more is refused', () => {
  const log = logOf(20);
  for (const size of [19, 21]) {
    const checkpoint = signCheckpoint({ origin: log.signer.verifier.name, size, root: log.tree.root() }, log.signer);
    const files = [...filesOf(log), { path: 'checkpoint', bytes: Buffer.from(checkpoint) }];
    assert.equal(verifyLog(readerOf(files), log.signer.verifier).kind, 'refused');
  }
});

test('a log of an earlier version, whose entries are DSSE envelopes, is read as before', () => {
  const signer = newSigner();
  const key = { id: signer.verifier.id, privateKey: signer.privateKey };
  const log = logOf(3, signer, (index) => dsseEnvelope(encodeEntry(eventOf(index)), key));
  const events: unknown[] = [];
  const verdict = verifyLog(readerOf(filesOf(log)), signer.verifier, (event) => events.push(event));
  assert.equal(verdict.kind, 'verified');
  assert.deepEqual(events, [eventOf(0), eventOf(1), eventOf(2)]);
  const receipt = verifyReceipt(receiptOf(log, 1), signer.verifier);
  assert.ok(receipt.kind === 'verified');
  assert.deepEqual(receipt.event, eventOf(1));
});

test('an entry that is not evidence is found although the root covers it', () => {
  const log = logOf(3, newSigner(), () => Buffer.from('{"name":"John Smith"}'));
  assert.equal(verifyLog(readerOf(filesOf(log)), log.signer.verifier).kind, 'refused');
});
