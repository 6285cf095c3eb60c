import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { verifyAndDecrypt, type DecryptorNeeds, type PinnedColumn } from '../../runtime/homomorphic/decryptor.ts';
import { approximateLimit } from '../../runtime/homomorphic/flood.ts';
import { planProgram } from '../../runtime/homomorphic/plan.ts';
import { parseProgram } from '../../runtime/homomorphic/program.ts';
import { writeResult } from '../../runtime/homomorphic/result-file.ts';
import { runOverColumns } from '../../runtime/homomorphic/run-columns.ts';
import type { ResultPart } from '../../runtime/homomorphic/run.ts';
import { signTranscript, transcriptOf, type Transcript } from '../../runtime/homomorphic/transcript.ts';
import { UnitCounter, unitTag } from '../../runtime/homomorphic/units.ts';
import { colon, encrypted, keyHolder, runtimeBackend, type EncryptedFixture } from './support.ts';

const holder = await keyHolder(['bgv-add-a', 'ckks-deep']);
const runtime = await runtimeBackend(holder.open);
const runtimeKeys = generateKeyPairSync('ed25519');
const { time, rx, id } = colon();
const unitKey = randomBytes(32);
const counter = new UnitCounter();
for (const patient of id) counter.add(unitTag(unitKey, [patient]));
const counts = counter.counts();
const column = await encrypted(
  holder,
  { column: 'time', programs: ['sum', 'mean'], low: 0, high: 4000, decimals: 0, alignment: counts.alignment },
  [{ values: time }],
);

function pin(fixture: EncryptedFixture, overrides: Partial<PinnedColumn> = {}): PinnedColumn {
  return {
    header: fixture.header,
    totals: fixture.totals,
    units: counts.units,
    groupUnits: counts.groupUnits,
    maxRowsPerUnit: counts.maxRowsPerUnit,
    minUnits: 10,
    ...overrides,
  };
}

function decryptor(
  fixtures: readonly EncryptedFixture[],
  overrides: Partial<DecryptorNeeds> = {},
  pinned: Partial<PinnedColumn> = {},
) {
  const claimed = new Set<string>();
  const refusals: unknown[] = [];
  const needs: DecryptorNeeds = {
    backend: holder.backend,
    runtimeKey: runtimeKeys.publicKey,
    findColumn: async (digest) => {
      const found = fixtures.find((fixture) => fixture.totals.digest === digest);
      return found === undefined ? null : pin(found, pinned);
    },
    openColumn: async (digest) => [
      fixtures.find((fixture) => fixture.totals.digest === digest)?.file ?? new Uint8Array(0),
    ],
    isAgreed: async (transcript) => transcript.agreementId === 'agreement-1',
    claimOnce: async (jobId) => !claimed.has(jobId) && claimed.add(jobId) !== undefined,
    countApproximate: async () => 1,
    randomBytes: (length) => randomBytes(length),
    log: ({ reason }) => refusals.push(reason),
    ...overrides,
  };
  return { needs, refusals, claimed };
}

async function job(
  program: unknown,
  fixtures: readonly EncryptedFixture[],
  jobId = 'job-1',
  change: (t: Transcript) => Transcript = (t) => t,
) {
  const plan = planProgram(parseProgram(program), fixtures);
  const parts = await runOverColumns(
    plan,
    runtime,
    fixtures.map((fixture) => [fixture.file]),
  );
  return sealed(plan, parts, jobId, change);
}

function sealed(
  plan: ReturnType<typeof planProgram>,
  parts: readonly ResultPart[],
  jobId: string,
  change: (t: Transcript) => Transcript = (t) => t,
) {
  const facts = {
    jobId,
    agreementId: 'agreement-1',
    consumer: 'acme',
    units: counts.units,
    minUnits: 1,
    createdAtMs: 1_800_000_000_000,
  };
  const transcript = signTranscript(change(transcriptOf(plan, parts, facts)), runtimeKeys.privateKey);
  return { transcript, result: writeResult(parts) };
}

