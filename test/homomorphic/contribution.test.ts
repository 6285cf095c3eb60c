import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from '../property.ts';
import { chooseParameters } from '../../runtime/homomorphic/choose.ts';
import { ColumnFileWriter, readColumnFile } from '../../runtime/homomorphic/column-file.ts';
import type { ColumnHeader, ColumnTotals } from '../../runtime/homomorphic/column.ts';
import { checkContribution, readContribution, writeContribution } from '../../runtime/homomorphic/contribution.ts';
import { encryptColumn } from '../../runtime/homomorphic/encrypt-column.ts';
import { HomomorphicFault } from '../../runtime/homomorphic/fault.ts';
import { readInvitation, writeInvitation } from '../../runtime/homomorphic/invitation.ts';
import { generateKeyBundles } from '../../runtime/homomorphic/keys.ts';
import { CIPHERTEXT_BODY_OFFSET, freshShape } from '../../runtime/homomorphic/layout.ts';
import { openNodeSealBackend } from '../../runtime/homomorphic/node-seal-backend.ts';
import { PROFILES } from '../../runtime/homomorphic/profiles.ts';

const backend = await openNodeSealBackend();
const { open, secret } = generateKeyBundles(backend, ['bgv-wide']);
const context = backend.open(PROFILES['bgv-wide']);
context.useSecretKey(secret.keys[0]?.secretKey ?? new Uint8Array());
context.usePublicKey(open.keys[0]?.publicKey ?? new Uint8Array());

const header: ColumnHeader = {
  ...chooseParameters({
    column: 'income',
    programs: ['sum'],
    low: 0,
    high: 100,
    decimals: 0,
    rows: 3,
    isNullable: true,
    mode: 'publicKey',
  }).header,
  keyId: open.keyId,
};

/** The pieces of a column file in memory, with what it is announced as. */
async function honest(
  values: readonly (number | null)[],
  as = header,
): Promise<{ file: Uint8Array; totals: ColumnTotals }> {
  const pieces: Uint8Array[] = [];
  const writing = encryptColumn({ backend }, as, [{ values }]);
  for (;;) {
    const step = await writing.next();
    if (step.done === true) return { file: Buffer.concat(pieces), totals: step.value };
    pieces.push(step.value);
  }
}

/** A file with the same frame whose first ciphertext, or header, is another. */
async function shaped(change: {
  header?: ColumnHeader;
  value?: (honest: Uint8Array) => Uint8Array;
  valid?: (honest: Uint8Array) => Uint8Array;
}) {
  const { file } = await honest([10, null, 30]);
  const writer = new ColumnFileWriter(change.header ?? header);
  const pieces = [writer.start()];
  for await (const event of readColumnFile([file])) {
    if (event.kind !== 'block') continue;
    const [value = new Uint8Array(), valid = new Uint8Array()] = event.block.channels;
    const channels = [change.value?.(value) ?? value, change.valid?.(valid) ?? valid];
    pieces.push(writer.block({ ...event.block, channels }));
  }
  const { bytes, totals } = writer.end();
  return { file: Buffer.concat([...pieces, bytes]), totals, header: change.header ?? header };
}

const pinOf = (totals: ColumnTotals, as = header) => ({
  header: as,
  totals,
  units: 3,
  groupUnits: [3],
  maxRowsPerUnit: 1,
  minUnits: 1,
});

test('a column that is encrypted as announced is accepted', async () => {
  const { file, totals } = await honest([10, null, 100]);
  await checkContribution(backend, pinOf(totals), [file]);
});

