import type { Graph, NodeId } from './graph.ts';
import { loads, operations } from './instructions.ts';
import type { LoadKind } from './instructions.ts';

/**
 * The bytes of a WebAssembly module around a graph. It imports nothing and exports its memory and `run(rows, …addresses)`, which
 * goes through the rows of a batch, two at a time, and adds to each cell what the graph gives. Cells lie at the start of
 * the memory, two doubles each: one sum for the even rows and one for the odd.
 *
 * INVARIANT: the module is our own print, as the JavaScript kernel is. All that a program decides are the constants in it and
 * which of the operations of instructions.ts follow each other; addresses come from the loop alone.
 */
export function encodeModule(
  graph: Graph,
  terms: {
    /** what each cell is given, in order */
    readonly cells: readonly NodeId[];
    /** bytes of a value in each column that may be read */
    readonly columns: readonly { readonly as: LoadKind }[];
  },
): Uint8Array {
  const { cells, columns } = terms;
  const code = bodyOf(graph, cells, columns);
  const parameters = Array.from({ length: columns.length + 1 }, () => I32);
  return Uint8Array.from([
    ...MAGIC,
    ...section(1, [1, 0x60, ...vector(parameters), 0]),
    ...section(3, [1, 0]),
    ...section(5, [1, 1, ...leb(pagesOf(cells.length)), ...leb(MAX_PAGES)]),
    ...section(7, [2, ...exported('memory', 2), ...exported('run', 0)]),
    ...section(10, [1, ...leb(code.length), ...code]),
  ]);
}

/** Bytes that the cells take, and where rows may begin. */
export function bytesOfCells(cells: number): number {
  return cells * 16;
}

const PAGE = 65_536;
/** The largest batch and room for cells, with a page to read over its end. */
const MAX_PAGES = (200 * 2 ** 20) / PAGE;
const pagesOf = (cells: number): number => Math.ceil(bytesOfCells(cells) / PAGE) + 1;

/** `\0asm` and version 1. */
const MAGIC = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];
const I32 = 0x7f;
const V128 = 0x7b;
const SIMD = 0xfd;
const localGet = (index: number): number[] => [0x20, ...leb(index)];
const localSet = (index: number): number[] => [0x21, ...leb(index)];
const localTee = (index: number): number[] => [0x22, ...leb(index)];
const i32Const = (value: number): number[] => [0x41, ...signedLeb(value)];
const simd = (opcode: number): number[] => [SIMD, ...leb(opcode)];

