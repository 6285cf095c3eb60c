import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { registerFiles } from '../../runtime/client/upload.ts';
import { type Member, rowsOf, startWorld, type World } from './world.ts';

/**
 * What one consumer was given, by whatever door, is compared with what it would be given next. Each attack asks two
 * questions whose answers differ by one person, in a way in which earlier answers could be out of sight: under a rule or
 * agreement with another minimum, under another policy, over the next version of the data.
 */
const BASE: readonly string[] = Array.from({ length: 120 }, (_, i) => `${i},${20 + i},w${i % 2},${10 + (i % 7)}`);
/** Of whom the answers differ. */
const ONE = '500,33,w1,7777';
const csv = (rows: readonly string[]): string => `id,age,ward,cost\n${rows.join('\n')}\n`;

interface Terms {
  readonly minUnits?: number;
  readonly unit?: string;
  readonly more?: string;
}
const policy = (dataset: string, { minUnits = 10, unit = '[id]', more = '' }: Terms = {}): string => `
apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: ${dataset}, grade: important }
tables:
  ${dataset}:
    privacyUnit: ${unit}
    columns:
      ${unit === 'row' ? '' : 'id: { rights: [countDistinct] }'}
      age: { rights: [filter] }
      ward: { rights: [group] }
      cost: { rights: [aggregate], bounds: [0, 10000] }
allow:
  - { id: statistics, mode: aggregate, release: { minUnits: ${minUnits}, maxRows: 1000, differencing: guard } }
${more}`;

let world: World;
let acme: Member;
before(async () => {
  world = await startWorld();
  acme = await world.member('acme', 'consumer');
});
after(() => world[Symbol.asyncDispose]());

async function register(name: string, rows: readonly string[]): Promise<void> {
  const path = join(world.path, `${name}.csv`);
  writeFileSync(path, csv(rows));
  for await (const { reasons } of registerFiles(world.owner.catalogue, { name }, [{ path }]))
    assert.deepEqual(reasons, []);
  rmSync(path);
}
async function attach(document: string): Promise<void> {
  assert.deepEqual((await world.owner.policies.attach({ document })).complaints, []);
}
async function agree(dataset: string): Promise<string> {
  const { agreement } = await world.owner.agreements.offer({ dataset, consumer: 'acme' });
  const id = agreement?.id ?? '';
  await acme.agreements.accept({ id });
  return id;
}
async function answer(sql: string, ...agreementIds: readonly string[]): Promise<readonly Record<string, unknown>[]> {
  const outcome = await acme.jobs.sql(sql, { agreementIds: [...agreementIds] });
  assert.equal(outcome.kind, 'released', JSON.stringify(outcome.kind === 'refused' ? outcome.reasons : ''));
  return outcome.kind === 'released' ? rowsOf(outcome.table) : [];
}

const below = (dataset: string, age: number): string =>
  `select count(*) as n, sum(cost) as s from ${dataset} where age < ${age}`;
const all = (dataset: string): string => `select count(*) as n, sum(cost) as s from ${dataset}`;

describe('an answer that differs by one person from an earlier one is withheld', () => {
  it('in a job with a dataset of a larger minimum', async () => {
    await register('first', BASE);
    await register('second', BASE);
    await attach(policy('first'));
    await attach(policy('second', { minUnits: 25 }));
    const [first, second] = [await agree('first'), await agree('second')];
    assert.equal((await answer(below('first', 60), first)).length, 1);
    const both = `select n, s from (${below('first', 61)}) union all select count(*) as n, 0 as s from second`;
    assert.deepEqual(await answer(both, first, second), [{ n: 120n, s: 0n }]);
    // And the other way round: what was told beside the larger minimum is not told again with one person less.
    const wide = `select n, s from (${below('first', 100)}) union all select count(*) as n, 1 as s from second`;
    assert.equal((await answer(wide, first, second)).length, 2);
    assert.deepEqual(await answer(below('first', 99), first), []);
  });

  it('under an agreement that the consumer made stricter, and under policies with other columns and rules', async () => {
    await register('third', BASE);
    await attach(policy('third'));
    const first = await agree('third');
    assert.equal((await answer(below('third', 80), first)).length, 1);
    for (const terms of [{ minUnits: 11 }, { minUnits: 20 }, { columns: '{}' }]) {
      const document =
        terms.columns === undefined ? policy('third', terms) : policy('third').replace(/ +ward:.*\n/, '');
      const { agreement } = await world.owner.agreements.offer({ dataset: 'third', consumer: 'acme' });
      const countered = await acme.agreements.counter({ id: agreement?.id ?? '', policyDocument: document });
      assert.equal(countered.agreement?.state, 'active');
      assert.deepEqual(await answer(below('third', 81), countered.agreement?.id ?? ''), [], document);
    }
    // Another layout: the rows lie in another order.
    const noisy =
      '  - { id: noisy, mode: differentialPrivacy, release: { epsilonPerJob: 1, epsilonTotal: 2, maxRowsPerUnit: 1 } }';
    const coarse = '  - { id: coarse, mode: aggregate, release: { minUnits: 40, maxRows: 10, differencing: guard } }';
    await attach(policy('third', { more: `${noisy}\n${coarse}` }));
    const next = await agree('third');
    const outcome = await acme.jobs.sql(below('third', 81), { agreementIds: [next], ruleId: 'statistics' });
    assert.deepEqual(outcome.kind === 'released' ? rowsOf(outcome.table) : outcome.reasons, []);
  });

  const versions: readonly { readonly how: string; readonly unit: string; readonly rows: readonly string[] }[] = [
    { how: 'with one person more at its end', unit: '[id]', rows: [...BASE, ONE] },
    { how: 'with one row more in its midst, where rows are units', unit: 'row', rows: BASE.toSpliced(17, 0, ONE) },
    { how: 'with one person less, in another order', unit: '[id]', rows: BASE.slice(1).toReversed() },
    { how: 'with another value of one person, of another type', unit: '[id]', rows: BASE.with(5, '5,25,w1,77.5') },
  ];
  for (const [index, { how, unit, rows }] of versions.entries())
    it(`over a version ${how}`, async () => {
      const name = `versioned${index}`;
      await register(name, BASE);
      await attach(policy(name, { unit }));
      const agreement = await agree(name);
      assert.equal((await answer(all(name), agreement)).length, 1);
      await register(name, rows);
      assert.deepEqual(await answer(all(name), agreement), []);
    });

  it('and one over the same rows in another order is not', async () => {
    await register('same', BASE);
    await attach(policy('same'));
    const agreement = await agree('same');
    const before = await answer(all('same'), agreement);
    await register('same', BASE.toReversed());
    assert.deepEqual(await answer(all('same'), agreement), before);
  });
});