const SUM = { name: 'sum', columns: ['time'] };

test('an honest result of a registered program is decrypted to its declared scalars, once', async () => {
  const { needs } = decryptor([column]);
  const request = await job(SUM, [column]);
  const outcome = await verifyAndDecrypt(needs, request);
  assert.equal(outcome.kind, 'released');
  assert.deepEqual(outcome.kind === 'released' ? outcome.scalars.map((s) => s.exact) : [], [
    String(time.reduce((a, b) => a + b, 0)),
    String(time.length),
  ]);
  assert.deepEqual(await verifyAndDecrypt(needs, request), { kind: 'refused' });
});

test('every refusal reads the same, whatever is wrong', async () => {
  const honest = await job(SUM, [column]);
  const other = await encrypted(holder, { column: 'time', programs: ['sum'], low: 0, high: 4000, decimals: 0 }, [
    { values: time.slice(1) },
  ]);
  const stranger = generateKeyPairSync('ed25519');
  const plan = planProgram(parseProgram(SUM), [column]);
  const parts = await runOverColumns(plan, runtime, [[column.file]]);
  const facts = {
    jobId: 'j',
    agreementId: 'agreement-1',
    consumer: 'acme',
    units: counts.units,
    minUnits: 1,
    createdAtMs: 0,
  };
  const flipped = Buffer.from(honest.result);
  flipped[200] = (flipped[200] ?? 0) ^ 1;
  const attempts = [
    { ...honest, transcript: { ...honest.transcript, text: honest.transcript.text.replace('job-1', 'job-2') } },
    { ...honest, transcript: { ...honest.transcript, signature: 'AAAA' } },
    { ...honest, transcript: { text: 7 as unknown as string, signature: 'AAAA' } },
    { ...honest, transcript: signTranscript(transcriptOf(plan, parts, facts), stranger.privateKey) },
    { ...honest, result: flipped },
    { ...honest, result: honest.result.subarray(0, 100) },
    { ...honest, result: new Uint8Array(0) },
    await job(SUM, [other]),
    await job(SUM, [column], 'j2', (t) => ({ ...t, agreementId: 'other' })),
    await job(SUM, [column], 'j3', (t) => ({ ...t, units: 9 })),
    await job(SUM, [column], 'j3b', (t) => ({ ...t, minUnits: counts.units + 1 })),
    await job(SUM, [column], 'j3c', (t) => ({ ...t, minUnits: -1 })),
    await job(SUM, [column], 'j4', (t) => ({ ...t, inputs: [] })),
    await job(SUM, [column], 'j5', (t) => ({ ...t, program: { ...t.program, name: 'variance' } })),
    await job(SUM, [column], 'j6', (t) => ({ ...t, program: { ...t.program, shape: 'encryptedQuery' } })),
  ];
  const { needs, refusals, claimed } = decryptor([column]);
  for (const attempt of attempts) assert.deepEqual(await verifyAndDecrypt(needs, attempt), { kind: 'refused' });
  assert.equal(refusals.length, attempts.length);
  // a changed program that needs the same ciphertexts computes the same bytes: only its own declared scalars could leave
  assert.equal(claimed.size, 0);
});

