import type { EvidenceEvent } from './entry.ts';

/** A thing that the log names: `result/job-…`, `job/…`, `dataset/visits@2`, `policy/visits@3`, `agreement/…`. */
export interface LineageNode {
  readonly name: string;
  /** SHA-256 as last recorded. */
  readonly sha256: string;
}

/** `from` went into `to`: a dataset into a job, a job into its result. */
export interface LineageEdge {
  readonly from: string;
  readonly to: string;
}

export interface Lineage {
  readonly nodes: readonly LineageNode[];
  readonly edges: readonly LineageEdge[];
}

/** What goes into a job, by the first word of its name. */
const INPUTS: readonly string[] = ['agreement', 'policy', 'computation', 'dataset'];

/**
 * Where results come from and where datasets went, from the log alone: give `visit` to verifyLog, so that only verified
 * entries count. A job that was denied or failed has no result, and is shown without one.
 */
export function lineageOf(): {
  readonly visit: (event: EvidenceEvent) => void;
  /**
   * Everything that a thing came from and everything that came of it; undefined when the log does not name it. A
   * dataset, policy or agreement may be named without its version.
   */
  readonly of: (name: string) => Lineage | undefined;
} {
  const digests = new Map<string, string>();
  const into = new Map<string, Set<string>>();
  const outOf = new Map<string, Set<string>>();
  const link = (from: string, to: string): void => {
    into.set(to, (into.get(to) ?? new Set()).add(from));
    outOf.set(from, (outOf.get(from) ?? new Set()).add(to));
  };
  const visit = (event: EvidenceEvent): void => {
    const job = event.subjects.find(({ name }) => name.startsWith('job/'))?.name;
    for (const { name, sha256 } of event.subjects) digests.set(name, sha256);
    if (job === undefined) return;
    for (const { name } of event.subjects) {
      if (event.kind === 'decision' && INPUTS.includes(name.split('/')[0] ?? '')) link(name, job);
      if (event.kind === 'release' && name.startsWith('result/')) link(job, name);
    }
  };
  const reach = (start: readonly string[], next: ReadonlyMap<string, ReadonlySet<string>>): Set<string> => {
    const seen = new Set<string>();
    let frontier = [...start];
    while (frontier.length > 0) {
      frontier = frontier.flatMap((one) => [...(next.get(one) ?? [])]).filter((one) => !seen.has(one));
      for (const one of frontier) seen.add(one);
    }
    return seen;
  };
  return {
    visit,
    of: (name) => {
      const start = [...digests.keys()].filter((one) => one === name || one.startsWith(`${name}@`));
      if (start.length === 0) return undefined;
      const names = new Set([...start, ...reach(start, into), ...reach(start, outOf)]);
      const edges = [...names].flatMap((to) =>
        [...(into.get(to) ?? [])].filter((from) => names.has(from)).map((from) => ({ from, to })),
      );
      return { nodes: [...names].map((one) => ({ name: one, sha256: digests.get(one) ?? '' })), edges };
    },
  };
}

/** The lineage as a picture: inputs on the left, jobs in the middle, results on the right. */
export function lineageSvg({ nodes, edges }: Lineage): string {
  const columns = [
    nodes.filter(({ name }) => !/^(job|result)\//.test(name)),
    nodes.filter(({ name }) => name.startsWith('job/')),
    nodes.filter(({ name }) => name.startsWith('result/')),
  ];
  const [width, height, wide, row] = [300, 28, 380, 44];
  const place = new Map<string, { readonly x: number; readonly y: number }>();
  for (const [column, members] of columns.entries())
    for (const [index, { name }] of members.entries()) place.set(name, { x: 20 + column * wide, y: 20 + index * row });
  const tall = 40 + Math.max(1, ...columns.map(({ length }) => length)) * row;
  const lines = edges.flatMap(({ from, to }) => {
    const [a, b] = [place.get(from), place.get(to)];
    if (a === undefined || b === undefined) return [];
    return [`<path d="M${a.x + width} ${a.y + height / 2} L${b.x} ${b.y + height / 2}" stroke="#888" fill="none"/>`];
  });
  const boxes = nodes.map(({ name, sha256 }) => {
    const { x, y } = place.get(name) ?? { x: 0, y: 0 };
    return `<g><title>${escapeXml(`${name} sha256:${sha256}`)}</title><rect x="${x}" y="${y}" width="${width}" height="${height}" rx="4" fill="#eef" stroke="#557"/><text x="${x + 8}" y="${y + 18}" font-family="sans-serif" font-size="12">${escapeXml(name.length > 42 ? `${name.slice(0, 41)}…` : name)}</text></g>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${3 * wide} ${tall}" width="${3 * wide}" height="${tall}">${lines.join('')}${boxes.join('')}</svg>\n`;
}

const ESCAPES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
const escapeXml = (text: string): string => text.replace(/[&<>"]/g, (one) => ESCAPES[one] ?? one);
