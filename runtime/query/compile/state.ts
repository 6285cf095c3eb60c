import type { AggregateRelease } from '../../policy/model.ts';
import type { BlockSketches } from '../enforce/sketches.ts';
import type { Gate } from '../enforced.ts';
import type { QueryContext } from '../catalogue.ts';
import type { SqlType } from '../types.ts';
import type { Rights } from '../rights.ts';
import type { RowScope } from '../rows.ts';
import type { CommonTable, Select, Syntax } from '../syntax.ts';
import type { Typed } from '../typed.ts';
import type { From } from './sources.ts';

/** What grows while a query is compiled. */
export interface State {
  readonly context: QueryContext;
  readonly terms: AggregateRelease;
  readonly rights: Rights;
  readonly setup: string[];
  readonly gates: Gate[];
  readonly withheld: string[];
  readonly words: string[];
  /** Physical names of the base tables that FROM named. */
  readonly reads: Set<string>;
  /** How often FROM named a table that the consumer brought. */
  brought: number;
  /** How often FROM held a list of constants. */
  listed: number;
  /** Certificates of released values that sub-queries in expressions bring in. */
  readonly borrowed: Certificate[];
  /** Sketches of the blocks so far, with this many buckets; null: none are asked for. */
  readonly sketches: { readonly buckets: number; readonly blocks: BlockSketches[] } | null;
  /** Blocks whose cells can be seen together. */
  shownBlocks: number;
  nextRelation: number;
  nextBlock: number;
  /** Queries that were compiled so far. */
  compiled: number;
  /** Turns private rows into values in another way than by thresholds; absent: by thresholds. */
  readonly noise?: NoiseStep;
}

/** Aggregates private rows with noise. `uses` grows with every part of the query that rests on a noisy answer. */
export interface NoiseStep {
  uses: number;
  /** Rows of a unit that a table keeps, at most. */
  readonly keptRows: number;
  readonly aggregate: (part: NoisePart) => Relation;
}

export interface NoisePart {
  /** As it was read: the same object for the same words, so that what WITH names is answered once. */
  readonly written: Select;
  readonly select: Select;
  readonly scope: Scope;
  readonly from: From;
  readonly resolveRow: (syntax: Syntax) => Typed;
  /** Whether it stands in FROM. */
  readonly isDerived: boolean;
}

/** Which noisy answers a column shows as they are: by certificate domain, the place among the answer's aggregates. */
export type NoisyOrigin = Readonly<Record<string, number>>;

export interface Column {
  readonly name: string;
  readonly expression: Typed;
  readonly role: Role;
  readonly noisy?: NoisyOrigin;
  /** A value of an answer that only picks the rows beside it: it cannot be named over them. */
  readonly isBesideRows?: true;
}

export type Role = 'key' | 'cell' | 'derived';

export interface Certificate {
  readonly domain: string;
  readonly sql: string;
}

/**
 * What a part of a query yields: private rows (to be aggregated, never shown), or values that were released already or
 * are public, over which everything is free.
 */
export type Relation =
  | { readonly kind: 'rows'; readonly scope: RowScope; readonly columns: readonly Column[] }
  | ReleasedRelation;

export interface ReleasedRelation {
  readonly kind: 'released';
  /** A complete SELECT whose columns are o0, o1, … and then c0, c1, … */
  readonly select: string;
  readonly columns: readonly {
    readonly name: string;
    readonly type: SqlType;
    readonly role: Role;
    /** Holds NULL and nothing else, as written: fits any type. */
    readonly isUntyped?: boolean;
    readonly noisy?: NoisyOrigin;
  }[];
  /** Domains of the certificate columns, in order. */
  readonly domains: readonly string[];
  /** The output, a public column as it stands, of which each value has one row; absent: none is known to. */
  readonly oneRowFor?: number;
}

/** Names that WITH gave to queries; inner ones hide outer ones. */
export interface Scope {
  readonly tables: ReadonlyMap<string, { readonly table: CommonTable; readonly scope: Scope }>;
}

export const NO_TABLES: Scope = { tables: new Map() };
