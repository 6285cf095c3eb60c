/** Lines compared at most; longer texts are shown as replaced whole. */
const MAX_LINES = 2000;
/** Unchanged lines shown around a change. */
const CONTEXT = 3;

/** A unified difference of two texts by lines; empty when they are equal. */
export function sourceDifference(before: string, after: string, names: readonly [string, string]): string {
  if (before === after) return '';
  const [old, now] = [before.split('\n'), after.split('\n')];
  const lines = changes(old, now);
  const shown = new Set<number>();
  lines.forEach(({ sign }, i) => {
    if (sign !== ' ') for (let near = i - CONTEXT; near <= i + CONTEXT; near++) shown.add(near);
  });
  const text: string[] = [`--- ${names[0]}`, `+++ ${names[1]}`];
  let isInside = false;
  lines.forEach(({ sign, line, place }, i) => {
    if (shown.has(i)) {
      if (!isInside) text.push(`@@ -${place[0] + 1} +${place[1] + 1} @@`);
      text.push(`${sign}${line}`);
    }
    isInside = shown.has(i);
  });
  return text.join('\n');
}

interface Line {
  readonly sign: ' ' | '-' | '+';
  readonly line: string;
  /** Lines of the old and the new text before this one. */
  readonly place: readonly [number, number];
}

/** The longest common subsequence of lines, and what is between. */
function changes(old: readonly string[], now: readonly string[]): readonly Line[] {
  const isLong = old.length > MAX_LINES || now.length > MAX_LINES;
  const width = now.length + 1;
  const longest = isLong ? new Uint16Array(0) : new Uint16Array((old.length + 1) * width);
  if (!isLong) {
    for (let i = old.length - 1; i >= 0; i--) {
      for (let j = now.length - 1; j >= 0; j--) {
        const down = longest[(i + 1) * width + j] ?? 0;
        const right = longest[i * width + j + 1] ?? 0;
        longest[i * width + j] =
          old[i] === now[j] ? (longest[(i + 1) * width + j + 1] ?? 0) + 1 : Math.max(down, right);
      }
    }
  }
  const lines: Line[] = [];
  let [i, j] = [0, 0];
  while (i < old.length || j < now.length) {
    const place: readonly [number, number] = [i, j];
    if (!isLong && i < old.length && j < now.length && old[i] === now[j]) {
      lines.push({ sign: ' ', line: old[i] ?? '', place });
      [i, j] = [i + 1, j + 1];
    } else if (
      j >= now.length ||
      (i < old.length && (isLong || (longest[(i + 1) * width + j] ?? 0) >= (longest[i * width + j + 1] ?? 0)))
    ) {
      lines.push({ sign: '-', line: old[i] ?? '', place });
      i += 1;
    } else {
      lines.push({ sign: '+', line: now[j] ?? '', place });
      j += 1;
    }
  }
  return lines;
}