function bodyOf(graph: Graph, cells: readonly NodeId[], columns: readonly { readonly as: LoadKind }[]): number[] {
  const plan = planOf(graph, cells);
  const rows = 0;
  const firstVector = columns.length + 1;
  const local = new Map<NodeId, number>();
  for (const id of plan.kept) local.set(id, firstVector + cells.length + local.size);
  const accumulator = (cell: number): number => firstVector + cell;
  const constants = plan.kept.filter((id) => graph.nodes[id]?.kind === 'constant');
  const out: number[] = [];
  const push = (...bytes: readonly number[]): void => {
    for (const byte of bytes) out.push(byte);
  };
  // Pushes a value: out of its local, or by computing it here.
  const value = (id: NodeId): void => {
    const kept = local.get(id);
    if (kept === undefined) compute(id);
    else push(...localGet(kept));
  };
  const compute = (id: NodeId): void => {
    const node = graph.nodes[id];
    if (node === undefined) throw new RangeError('a node is missing');
    switch (node.kind) {
      case 'constant':
        push(...simd(0x0c), ...bytesOf(node.low), ...bytesOf(node.low));
        return;
      case 'load':
        push(...localGet(1 + node.column), ...simd(loads[node.as].opcode), 0, 0);
        return;
      case 'live':
        push(...simd(0x0c), ...bytesOf(ONES), ...bytesOf(ONES));
        push(...simd(0x0c), ...bytesOf(ONES), ...bytesOf(0n));
        push(...localGet(rows), ...i32Const(2), 0x4e, 0x1c, 1, V128);
        return;
      case 'operation': {
        for (const operand of node.operands) value(operand);
        const [opcode, , takes] = operations[node.operation] as readonly [number, number, 'shift'?];
        if (takes === 'shift') push(...i32Const(node.shift));
        push(...simd(opcode));
      }
    }
  };
  push(...localGet(rows), ...i32Const(1), 0x48, 0x04, 0x40, 0x0f, 0x0b); // no row: return
  cells.forEach((_, cell) => push(...i32Const(0), ...simd(0x00), 0, ...leb(cell * 16), ...localSet(accumulator(cell))));
  for (const id of constants) {
    compute(id);
    push(...localSet(local.get(id) ?? 0));
  }
  push(0x03, 0x40); // loop
  for (const id of plan.kept) {
    if (graph.nodes[id]?.kind === 'constant') continue;
    compute(id);
    push(...localSet(local.get(id) ?? 0));
  }
  cells.forEach((id, cell) => {
    push(...localGet(accumulator(cell)));
    value(id);
    push(...simd(operations.add[0]), ...localSet(accumulator(cell)));
  });
  columns.forEach(({ as }, column) => {
    push(...localGet(1 + column), ...i32Const(2 * loads[as].bytes), 0x6a, ...localSet(1 + column));
  });
  push(...localGet(rows), ...i32Const(2), 0x6b, ...localTee(rows), ...i32Const(0), 0x4a, 0x0d, 0, 0x0b);
  cells.forEach((_, cell) => push(...i32Const(0), ...localGet(accumulator(cell)), ...simd(0x0b), 0, ...leb(cell * 16)));
  push(0x0b);
  return [...vectorOf([[...leb(cells.length + local.size), V128]]), ...out];
}

const ONES = 0xffff_ffff_ffff_ffffn;
/** Values inside of each other that are computed without a local: bounds the recursion of the encoder, and the stack of values. */
const MAX_NESTING = 32;

/** Which of the needed nodes are kept in a local, in their order: those used twice, all constants, and some of a deep nest. */
function planOf(graph: Graph, roots: readonly NodeId[]): { readonly kept: readonly NodeId[] } {
  const uses = new Uint32Array(graph.nodes.length);
  for (const root of roots) uses[root] = (uses[root] ?? 0) + 1;
  for (let id = graph.nodes.length - 1; id >= 0; id -= 1) {
    const node = graph.nodes[id];
    if (node?.kind !== 'operation' || (uses[id] ?? 0) === 0) continue;
    for (const operand of node.operands) uses[operand] = (uses[operand] ?? 0) + 1;
  }
  const height = new Uint32Array(graph.nodes.length);
  const kept: NodeId[] = [];
  graph.nodes.forEach((node, id) => {
    const count = uses[id] ?? 0;
    if (count === 0) return;
    const below = node.kind === 'operation' ? Math.max(...node.operands.map((each) => height[each] ?? 0)) : 0;
    if (count > 1 || node.kind === 'constant' || below >= MAX_NESTING) kept.push(id);
    else height[id] = below + 1;
  });
  return { kept };
}

function bytesOf(value: bigint): number[] {
  return Array.from({ length: 8 }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn));
}

function leb(value: number): number[] {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return [...bytes, rest];
    bytes.push((rest % 128) | 128);
  }
}

function signedLeb(value: number): number[] {
  const bytes: number[] = [];
  for (let rest = value; ; rest >>= 7) {
    if (rest >= -64 && rest < 64) return [...bytes, rest & 127];
    bytes.push((rest & 127) | 128);
  }
}

function vector(bytes: readonly number[]): number[] {
  return [...leb(bytes.length), ...bytes];
}

function vectorOf(items: readonly (readonly number[])[]): number[] {
  return [...leb(items.length), ...items.flat()];
}

function section(id: number, content: readonly number[]): number[] {
  return [id, ...leb(content.length), ...content];
}

function exported(name: string, kind: number): number[] {
  return [...vector([...Buffer.from(name)]), kind, 0];
}
