import assert from 'node:assert/strict';
import { test } from 'node:test';
import { problemOfBounds } from '../../runtime/gateway/homomorphic/encrypted-bounds.ts';
import { chooseParameters } from '../../runtime/homomorphic/choose.ts';
import { parseProgram } from '../../runtime/homomorphic/program.ts';
import type { AdmittedPermit } from '../../runtime/job/admission.ts';

interface Grant {
  readonly bounds: { readonly low: number; readonly high: number } | null;
  readonly consumers?: readonly string[] | null;
  readonly rights?: readonly string[];
}

/** Whether `acme`, of the group `hospitals`, may have this program over a column of these bounds, under these grants of the policy. */
function refused(
  name: string,
  low: number,
  high: number,
  decimals: number,
  ...grants: readonly Grant[]
): string | null {
  const { header } = chooseParameters({ column: 'x', programs: ['sum'], low, high, decimals, rows: 10 });
  const permit = {
    policy: {
      tables: [
        {
          columns: [
            { name: 'x', grants: grants.map((grant) => ({ consumers: null, rights: ['aggregate'], ...grant })) },
          ],
        },
      ],
    },
  } as unknown as AdmittedPermit['permit'];
  const program = parseProgram({ name, columns: ['x'] });
  const found = problemOfBounds(program, [{ ...header, keyId: `sha256:${'0'.repeat(64)}` }], permit, {
    party: 'acme',
    groups: ['hospitals'],
  });
  return found?.reasons[0]?.code ?? null;
}

test('a column that was encrypted with wider bounds than the policy lets count gives no number of its values', () => {
  const bounds = { low: 0, high: 100 };
  assert.equal(refused('sum', 0, 100, 0, { bounds }), null);
  assert.equal(refused('sum', 0, 101, 0, { bounds }), 'bounds-not-kept');
  assert.equal(refused('mean', -1, 100, 0, { bounds }), 'bounds-not-kept');
  assert.equal(refused('sum', 0, 100.01, 2, { bounds }), 'bounds-not-kept');
  assert.equal(refused('sum', 0, 0.29, 2, { bounds: { low: 0, high: 0.29 } }), null, 'whatever a double makes of it');
  assert.equal(refused('sum', 0, 1.1, 3, { bounds: { low: 0, high: 1.1 } }), null);
  assert.equal(refused('sum', 0, 1e9, 0, { bounds: { low: -1.7e308, high: 1.7e308 } }), null);
  assert.equal(refused('sum', 0, 0.5, 6, { bounds: { low: -1.7e308, high: 1.7e308 } }), null);
});

test('the narrowest grant that the asker has decides; counts of rows need none, and what is for others is for others', () => {
  const [wide, narrow] = [
    { low: 0, high: 1000 },
    { low: 0, high: 10 },
  ];
  assert.equal(refused('sum', 0, 100, 0, { bounds: wide }, { bounds: narrow }), 'bounds-not-kept');
  assert.equal(refused('sum', 0, 100, 0, { bounds: wide }, { bounds: narrow, consumers: ['other'] }), null);
  assert.equal(
    refused('sum', 0, 100, 0, { bounds: wide }, { bounds: narrow, consumers: ['group:hospitals'] }),
    'bounds-not-kept',
    'a grant to a group is a grant to who is in it',
  );
  assert.equal(refused('sum', 0, 100, 0, { bounds: wide }, { bounds: narrow, consumers: ['group:banks'] }), null);
  assert.equal(refused('sum', 0, 100, 0, { bounds: narrow, rights: ['filter'] }), null);
  assert.equal(refused('sum', 0, 100, 0, { bounds: null }), null);
  assert.equal(refused('count', 0, 100, 0, { bounds: narrow }), null);
});
