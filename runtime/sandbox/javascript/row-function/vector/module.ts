import { Code } from './code.ts';
import type { Graph, NodeId } from './graph.ts';
import { loads, operations } from './instructions.ts';
import type { LoadKind } from './instructions.ts';
import { remainderBodies, remainderFunctions } from './remainder.ts';

/**
 * The bytes of a WebAssembly module around a graph. It imports nothing and exports its memory and `run(rows, …addresses)`, which
 * goes through the rows of a batch, two at a time, and adds to each cell what the graph gives. Cells lie at the start of
 * the memory, two doubles each: one sum for the even rows and one for the odd.
 *
 * A program with `%` brings the functions of remainder.ts along.
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
  const hasRemainder = graph.nodes.some((node) => node.kind === 'operation' && node.operation === 'remainder');
  const bodies = [bodyOf(graph, cells, columns), ...(hasRemainder ? remainderBodies() : [])];
  const parameters = Array.from({ length: columns.length + 1 }, () => I32);
  const run = [0x60, ...vector(parameters), 0];
  // The types of `run`, and of a remainder of two rows and of one.
  const types = hasRemainder ? [3, ...run, 0x60, 2, V128, V128, 1, V128, 0x60, 2, F64, F64, 1, F64] : [1, ...run];
  const head = [
    ...MAGIC,
    ...section(1, types),
    ...section(3, bodies.length === 1 ? [1, 0] : [3, 0, 1, 2]),
    ...section(5, [1, 1, ...leb(pagesOf(cells.length)), ...leb(MAX_PAGES)]),
    ...section(7, [2, ...exported('memory', 2), ...exported('run', 0)]),
  ];
  const code = Buffer.concat([Buffer.from([bodies.length]), ...bodies]);
  return Buffer.concat([Buffer.from([...head, 10, ...leb(code.length)]), code]);
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
const F64 = 0x7c;
/** The operations that touch memory: two doubles out of the cells and back. */
const LOAD = 0x00;
const STORE = 0x0b;

function bodyOf(graph: Graph, cells: readonly NodeId[], columns: readonly { readonly as: LoadKind }[]): Uint8Array {
  const { kept, size } = planOf(graph, cells);
  const constants = kept.filter((id) => graph.nodes[id]?.kind === 'constant');
  const steps = kept.filter((id) => graph.nodes[id]?.kind !== 'constant');
  const pairs = size <= MAX_WIDE_SIZE ? WIDE_PAIRS : 1;
  const rows = 0;
  const accumulator = (cell: number): number => columns.length + 1 + cell;
  const firstConstant = accumulator(cells.length);
  const constantLocal = new Map(constants.map((id, i) => [id, firstConstant + i]));
  const firstStep = firstConstant + constants.length;
  const stepLocal = new Map(steps.map((id, i) => [id, firstStep + i * pairs]));
  const code = new Code();
  /** Pushes the value of a node for one pair of rows: out of its local, or by computing it here. */
  const value = (id: NodeId, pair: number, isWhole: boolean): void => {
    const constant = constantLocal.get(id);
    if (constant !== undefined) return code.get(constant);
    const step = stepLocal.get(id);
    if (step !== undefined) return code.get(step + pair);
    compute(id, pair, isWhole);
  };
  const compute = (id: NodeId, pair: number, isWhole: boolean): void => {
    const node = graph.nodes[id];
    if (node === undefined) throw new RangeError('a node is missing');
    switch (node.kind) {
      case 'constant':
        code.constant(node.low, node.low);
        return;
      case 'load': {
        const { opcode, bytes } = loads[node.as];
        code.get(1 + node.column);
        code.access(opcode, 2 * bytes * pair);
        return;
      }
      case 'live':
        code.constant(ONES, ONES);
        if (isWhole) return;
        code.constant(ONES, 0n);
        code.get(rows);
        code.int32(2);
        code.raw(0x4e, 0x1c, 1, V128); // rows >= 2, select
        return;
      case 'operation': {
        for (const operand of node.operands) value(operand, pair, isWhole);
        if (node.operation === 'remainder') return code.raw(0x10, remainderFunctions.ofPair);
        const [opcode, , takes] = operations[node.operation] as readonly [number, number, 'shift'?];
        if (takes === 'shift') code.int32(node.shift);
        code.simd(opcode);
      }
    }
  };
  /** One loop over so many pairs in each turn, while there are `least` rows. */
  const loop = (count: number, least: number): void => {
    const isWhole = least === 2 * count;
    const each = Array.from({ length: count }, (_, pair) => pair);
    code.get(rows);
    code.int32(least);
    code.raw(0x4e, 0x04, 0x40, 0x03, 0x40); // if (rows >= least) loop
    for (const id of steps) {
      for (const pair of each) {
        compute(id, pair, isWhole);
        code.set((stepLocal.get(id) ?? 0) + pair);
      }
    }
    cells.forEach((id, cell) => {
      for (const pair of each) {
        code.get(accumulator(cell));
        value(id, pair, isWhole);
        code.simd(operations.add[0]);
        code.set(accumulator(cell));
      }
    });
    columns.forEach(({ as }, column) => {
      code.get(1 + column);
      code.int32(2 * count * loads[as].bytes);
      code.raw(0x6a);
      code.set(1 + column);
    });
    code.get(rows);
    code.int32(2 * count);
    code.raw(0x6b);
    code.tee(rows);
    code.int32(least);
    code.raw(0x4e, 0x0d, 0, 0x0b, 0x0b); // again while rows >= least
  };
  cells.forEach((_, cell) => {
    code.int32(0);
    code.access(LOAD, cell * 16);
    code.set(accumulator(cell));
  });
  for (const id of constants) {
    compute(id, 0, true);
    code.set(constantLocal.get(id) ?? 0);
  }
  if (pairs > 1) loop(pairs, 2 * pairs);
  loop(1, 1);
  cells.forEach((_, cell) => {
    code.int32(0);
    code.get(accumulator(cell));
    code.access(STORE, cell * 16);
  });
  code.raw(0x0b);
  return code.functionBody(cells.length + constants.length + steps.length * pairs, V128);
}

