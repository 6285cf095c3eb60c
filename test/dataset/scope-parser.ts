import { StatementParser } from '../../runtime/dataset/worker/parse-statements.ts';

/** Parses in-process, for tests that are not about workers. */
export async function parseHere(sql: string): Promise<string> {
  using parser = new StatementParser();
  const [text] = await parser.answer({ op: 'serialize', sql });
  return text ?? '';
}
