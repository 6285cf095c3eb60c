import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fc } from '../property.ts';
import { readProgram } from '../../runtime/program-file/read-program.ts';
import { computationOfMessage } from '../../runtime/sandbox/javascript/from-message.ts';

const complaintsOf = (text: string): readonly string[] => {
  const read = readProgram(text, 'p.yaml');
  return read.kind === 'complaints' ? read.complaints : [];
};

describe('the description of a program', () => {
  test('every example is one that the runtime takes', () => {
    const folder = join(import.meta.dirname, '..', '..', 'examples', 'code');
    const files = globSync('*.yaml', { cwd: folder }).filter((file) => file !== 'policy.yaml');
    assert.ok(files.length >= 4);
    for (const file of files) {
      const read = readProgram(readFileSync(join(folder, file), 'utf8'), file);
      assert.ok(read.kind === 'program', file);
      const source = readFileSync(join(folder, read.sourceFile ?? ''), 'utf8');
      const parsed = computationOfMessage({ ...read.program, source });
      assert.ok(parsed.kind === 'ok', JSON.stringify(parsed));
    }
  });

  test('what is wrong is named with its place, and nothing is guessed', () => {
    assert.deepEqual(complaintsOf('method: guess\ntable: t\n'), [
      'p.yaml:1:9 method: must be one of rowFunction, blocks, approved, post',
    ]);
    assert.match(complaintsOf('table: t\nepsilom: 1\n')[0] ?? '', /^p\.yaml:2:10 epsilom: is not known/);
    assert.match(complaintsOf('outputs: [{ name: x, range: [0] }]')[0] ?? '', /range: needs two numbers/);
    assert.match(complaintsOf('table: t\ntable: u\n')[0] ?? '', /^p\.yaml:2:1 /);
    assert.match(complaintsOf('- a\n')[0] ?? '', /must be a mapping/);
    assert.match(complaintsOf(`table: ${'x'.repeat(70_000)}`)[0] ?? '', /larger than/);
  });

  test('aliases are refused, so that a small file cannot become a large program', () => {
    assert.match(complaintsOf('columns: &a [x]\nlibraries: *a\n')[0] ?? '', /aliases are not taken/);
  });

  test('the loss is rounded down to whole micro-epsilon', () => {
    const read = readProgram('table: t\nepsilon: 0.3000009', 'p.yaml');
    assert.equal(read.kind === 'program' ? read.program.microEpsilon : null, 300_000n);
  });

  test('any text is read or complained about, and never throws', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.json(),
          fc.string({
            unit: fc.constantFrom('{', '}', '[', ']', ':', '&', '*', '-', '\n', '\t', ' ', '"', '!', '|', '>'),
          }),
        ),
        (text) => {
          const read = readProgram(text, 'p.yaml');
          assert.ok(read.kind === 'program' || read.complaints.length > 0);
        },
      ),
      { numRuns: 300 },
    );
  });
});
