import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from '../property.ts';
import { parse } from 'yaml';
import { parsePolicy } from '../../runtime/policy-file/parse-policy.ts';
import { readYaml } from '../../runtime/policy-file/read-yaml.ts';

const K = 256 * 1024;

/** Milliseconds of CPU that reading takes: the clock on the wall says nothing on a busy machine. */
function costOf(text: string): number {
  const before = process.cpuUsage();
  const read = parsePolicy(text, 'p.yaml');
  assert.equal(read.kind, 'complaints');
  assert.ok(read.complaints.length <= 50);
  for (const { message } of read.complaints) assert.ok(message.length <= 2000, message.slice(0, 100));
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

const LARGE = {
  'nested flows': '['.repeat(K),
  'nested maps': '{a: '.repeat(K / 4),
  'nested lists in one line': '- '.repeat(K / 2),
  'questions in one line': '? '.repeat(K / 2),
  'an indentation that never ends': Array.from({ length: 700 }, (_, depth) => `${' '.repeat(depth)}a:`).join('\n'),
  'many keys': Array.from({ length: 20_000 }, (_, n) => `k${n}: 1`).join('\n'),
  'many keys of one policy': `apiVersion: glovebox/v1\n${Array.from({ length: 12_000 }, (_, n) => `k${n}: 1`).join('\n')}`,
  'one key many times': 'a: 1\n'.repeat(K / 5),
  'one long tag': '!'.repeat(K),
  quotes: '"'.repeat(K),
  'thousands of complaints about one line': '"'.repeat(100_000),
  directives: '%YAML 1.1\n'.repeat(K / 10),
  'a bomb of aliases': `a: &a [x]\n${Array.from(
    { length: 30 },
    (_, n) =>
      `b${n}: &b${n} [${Array(9)
        .fill(`*${n > 0 ? `b${n - 1}` : 'a'}`)
        .join(',')}]`,
  ).join('\n')}`,
};
for (const [what, text] of Object.entries(LARGE))
  test(`a policy of ${what} is refused in time that grows with its length`, () => {
    // Before there were bounds these took from 2 to 23 seconds.
    assert.ok(costOf(text.slice(0, K)) < 1500);
  });

test('a key that stands twice is a complaint with its place, also as a number and as a text', () => {
  for (const text of [
    'a: 1\nb: 2\na: 3',
    '1: x\n"1": y',
    '{ "a": 1, "a": 2 }',
    'x:\n  - { k: 1, k: 2 }',
    'null: 1\n"null": 2',
  ]) {
    const read = readYaml(text);
    assert.ok(read.kind === 'troubles', text);
    assert.match(read.troubles[0]?.message ?? '', /unique/);
    assert.ok((read.troubles[0]?.line ?? 0) >= 1);
  }
  assert.equal(readYaml('? [a, b]\n: 1').kind, 'troubles', 'a key is a plain name');
  assert.equal(readYaml('a:\n  __proto__: { rights: [] }').kind, 'troubles', 'a key that an object would lose');
});

test('half a character, which only an escape can say, is a complaint with its place', () => {
  for (const text of ['a: 1\nb: "x\\uD83D"', '{"a": 1,\n"b\\uDE00": 2}', 'a:\n  - ["\\uDE00\\uD83D"]']) {
    const read = readYaml(text);
    assert.ok(read.kind === 'troubles', text);
    assert.match(read.troubles[0]?.message ?? '', /half a character/);
    assert.equal(read.troubles[0]?.line, 2);
  }
  const whole = readYaml('{ "a": "\\uD83D\\uDE00" }');
  assert.deepEqual(whole.kind === 'read' ? whole.value : whole.troubles, { a: '\u{1F600}' });
});

test('whatever else JSON can say is read as the parser of YAML reads it', () => {
  fc.assert(
    fc.property(fc.json({ maxDepth: 5 }), (text) => {
      const read = readYaml(text);
      if (read.kind === 'read') assert.deepEqual(read.value, parse(text, { schema: 'core', version: '1.2' }));
    }),
    { numRuns: 100 },
  );
});
