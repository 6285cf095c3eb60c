/* oxlint-disable typescript/switch-exhaustiveness-check -- only what is done to masks can be folded */
import type { LoadKind, Operation } from './instructions.ts';

/** A value of two rows; nodes are numbered so that each comes after those it is made of. */
export type NodeId = number;

export type GraphNode =
  | { readonly kind: 'constant'; readonly low: bigint }
  /** two rows of the column with that number */
  | { readonly kind: 'load'; readonly column: number; readonly as: LoadKind }
  /** ones for each of the two rows that is there: a batch may end with one */
  | { readonly kind: 'live' }
  | {
      readonly kind: 'operation';
      readonly operation: Operation;
      readonly operands: readonly NodeId[];
      /** bits to shift by */
      readonly shift: number;
    };

/** The graph has grown beyond its limit: whoever builds it does without. */
export class GraphTooLarge extends Error {
  override readonly name = 'GraphTooLarge';
}

/** Nodes of one graph: above, the compiler in the worker would take longer than it saves. */
const MAX_NODES = 4000;

/** Values of two rows as a graph without repetition: what is built twice is one node. */
export class Graph {
  readonly nodes: GraphNode[] = [];
  readonly #known = new Map<string, NodeId>();
  /** all bits 0, the mask of no row and the number 0 */
  readonly zero: NodeId = this.bits(0n);
  /** all bits 1, the mask of every row */
  readonly ones: NodeId = this.bits(0xffff_ffff_ffff_ffffn);
  readonly one: NodeId = this.number(1);
  readonly notANumber: NodeId = this.number(Number.NaN);

  /** The same double in both rows. */
  number(value: number): NodeId {
    scratch.setFloat64(0, value);
    return this.bits(Number.isNaN(value) ? 0x7ff8_0000_0000_0000n : scratch.getBigUint64(0));
  }

  /** The same 64 bits in both rows. */
  bits(low: bigint): NodeId {
    return this.#node(`c${low}`, { kind: 'constant', low });
  }

  load(column: number, as: LoadKind): NodeId {
    return this.#node(`l${column}:${as}`, { kind: 'load', column, as });
  }

  live(): NodeId {
    return this.#node('live', { kind: 'live' });
  }

  /** An operation, or what it comes to where a mask is known beforehand. */
  make(operation: Operation, operands: readonly NodeId[], shift = 0): NodeId {
    return (
      this.#foldedMask(operation, operands) ??
      this.#node(`${operation}:${operands.join(',')}:${shift}`, { kind: 'operation', operation, operands, shift })
    );
  }

  /** `yes` in the rows of the mask, else `no`. */
  select(mask: NodeId, yes: NodeId, no: NodeId): NodeId {
    return this.make('select', [yes, no, mask]);
  }

  #foldedMask(operation: Operation, operands: readonly NodeId[]): NodeId | undefined {
    const [one, other, third] = operands as readonly [NodeId, NodeId, NodeId];
    const { zero, ones } = this;
    switch (operation) {
      case 'not':
        return one === zero ? ones : one === ones ? zero : undefined;
      case 'and':
        if (one === zero || other === zero) return zero;
        return one === ones || one === other ? other : other === ones ? one : undefined;
      case 'andNot':
        if (one === zero || other === ones || one === other) return zero;
        return other === zero ? one : undefined;
      case 'or':
        if (one === ones || other === ones) return ones;
        return one === zero || one === other ? other : other === zero ? one : undefined;
      case 'xor':
        if (one === other) return zero;
        return one === zero ? other : other === zero ? one : undefined;
      case 'select':
        if (third === ones || one === other) return one;
        return third === zero ? other : undefined;
      default:
        return undefined;
    }
  }

  #node(key: string, node: GraphNode): NodeId {
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    if (this.nodes.length >= MAX_NODES) throw new GraphTooLarge();
    this.nodes.push(node);
    this.#known.set(key, this.nodes.length - 1);
    return this.nodes.length - 1;
  }
}

const scratch = new DataView(new ArrayBuffer(8));
