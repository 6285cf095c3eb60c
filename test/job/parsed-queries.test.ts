import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ParsedQueries } from '../../runtime/job/parsed-queries.ts';

const { signal } = new AbortController();

function counted(): { readonly queries: ParsedQueries; readonly parsed: string[] } {
  const parsed: string[] = [];
  const queries = new ParsedQueries((text) => {
    parsed.push(text);
    return Promise.resolve(
      text.startsWith('bad')
        ? { kind: 'invalid', message: 'no', at: null, remedy: null }
        : { kind: 'ast', ast: { text, parts: [{ deep: text.length }] } },
    );
  });
  return { queries, parsed };
}

describe('texts that were parsed', () => {
  it('are parsed once for each party: nobody learns from the time what others ask', async () => {
    const { queries, parsed } = counted();
    const first = await queries.parse('acme', 'select 1', signal);
    assert.equal(await queries.parse('acme', 'select 1', signal), first);
    assert.notEqual(await queries.parse('other', 'select 1', signal), first);
    await queries.parse('acme', 'select 2', signal);
    assert.deepEqual(parsed, ['select 1', 'select 1', 'select 2']);
  });

  it('cannot be changed by whoever got them', async () => {
    const { queries } = counted();
    const answer = await queries.parse('acme', 'select 1', signal);
    assert.ok(answer.kind === 'ast');
    const { parts } = answer.ast as { readonly parts: { deep: number }[] };
    assert.throws(() => (parts[0]!.deep = 0), TypeError);
    assert.throws(() => parts.push({ deep: 1 }), TypeError);
  });

  it('are forgotten, the least recently used first, before they take much memory', async () => {
    const { queries, parsed } = counted();
    const text = (n: number): string => `select ${n} -- ${'x'.repeat(7000)}`;
    await queries.parse('acme', 'select often', signal);
    for (let n = 0; n < 100; n += 1) {
      await queries.parse('acme', text(n), signal);
      await queries.parse('acme', 'select often', signal);
    }
    parsed.length = 0;
    await queries.parse('acme', text(99), signal);
    await queries.parse('acme', 'select often', signal);
    assert.deepEqual(parsed, []);
    await queries.parse('acme', text(0), signal);
    assert.deepEqual(parsed, [text(0)]);
  });

  it('are parsed once when that began ahead of the job, and anew when nothing came of it', async () => {
    const { promise, resolve } = Promise.withResolvers<{ readonly kind: 'ast'; readonly ast: object }>();
    const asked: string[] = [];
    const queries = new ParsedQueries((text) => {
      asked.push(text);
      if (text === 'lost' && asked.filter((one) => one === 'lost').length === 1)
        return Promise.reject(new Error('gone'));
      return text === 'slow' ? promise : Promise.resolve({ kind: 'ast', ast: { text } });
    });
    queries.ahead('acme', 'slow', signal);
    queries.ahead('acme', 'slow', signal);
    const answers = Promise.all([queries.parse('acme', 'slow', signal), queries.parse('acme', 'slow', signal)]);
    const leaving = new AbortController();
    const left = queries.parse('acme', 'slow', leaving.signal);
    leaving.abort('cancelled');
    await assert.rejects(left, (reason) => reason === 'cancelled', 'nobody who leaves waits for it');
    resolve({ kind: 'ast', ast: {} });
    const [first, second] = await answers;
    assert.equal(first, second);
    assert.deepEqual(asked, ['slow']);
    queries.ahead('acme', 'lost', signal);
    assert.deepEqual(await queries.parse('acme', 'lost', signal), { kind: 'ast', ast: { text: 'lost' } });
    queries.ahead('acme', 'mine', signal);
    await queries.parse('other', 'mine', signal);
    assert.deepEqual(asked, ['slow', 'lost', 'lost', 'mine', 'mine'], 'nobody gets what was begun for another');
  });

  it('are not kept when they are long or wrong', async () => {
    const { queries, parsed } = counted();
    for (const text of ['bad', `select ${'1'.repeat(9000)}`]) {
      await queries.parse('acme', text, signal);
      await queries.parse('acme', text, signal);
    }
    assert.equal(parsed.length, 4);
  });
});
