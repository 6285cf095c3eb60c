import type { Token } from './tokens.ts';

/** A piece of the text: offsets, start inclusive, end exclusive. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** One SELECT of the text with its clauses; `items` are the parts between commas (of WHERE: between ANDs). */
export interface SelectBlock extends Span {
  readonly clauses: readonly Clause[];
}

export interface Clause extends Span {
  readonly name: ClauseName;
  readonly items: readonly Item[];
}

export interface Item extends Span {
  readonly tokens: readonly Token[];
}

export type ClauseName = 'select' | 'from' | 'where' | 'group' | 'having' | 'qualify' | 'window' | 'order' | 'limit';

const OPENS: Readonly<Record<string, ClauseName>> = {
  select: 'select',
  from: 'from',
  where: 'where',
  group: 'group',
  having: 'having',
  qualify: 'qualify',
  window: 'window',
  order: 'order',
  limit: 'limit',
  offset: 'limit',
};
const SPLITS: ReadonlySet<string> = new Set(['union', 'intersect', 'except']);

/** Most SELECTs that are looked at. */
const MAX_BLOCKS = 32;

/** The first SELECTs of the text, in their order: outer ones stand before inner ones. */
export function selectBlocks(tokens: readonly Token[]): readonly SelectBlock[] {
  const blocks: SelectBlock[] = [];
  const depths = depthsOf(tokens);
  for (const [at, token] of tokens.entries()) {
    if (token.kind !== 'word' || token.text !== 'select' || blocks.length >= MAX_BLOCKS) continue;
    const depth = depths[at] ?? 0;
    let last = at;
    for (let i = at + 1; i < tokens.length; i++) {
      const own = depths[i] ?? 0;
      const one = tokens[i];
      if (own < depth || one === undefined) break;
      if (own === depth && (one.text === ';' || (one.kind === 'word' && SPLITS.has(one.text)))) break;
      last = i;
    }
    blocks.push(blockOf(tokens.slice(at, last + 1), depths.slice(at, last + 1), depth));
  }
  return blocks;
}

/** Depth of each token: parentheses, brackets and CASE … END go one down; an opening mark has the outer depth, a closing one too. */
function depthsOf(tokens: readonly Token[]): readonly number[] {
  let depth = 0;
  return tokens.map((token) => {
    const isMark = token.kind === 'mark';
    if ((isMark && (token.text === '(' || token.text === '[')) || (token.kind === 'word' && token.text === 'case'))
      return depth++;
    if ((isMark && (token.text === ')' || token.text === ']')) || (token.kind === 'word' && token.text === 'end'))
      depth = Math.max(0, depth - 1);
    return depth;
  });
}

function blockOf(tokens: readonly Token[], depths: readonly number[], depth: number): SelectBlock {
  const starts: { readonly name: ClauseName; readonly index: number }[] = [];
  for (const [index, token] of tokens.entries()) {
    const name = token.kind === 'word' && depths[index] === depth ? OPENS[token.text] : undefined;
    const before = tokens[index - 1];
    // `EXTRACT(year FROM x)` lies deeper; `WITHIN GROUP (…)` and `IS DISTINCT FROM` do not open a clause.
    if (name === undefined || before?.text === 'within' || before?.text === 'distinct') continue;
    if (name === 'order' || name === 'group') {
      if (tokens[index + 1]?.text !== 'by') continue;
    }
    starts.push({ name, index });
  }
  const clauses = starts.map(({ name, index }, i): Clause => {
    const until = starts[i + 1]?.index ?? tokens.length;
    const head = name === 'group' || name === 'order' ? 2 : isSetWord(tokens[index + 1]) && name === 'select' ? 2 : 1;
    const body = tokens.slice(index + head, until);
    const levels = depths.slice(index + head, until);
    return {
      name,
      start: tokens[index]?.start ?? 0,
      end: tokens[until - 1]?.end ?? 0,
      items: itemsOf(body, levels, { depth, by: name === 'where' || name === 'having' ? 'and' : ',' }),
    };
  });
  return { start: tokens[0]?.start ?? 0, end: tokens.at(-1)?.end ?? 0, clauses };
}

const isSetWord = (token: Token | undefined): boolean => token?.text === 'distinct' || token?.text === 'all';

/** Parts of a list, or the conjuncts of a condition; a condition with OR at its top is one part. */
function itemsOf(
  tokens: readonly Token[],
  depths: readonly number[],
  { depth, by }: { readonly depth: number; readonly by: string },
): readonly Item[] {
  const items: Token[][] = [[]];
  let isBetween = false;
  for (const [index, token] of tokens.entries()) {
    const isTop = depths[index] === depth;
    if (isTop && by === 'and' && token.text === 'or' && token.kind === 'word') return [itemOf(tokens)];
    if (isTop && by === 'and' && token.kind === 'word' && token.text === 'between') isBetween = true;
    if (isTop && token.kind !== 'quoted' && token.kind !== 'text' && token.text === by) {
      if (isBetween) isBetween = false;
      else {
        items.push([]);
        continue;
      }
    }
    items.at(-1)?.push(token);
  }
  return items.filter((one) => one.length > 0).map(itemOf);
}

const itemOf = (tokens: readonly Token[]): Item => ({
  tokens,
  start: tokens[0]?.start ?? 0,
  end: tokens.at(-1)?.end ?? 0,
});
