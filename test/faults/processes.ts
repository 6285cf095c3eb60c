import { readdirSync, readFileSync } from 'node:fs';

/** Ids of all processes below one, as /proc tells at this moment. */
export function descendantsOf(root: number): readonly number[] {
  const childrenOf = new Map<number, number[]>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const parent = parentOf(Number(name));
    if (parent !== null) childrenOf.set(parent, [...(childrenOf.get(parent) ?? []), Number(name)]);
  }
  const found: number[] = [];
  for (const next = [root]; next.length > 0;) {
    const children = childrenOf.get(next.pop() ?? 0) ?? [];
    found.push(...children);
    next.push(...children);
  }
  return found;
}

function parentOf(pid: number): number | null {
  try {
    // The name in parentheses may hold anything; what follows its last parenthesis is: state, parent, …
    const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ').at(-1)?.split(' ') ?? [];
    return Number(fields[1]);
  } catch {
    return null; // it has ended meanwhile
  }
}

/** Open descriptors of this process. */
export function openFiles(): number {
  return readdirSync('/proc/self/fd').length;
}
