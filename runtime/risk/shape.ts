/** Strings, comments and numbers: what differs without changing what is asked about. Linear in the text. */
const CONSTANTS =
  /\be'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|\$([a-z_]*)\$[\s\S]*?\$\1\$|--[^\n]*|\/\*[\s\S]*?(?:\*\/|$)|(?<![\w.])(?:\d[\d_]*(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?/gi;
const TOKENS = /"(?:[^"]|"")*"|[a-z_][\w$]*|[^\s\w]/g;
/** Words that name nothing, also where a name could stand. */
const KEYWORDS = new Set(
  (
    'all and any as asc between by case collate cross desc distinct else end escape except exclude exists false filter for ' +
    'from full group having ignore ilike in inner intersect interval is join lateral left like limit materialized natural ' +
    'not null nulls offset on or order outer over partition pivot positional qualify recursive replace respect right rows ' +
    'sample select semi similar some tablesample then true union unpivot using values when where window with within'
  ).split(' '),
);

/**
 * What a question is about: the set of the columns, tables and functions that it names, without constants, comments,
 * operators, brackets and names of its own making. What differs only in spelling, in order, in conditions said twice or in
 * constants has one shape. It is a text for detectors, never for decisions: two questions of one shape may ask
 * different things.
 */
export function shapeOf(text: string): string {
  const tokens = text.replace(CONSTANTS, ' ? ').toLowerCase().match(TOKENS) ?? [];
  const own = new Set<string>();
  for (const [at, token] of tokens.entries()) {
    if (!isName(token)) continue;
    const before = tokens[at - 1] ?? '';
    const isAlias = before === 'as' || before === ')' || before === '?' || isName(before);
    const isCommonTable = tokens[at + 1] === 'as' && ['(', 'materialized', 'not'].includes(tokens[at + 2] ?? '');
    if (isAlias || isCommonTable) own.add(bare(token));
  }
  const named = tokens.filter(isName).map(bare);
  return [...new Set(named)]
    .filter((name) => !own.has(name))
    .toSorted()
    .join(' ');
}

const isName = (token: string): boolean => /^["a-z_]/.test(token) && !KEYWORDS.has(token);

/** A quoted name and the same name plain are one. */
const bare = (name: string): string => (name.startsWith('"') ? name.slice(1, -1).replaceAll('""', '"') : name);