test('even a dishonest runtime with its own signing key cannot have a crafted ciphertext decrypted', async () => {
  const plan = planProgram(parseProgram(SUM), [column]);
  const [honest] = await runOverColumns(plan, runtime, [[column.file]]);
  assert.ok(honest);
  const crafted: ResultPart[] = [];
  // c0 = 0, c1 = 1: the decryption would be the secret key itself
  const key = new BigUint64Array(8192).fill(1n, 4096);
  crafted.push({ ...honest, body: new Uint8Array(key.buffer) });
  // the result plus an encryption of something else, and the result of one block counted twice
  const shifted = new BigUint64Array(honest.body.slice().buffer);
  shifted[0] = ((shifted[0] ?? 0n) + 1n) % 18014398509309953n;
  crafted.push({ ...honest, body: new Uint8Array(shifted.buffer) });
  const doubled = new BigUint64Array(honest.body.slice().buffer).map((word) => (word * 2n) % 18014398509309953n);
  crafted.push({ ...honest, body: new Uint8Array(doubled.buffer) });
  const { needs, claimed } = decryptor([column]);
  let decryptions = 0;
  const watched: DecryptorNeeds = {
    ...needs,
    claimOnce: async (jobId) => {
      decryptions++;
      return needs.claimOnce(jobId);
    },
  };
  for (const [i, part] of crafted.entries()) {
    assert.deepEqual(await verifyAndDecrypt(watched, sealed(plan, [part], `crafted-${i}`)), { kind: 'refused' });
  }
  assert.equal(decryptions + claimed.size, 0);
});

test('a pinned file that changed on disk decrypts nothing', async () => {
  const damaged = Buffer.from(column.file);
  damaged[5000] = (damaged[5000] ?? 0) ^ 4;
  const { needs } = decryptor([column], { openColumn: async () => [damaged] });
  assert.deepEqual(await verifyAndDecrypt(needs, await job(SUM, [column])), { kind: 'refused' });
});

test('too few units, by either count, releases nothing', async () => {
  const request = await job(SUM, [column]);
  for (const pinned of [{ units: 9 }, { minUnits: counts.units + 1 }, { minUnits: 0 }, { minUnits: Number.NaN }]) {
    const { needs } = decryptor([column], {}, pinned);
    assert.deepEqual(await verifyAndDecrypt(needs, request), { kind: 'refused' });
  }
});

test('when the claim cannot be made durable, nothing is decrypted', async () => {
  const { needs } = decryptor([column], { claimOnce: async () => Promise.reject(new Error('disk full')) });
  assert.deepEqual(await verifyAndDecrypt(needs, await job(SUM, [column])), { kind: 'refused' });
});

test('small groups are kept back, and with one of them the next smallest, so that it cannot be subtracted out', async () => {
  const groups = ['a', 'b', 'c'];
  const sizes = [3, 40, 900];
  const rows = groups.map((group, i) => ({ group, values: time.slice(0, sizes[i]) }));
  const parted = await encrypted(
    holder,
    { column: 'time', programs: ['groupSums'], low: 0, high: 4000, decimals: 0, groups },
    rows,
  );
  const { needs } = decryptor([parted], {}, { groupUnits: sizes, maxRowsPerUnit: 1, units: 943 });
  const outcome = await verifyAndDecrypt(needs, await job({ name: 'groupSums', columns: ['time'] }, [parted]));
  assert.ok(outcome.kind === 'released');
  assert.deepEqual([...new Set(outcome.scalars.map((s) => s.group))], ['c']);
  assert.equal(outcome.withheld, 2);
});

