import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { requestOf } from '../../runtime/cli/job-request.ts';

const TEXT = 'select count(*) from visits where cost = $m';
const parametersOf = async (param: readonly string[]): Promise<unknown> => {
  const { computation } = await requestOf(TEXT, { param } as never);
  assert.ok(computation?.kind === 'sql');
  const { parameters = {} } = computation.sql;
  return Object.fromEntries(
    Object.entries(parameters as Record<string, { value: Record<string, unknown> }>).map(([name, { value }]) => [
      name,
      value[value['kind'] as string],
    ]),
  );
};

describe('a job as the command line asks for it', () => {
  it('reads numbers as numbers, and what is no number exactly as a text', async () => {
    assert.deepEqual(await parametersOf(['a=5', 'b=-2.50', 'c=true', 'd=web', 'e=2024-01-31', 'f=x=y', 'g=']), {
      a: 5n,
      b: -2.5,
      c: true,
      d: 'web',
      e: '2024-01-31',
      f: 'x=y',
      g: '',
    });
    assert.deepEqual(
      await parametersOf(['a=007', 'b=1234567890123456789', 'c=0.12345678901234567', "d='12'", "e='it''s'"]),
      {
        a: '007',
        b: '1234567890123456789',
        c: '0.12345678901234567',
        d: '12',
        e: "it's",
      },
    );
  });

  it('finds the query behind an option that takes several values', async () => {
    for (const given of [
      { agreement: ['agr-1', 'agr-2', TEXT] },
      { agreement: ['agr-1', 'agr-2'], param: ['m=5', TEXT] },
    ]) {
      const request = await requestOf(undefined, given as never);
      assert.ok(request.computation?.kind === 'sql');
      assert.equal(request.computation.sql.text, TEXT);
      assert.deepEqual(request.agreementIds, ['agr-1', 'agr-2']);
    }
    await assert.rejects(requestOf(undefined, { param: ['m=5', 'city=New York'] } as never), /give the query once/);
  });
});
