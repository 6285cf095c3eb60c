/** Names of all tables that a parsed query names, in lower case, wherever they stand; aliases of sub-queries among them. */
export function tableNamesIn(ast: unknown): ReadonlySet<string> {
  const found = new Set<string>();
  const open: unknown[] = [ast];
  for (let value = open.pop(); value !== undefined; value = open.pop()) {
    if (typeof value !== 'object' || value === null) continue;
    const name = (value as { readonly table_name?: unknown }).table_name;
    if (typeof name === 'string') found.add(name.toLowerCase());
    for (const part of Object.values(value)) if (typeof part === 'object' && part !== null) open.push(part);
  }
  return found;
}
