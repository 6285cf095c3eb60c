/** Commands that serve others: who started them may stop reading, they go on. */
const SERVERS: ReadonlySet<string> = new Set(['serve', 'decryptor', 'evidence witness']);

/**
 * Ends quietly when nobody reads what is written any more (`… | head`), as programs in a pipe do; without this the write
 * is an uncaught error with a stack trace. `words` are those of the command line.
 */
export function endWhenNobodyReads(words: readonly string[]): void {
  for (const stream of [process.stdout, process.stderr])
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
      if (!SERVERS.has(words[0] ?? '') && !SERVERS.has(words.slice(0, 2).join(' ')))
        process.exit(process.exitCode ?? 0);
    });
}
