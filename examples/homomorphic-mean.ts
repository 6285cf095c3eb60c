/**
 * Mean survival by treatment arm, computed on ciphertext: the runtime adds numbers that it cannot read, and the hospital's
 * decryptor releases the means only after it has run the same program itself.
 *
 *   node examples/homomorphic-mean.ts
 */
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { chooseParameters } from '../runtime/homomorphic/choose.ts';
import { verifyAndDecrypt, type PinnedColumn } from '../runtime/homomorphic/decryptor.ts';
import { encryptColumn } from '../runtime/homomorphic/encrypt-column.ts';
import { explainProgram } from '../runtime/homomorphic/explain.ts';
import { ingestColumn } from '../runtime/homomorphic/ingest.ts';
import { generateKeyBundles } from '../runtime/homomorphic/keys.ts';
import { openNodeSealBackend } from '../runtime/homomorphic/node-seal-backend.ts';
import { planProgram } from '../runtime/homomorphic/plan.ts';
import { PROFILES } from '../runtime/homomorphic/profiles.ts';
import { parseProgram } from '../runtime/homomorphic/program.ts';
import { writeResult } from '../runtime/homomorphic/result-file.ts';
import { runOverColumns } from '../runtime/homomorphic/run-columns.ts';
import { signTranscript, transcriptOf } from '../runtime/homomorphic/transcript.ts';
import { UnitCounter, unitTag } from '../runtime/homomorphic/units.ts';

const csv = readFileSync(new URL('data/clinical/colon.csv', import.meta.url), 'utf8')
  .trim()
  .replaceAll('"', '')
  .split('\n');
const names = csv[0]?.split(',') ?? [];
const rows = csv.slice(1).map((line) => line.split(','));
const cell = (row: readonly string[], name: string): string => row[names.indexOf(name)] ?? '';

// --- the hospital: keys, keyed hashes for patients, one encrypted column ------------------------------------------
const hospital = await openNodeSealBackend();
const arms = ['Obs', 'Lev', 'Lev+5FU'];
const choice = chooseParameters({
  column: 'time',
  programs: ['groupSums'],
  low: 0,
  high: 4000,
  decimals: 0,
  rows: rows.length,
  groups: arms,
  isNullable: true,
});
const { open, secret } = generateKeyBundles(hospital, choice.profiles);
for (const key of secret.keys) hospital.open(PROFILES[key.profile]).useSecretKey(key.secretKey);
const unitKey = randomBytes(32);
const units = new UnitCounter();
const byArm = arms.map((group, index) => {
  const members = rows.filter((row) => cell(row, 'rx') === group);
  for (const row of members) units.add(unitTag(unitKey, [cell(row, 'id')]), index);
  return { group, values: members.map((row) => Number(cell(row, 'time'))) };
});
const { alignment, ...counts } = units.counts();
const upload = await collect(
  encryptColumn({ backend: hospital }, { ...choice.header, keyId: open.keyId, alignment }, byArm),
);
console.log(choice.explanation.join('\n'));
console.log(`uploaded ${upload.bytes.byteLength} bytes for ${rows.length} values`);

// --- the runtime: no key at all --------------------------------------------------------------------------------------
const runtime = await openNodeSealBackend();
const runtimeKeys = generateKeyPairSync('ed25519');
const stored = await collect(ingestColumn(runtime, [upload.bytes]));
const column = { header: stored.value.header, totals: stored.value.stored };
const plan = planProgram(parseProgram({ name: 'groupSums', columns: ['time'] }), [column]);
console.log(`\n${explainProgram(plan).lines.join('\n')}`);
const parts = await runOverColumns(plan, null, [[stored.bytes]], { check: 'frame' });
const facts = {
  jobId: 'example',
  agreementId: 'example',
  consumer: 'acme',
  units: counts.units,
  minUnits: 10,
  createdAtMs: Date.now(),
};
const transcript = signTranscript(
  transcriptOf(plan, parts, { ...facts, uploadDigests: [upload.value.digest] }),
  runtimeKeys.privateKey,
);

// --- the hospital's decryptor ----------------------------------------------------------------------------------------
const pinned: PinnedColumn = {
  header: { ...choice.header, keyId: open.keyId, alignment },
  totals: upload.value,
  minUnits: 10,
  ...counts,
};
const claimed = new Set<string>();
const outcome = await verifyAndDecrypt(
  {
    backend: hospital,
    runtimeKey: runtimeKeys.publicKey,
    findColumn: async (digest) => (digest === upload.value.digest ? pinned : null),
    openColumn: async () => [upload.bytes],
    isAgreed: async ({ consumer }) => consumer === 'acme',
    claimOnce: async (jobId) => !claimed.has(jobId) && claimed.add(jobId) !== undefined,
    countApproximate: async () => claimed.size,
    randomBytes: (length) => randomBytes(length),
  },
  { transcript, result: writeResult(parts) },
);
if (outcome.kind === 'refused') throw new Error('the decryptor refused');
console.log(`\nreleased, over ${outcome.units} patients:`);
for (const { group, number } of outcome.scalars.filter(({ name }) => name === 'mean')) {
  const truth = byArm.find((arm) => arm.group === group)?.values ?? [];
  const plain = truth.reduce((a, b) => a + b, 0) / truth.length;
  console.log(`  mean survival of ${group}: ${number.toFixed(2)} days (plaintext: ${plain.toFixed(2)})`);
}

async function collect<T>(
  stream: AsyncGenerator<Uint8Array, T>,
): Promise<{ readonly bytes: Uint8Array; readonly value: T }> {
  const chunks: Uint8Array[] = [];
  for (;;) {
    const step = await stream.next();
    if (step.done === true) return { bytes: Buffer.concat(chunks), value: step.value };
    chunks.push(step.value);
  }
}
