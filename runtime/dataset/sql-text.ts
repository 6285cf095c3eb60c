/** Printing SQL: the only two ways in which outside text enters a statement of ours. */

/** A quoted identifier. Throws on NUL, which no engine name can hold. */
export function quoteName(name: string): string {
  if (name.includes('\0')) throw new RangeError('a name holds a NUL character');
  return `"${name.replaceAll('"', '""')}"`;
}

/** A quoted text literal. Throws on NUL. */
export function quoteText(text: string): string {
  if (text.includes('\0')) throw new RangeError('a text holds a NUL character');
  return `'${text.replaceAll("'", "''")}'`;
}

/** The engine's message for the provider: one line, cut. */
export function firstLine(error: unknown): string {
  const line = (error instanceof Error ? error.message : String(error)).split('\n')[0] ?? '';
  const plain = line.replace(/(["']?)\/[^\s"']+\1/g, 'the file').replace(/[\p{C}]/gu, ' ');
  return plain.length > 200 ? `${plain.slice(0, 200)}…` : plain;
}
