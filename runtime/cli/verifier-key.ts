import { readText } from '../client/read-text.ts';
import { parseVerifierKey, type VerifierKey } from '../evidence/note.ts';
import { UsageError } from './output.ts';

/** The verifier key in a file; throws a UsageError when the file cannot be read or holds none. */
export function verifierKeyIn(file: string): VerifierKey {
  let text: string;
  try {
    text = readText(file);
  } catch {
    throw new UsageError(`cannot read the verifier key in \`${file}\``);
  }
  const key = parseVerifierKey(text.trim());
  if (key === undefined) throw new UsageError(`\`${file}\` holds no verifier key: it looks like NAME+HEX+BASE64`);
  return key;
}