test('groups, categories and present values rest on as many units as the rule asks for, where it asks for more than the key holder', async () => {
  const groups = ['a', 'b', 'c'];
  const sizes = [40, 60, 900];
  const parted = await encrypted(
    holder,
    { column: 'time', programs: ['groupSums'], low: 0, high: 4000, decimals: 0, groups },
    groups.map((group, i) => ({ group, values: time.slice(0, sizes[i]) })),
  );
  const codes = await encrypted(
    holder,
    { column: 'code', programs: ['histogram'], low: 0, high: 2, decimals: 0, categories: [0, 1, 2] },
    [{ values: Array.from({ length: 1000 }, (_, i) => (i < 40 ? 0 : i < 100 ? 1 : 2)) }],
  );
  const sparse = await encrypted(
    holder,
    { column: 'time', programs: ['mean'], low: 0, high: 4000, decimals: 0, isNullable: true },
    [{ values: time.slice(0, 1000).map((value, i) => (i < 40 ? value : null)) }],
  );
  const cases = [
    [{ name: 'groupSums', columns: ['time'] }, parted, ['a', 'b', 'c'], ['c']],
    [{ name: 'histogram', columns: ['code'] }, codes, ['0', '1', '2'], ['2']],
    [{ name: 'countEqual', columns: ['code'], parameters: { value: 0 } }, codes, ['0'], []],
    [{ name: 'mean', columns: ['time'] }, sparse, [null], null],
  ] as const;
  for (const [program, fixture, under10, under50] of cases) {
    const { needs } = decryptor([fixture], {}, { groupUnits: sizes, maxRowsPerUnit: 1, units: 1000 });
    for (const [minUnits, expected] of [
      [10, under10],
      [50, under50],
    ] as const) {
      const request = await job(program, [fixture], `${program.name}-${minUnits}`, (t) => ({
        ...t,
        units: 1000,
        minUnits,
      }));
      const outcome = await verifyAndDecrypt(needs, request);
      if (expected === null) assert.equal(outcome.kind, 'refused');
      else {
        assert.ok(outcome.kind === 'released', `${program.name} over ${minUnits}`);
        assert.deepEqual(
          [...new Set(outcome.scalars.map(({ group }) => group))],
          expected,
          `${program.name} over ${minUnits}`,
        );
      }
    }
  }
});

test('rare categories are kept back in histograms and counts', async () => {
  const codes = rx.map((_, i) => (i < 4 ? 9 : i % 2));
  const column2 = await encrypted(
    holder,
    { column: 'code', programs: ['histogram'], low: 0, high: 9, decimals: 0, categories: [0, 1, 9] },
    [{ values: codes }],
  );
  const { needs } = decryptor([column2]);
  const outcome = await verifyAndDecrypt(needs, await job({ name: 'histogram', columns: ['code'] }, [column2]));
  assert.ok(outcome.kind === 'released');
  assert.equal(outcome.scalars.length, 1);
  const rare = await verifyAndDecrypt(
    needs,
    await job({ name: 'countEqual', columns: ['code'], parameters: { value: 9 } }, [column2], 'job-9'),
  );
  assert.ok(rare.kind === 'released' && rare.scalars.length === 0);
});

test('categories asked one by one tell no more than the histogram does, and missing values hide like a category', async () => {
  // 4 rows of code 9 and 15 of code 1 are kept back together; asked for code 1 alone, 4 would follow by subtraction
  const small = (i: number): number => (i < 4 ? 9 : i < 19 ? 1 : 0);
  const intent = {
    column: 'code',
    programs: ['histogram'],
    low: 0,
    high: 9,
    decimals: 0,
    categories: [0, 1, 9],
  } as const;
  const told = async (values: readonly (number | null)[], name: string): Promise<readonly (string | null)[]> => {
    const isNullable = values.includes(null);
    const fixture = await encrypted(holder, { ...intent, isNullable }, [{ values: [...values] }]);
    const { needs } = decryptor([fixture], {}, { maxRowsPerUnit: 1, units: values.length });
    const release = async (program: object): Promise<readonly (string | null)[]> => {
      const request = await job({ columns: ['code'], ...program }, [fixture], `${name}-${JSON.stringify(program)}`);
      const outcome = await verifyAndDecrypt(needs, request);
      assert.ok(outcome.kind === 'released');
      return outcome.scalars.map(({ group }) => group);
    };
    const whole = await release({ name: 'histogram' });
    const alone: (string | null)[] = [];
    for (const value of intent.categories)
      alone.push(...(await release({ name: 'countEqual', parameters: { value } })));
    assert.deepEqual(alone, whole, 'one by one as all at once');
    return whole;
  };
  assert.deepEqual(
    await told(
      rx.map((_, i) => small(i)),
      'rare',
    ),
    ['0'],
  );
  assert.deepEqual(
    await told(
      rx.map((_, i) => (i < 4 ? null : i < 19 ? 1 : i < 40 ? 9 : 0)),
      'missing',
    ),
    ['0', '9'],
  );
  assert.deepEqual(
    await told(
      rx.map((_, i) => [0, 1, 9][i % 3] ?? 0),
      'large',
    ),
    ['0', '1', '9'],
  );
});