const ONES = 0xffff_ffff_ffff_ffffn;
/** Values inside of each other that are computed without a local. Few: pairs are to take turns after every few operations. */
const MAX_NESTING = 3;
/**
 * Pairs of rows that are computed side by side. The operations of one pair wait for each other; a processor looks some hundred
 * operations ahead, which is less than two turns of a long function, so those of four pairs are mixed.
 */
const WIDE_PAIRS = 4;
/** Nodes above which each turn has one pair: four times the code takes four times as long to compile. */
const MAX_WIDE_SIZE = 1000;

/** Which of the needed nodes are kept in a local, in their order: those used twice, all constants, and some of a deep nest. */
function planOf(graph: Graph, roots: readonly NodeId[]): { readonly kept: readonly NodeId[]; readonly size: number } {
  const uses = new Uint32Array(graph.nodes.length);
  for (const root of roots) uses[root] = (uses[root] ?? 0) + 1;
  for (let id = graph.nodes.length - 1; id >= 0; id -= 1) {
    const node = graph.nodes[id];
    if (node?.kind !== 'operation' || (uses[id] ?? 0) === 0) continue;
    for (const operand of node.operands) uses[operand] = (uses[operand] ?? 0) + 1;
  }
  const height = new Uint32Array(graph.nodes.length);
  const kept: NodeId[] = [];
  let size = 0;
  graph.nodes.forEach((node, id) => {
    const count = uses[id] ?? 0;
    if (count === 0) return;
    size += 1;
    const below = node.kind === 'operation' ? Math.max(...node.operands.map((each) => height[each] ?? 0)) : 0;
    if (count > 1 || node.kind === 'constant' || below >= MAX_NESTING) kept.push(id);
    else height[id] = below + 1;
  });
  return { kept, size };
}

function leb(value: number): number[] {
  const bytes: number[] = [];
  for (let rest = value; ; rest >>>= 7) {
    if (rest < 128) return [...bytes, rest];
    bytes.push((rest & 127) | 128);
  }
}

function vector(bytes: readonly number[]): number[] {
  return [...leb(bytes.length), ...bytes];
}

function section(id: number, content: readonly number[]): number[] {
  return [id, ...leb(content.length), ...content];
}

function exported(name: string, kind: number): number[] {
  return [...vector([...Buffer.from(name)]), kind, 0];
}
