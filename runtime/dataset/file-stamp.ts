/** What tells that a file was touched, without reading it. */
import { statSync } from 'node:fs';

/**
 * Size, times and place of a file as one word. Synchronous on purpose: each job looks at a few files, and asking another
 * thread takes longer than the look. Throws the system's error when there is no such file.
 */
export function stampOf(path: string): string {
  const { size, mtimeNs, ctimeNs, ino, dev } = statSync(path, { bigint: true });
  return [size, mtimeNs, ctimeNs, ino, dev].join();
}

/** How many contents are kept. */
const MAX_KEPT = 256;

/** What was read from files and checked, for as long as nobody touches them. */
export class StampedContents<Content> {
  readonly #kept = new Map<string, { readonly stamp: string; readonly content: Content }>();

  /** The content of a file, read again whenever its stamp is another. Throws what `read` throws. */
  async get(path: string, read: () => Promise<Content>): Promise<Content> {
    const before = stampIfAny(path);
    const kept = this.#kept.get(path);
    if (kept !== undefined && kept.stamp === before) return kept.content;
    this.#kept.delete(path);
    const content = await read();
    // A file that changed while it was read is read again the next time.
    if (before !== null && stampIfAny(path) === before) {
      const [oldest] = this.#kept.keys();
      if (this.#kept.size >= MAX_KEPT && oldest !== undefined) this.#kept.delete(oldest);
      this.#kept.set(path, { stamp: before, content });
    }
    return content;
  }
}

function stampIfAny(path: string): string | null {
  try {
    return stampOf(path);
  } catch {
    return null;
  }
}