test('groups that share their units are kept back until one alone of them is large enough', async () => {
  const groups = ['a', 'b', 'c', 'd'];
  const sizes = [6, 8, 12, 400];
  const rows = groups.map((group, i) => ({ group, values: time.slice(0, sizes[i]) }));
  const parted = await encrypted(
    holder,
    { column: 'time', programs: ['groupSums'], low: 0, high: 4000, decimals: 0, groups },
    rows,
  );
  const program = { name: 'groupSums', columns: ['time'] };
  // the six of `a` are among the eight of `b`: both together are eight people, and one subtraction would tell them
  const shared = decryptor([parted], {}, { groupUnits: sizes, maxRowsPerUnit: 4, units: 400 });
  const outcome = await verifyAndDecrypt(shared.needs, await job(program, [parted]));
  assert.deepEqual(outcome.kind === 'released' && [...new Set(outcome.scalars.map((s) => s.group))], ['d']);
  const apart = decryptor([parted], {}, { groupUnits: sizes, maxRowsPerUnit: 1, units: 426 });
  const other = await verifyAndDecrypt(apart.needs, await job(program, [parted]));
  assert.deepEqual(other.kind === 'released' && [...new Set(other.scalars.map((s) => s.group))], ['c', 'd']);
});

test('approximate results leave flooded and rounded to the declared precision, inside the printed bound', async () => {
  const real = await encrypted(holder, { column: 'x', programs: ['logistic'], low: -1, high: 1, decimals: 0 }, [
    { values: time.map((t) => (t - 1600) / 2400) },
  ]);
  const { needs } = decryptor([real]);
  const program = { name: 'logistic', columns: ['x'], weights: [1.5], parameters: { decimals: 3 } };
  const seen = new Set<number>();
  const cubic = (z: number): number => 0.5 + 0.15012 * z - 0.0015930078125 * z ** 3;
  const expected = time.reduce((sum, t) => sum + cubic((1.5 * (t - 1600)) / 2400), 0) / time.length;
  for (let i = 0; i < 3; i++) {
    const outcome = await verifyAndDecrypt(needs, await job(program, [real], `job-${i}`));
    assert.ok(outcome.kind === 'released');
    const [scalar] = outcome.scalars;
    assert.ok(scalar && Math.abs(scalar.number * 1000 - Math.round(scalar.number * 1000)) < 1e-9);
    assert.ok(Math.abs(scalar.number - expected) <= scalar.errorBound);
    seen.add(scalar.number);
  }
  const fine = { ...program, parameters: { decimals: 6 } };
  assert.throws(() => planProgram(parseProgram(fine), [real]), { code: 'no-parameters' });
  // the noise of many results could be averaged away: under one key there is a last one
  const limit = approximateLimit(planProgram(parseProgram(program), [real]));
  assert.ok(limit > 1000, `${limit} results`);
  const request = await job(program, [real], 'last');
  const spent = decryptor([real], { countApproximate: async () => limit + 1 });
  assert.deepEqual(await verifyAndDecrypt(spent.needs, request), { kind: 'refused' });
  assert.match(String(spent.refusals[0]), /approximate results/);
  const last = decryptor([real], { countApproximate: async () => limit });
  assert.equal((await verifyAndDecrypt(last.needs, request)).kind, 'released');
});

test('a sum over a column of which only few values are present is kept back', async () => {
  const sparse = await encrypted(
    holder,
    { column: 'time', programs: ['sum'], low: 0, high: 4000, decimals: 0, isNullable: true },
    [{ values: time.map((value, i) => (i < 6 ? value : null)) }],
  );
  const { needs, refusals } = decryptor([sparse]);
  assert.deepEqual(await verifyAndDecrypt(needs, await job(SUM, [sparse])), { kind: 'refused' });
  assert.match(String(refusals[0]), /too few values/);
});