test('a ciphertext that could tell the key, or holds what its channel cannot hold, is refused', async () => {
  const shape = freshShape(PROFILES['bgv-wide'], 'full');
  const half = PROFILES['bgv-wide'].degree * shape.primeCount * 8;
  const doubled = (bytes: Uint8Array, times: number): Uint8Array => {
    using sum = context.load(shape, bytes);
    for (let i = 0; i < times; i++) {
      using other = context.copy(sum);
      context.addTo(sum, other);
    }
    return context.save(sum).slice();
  };
  const attacks: Record<string, Parameters<typeof shaped>[0]> = {
    'c0 = 0: its sum is a function of the key': {
      value: (bytes) => new Uint8Array(bytes).fill(0, CIPHERTEXT_BODY_OFFSET, CIPHERTEXT_BODY_OFFSET + half),
    },
    'c1 = 1: it decrypts to the key': {
      value: (bytes) => {
        const crafted = new Uint8Array(bytes).fill(0, CIPHERTEXT_BODY_OFFSET);
        const view = new DataView(crafted.buffer);
        for (let at = CIPHERTEXT_BODY_OFFSET + half; at < crafted.byteLength; at += 8) view.setBigUint64(at, 1n, true);
        return crafted;
      },
    },
    'narrower bounds than its values': { header: { ...header, high: '20' } },
    'inflated noise': { value: (bytes) => doubled(bytes, 12), header: { ...header, high: '1000000' } },
    'a count of two in one row': { valid: (bytes) => doubled(bytes, 1) },
  };
  for (const [what, change] of Object.entries(attacks)) {
    const { file, totals, header: as } = await shaped(change);
    await assert.rejects(checkContribution(backend, pinOf(totals, as), [file]), { code: 'bad-column' }, what);
  }
});

test('another file, another key form and another digest than announced are refused', async () => {
  const [one, other] = [await honest([1, 2, 3]), await honest([1, 2, 3])];
  await assert.rejects(checkContribution(backend, pinOf(other.totals), [one.file]), { code: 'bad-column' });
  await assert.rejects(checkContribution(backend, pinOf(one.totals), [one.file.subarray(0, -9)]), HomomorphicFault);
  const seeded: ColumnHeader = { ...header, mode: 'secretKey', form: 'full' };
  const own = await honest([1, 2, 3], seeded);
  await assert.rejects(checkContribution(backend, pinOf(own.totals, seeded), [own.file]), /public key/);
});

test('invitations and contributions survive their files, and no other text is taken for one', async () => {
  const { totals } = await honest([1, 2, 3]);
  const programs = ['sum'];
  const given = {
    format: 'glovebox-contribution/1' as const,
    dataset: 'd',
    contributor: 'c',
    programs,
    columns: [pinOf(totals)],
  };
  assert.deepEqual(readContribution(writeContribution(given)), given);
  for (const wrong of [
    { units: 4 },
    { units: 0 },
    { minUnits: 0 },
    { maxRowsPerUnit: 0 },
    { groupUnits: ['3'] },
    { header: null },
  ])
    assert.throws(
      () => readContribution(JSON.stringify({ ...given, columns: [{ ...pinOf(totals), ...wrong }] })),
      HomomorphicFault,
      JSON.stringify(wrong),
    );
  const tag = new Uint8Array(16).fill(7);
  const invitation = {
    format: 'glovebox-invitation/1' as const,
    dataset: 'd',
    open,
    unitKey: new Uint8Array(32).fill(1),
    groups: ['a', 'b'],
    order: [{ tag, group: 1 }],
  };
  const text = writeInvitation(invitation);
  assert.deepEqual(readInvitation(text), invitation);
  assert.throws(() => readInvitation(writeInvitation({ ...invitation, order: [{ tag, group: 2 }] })), HomomorphicFault);
  fc.assert(
    fc.property(fc.nat(text.length - 2), fc.string({ minLength: 1, maxLength: 4 }), (at, noise) => {
      const damaged = text.slice(0, at) + noise + text.slice(at + noise.length);
      try {
        readInvitation(damaged);
      } catch (error) {
        assert.ok(error instanceof HomomorphicFault, String(error));
      }
    }),
    { numRuns: 60 },
  );
  fc.assert(fc.property(fc.json(), (json) => assert.throws(() => readContribution(json), HomomorphicFault)));
  fc.assert(fc.property(fc.json(), (json) => assert.throws(() => readInvitation(json), HomomorphicFault)));
});
