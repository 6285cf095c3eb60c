/**
 * The usage policy as plain data: what a provider allows, after the policy file has been parsed and normalised.
 * Everything is explicit here (no optional defaults left to the reader); absent means denied.
 */

export type Grade = 'public' | 'internal' | 'important' | 'core';

/** What a computation may do with a column. Each right is separate; a column without a grant cannot be used at all. */
export type ColumnRight =
  | 'join'
  | 'group'
  | 'filter'
  | 'compare'
  | 'order'
  | 'countDistinct'
  | 'aggregate'
  | 'extremum';

export type AggregateFunction =
  | 'sum'
  | 'avg'
  | 'count'
  | 'variance'
  | 'stddev'
  | 'correlation'
  | 'regressionSlope'
  | 'quantile'
  | 'histogram';

/** A literal in a policy: numbers are kept as the text that was written, so that nothing is rounded. */
export type PolicyLiteral =
  | { readonly kind: 'text'; readonly value: string }
  | { readonly kind: 'number'; readonly text: string }
  | { readonly kind: 'boolean'; readonly value: boolean };

/** One grant on one column: rights, and the limits that come with them. */
export interface ColumnGrant {
  /** Parties the grant is for; null means every party that the rule admits. */
  readonly consumers: readonly string[] | null;
  readonly rights: readonly ColumnRight[];
  /** Aggregate functions allowed on the column; only meaningful with the right `aggregate`. */
  readonly functions: readonly AggregateFunction[];
  /** Values are clipped to [low, high] before anything is computed on them; null when not declared. */
  readonly bounds: { readonly low: number; readonly high: number } | null;
  /** `public`: the set of values is no secret. A list: exactly these values are public. null: values are private. */
  readonly values: 'public' | readonly PolicyLiteral[] | null;
  /** Inner edges of declared histogram bins, ascending; null when none are declared. */
  readonly bins: readonly number[] | null;
}

export interface ColumnPolicy {
  readonly name: string;
  readonly grants: readonly ColumnGrant[];
  readonly grade: Grade | null;
}

/** One step of a path to the table that holds the unit: `from` in this table equals `to` in `table`. */
export interface JoinStep {
  readonly from: string;
  readonly table: string;
  readonly to: string;
}

/** Whom or what a table protects: key columns, here or at the end of a join path. */
export interface PrivacyUnit {
  readonly columns: readonly string[];
  readonly via: readonly JoinStep[];
}

export type JoinMode = 'allowed' | 'required' | 'onlyOnUnit' | 'forbidden';

export interface TablePolicy {
  /** SQL name of the table; null when the dataset has one table and the document did not name it. */
  readonly name: string | null;
  /** A table that protects nobody (a code list): no unit, every named column is readable. */
  readonly isPublic: boolean;
  /** Each must reach its minimum. Empty only when `isPublic`. The empty column list means: the row is the unit. */
  readonly privacyUnits: readonly PrivacyUnit[];
  readonly columns: readonly ColumnPolicy[];
  /** A condition in SQL that every row must meet to be visible at all; written by the provider. */
  readonly rows: string | null;
  /** Whether the table may be joined with private tables of other datasets. */
  readonly joins: JoinMode;
  /** Whether tables that a consumer brings may be joined on columns that grant `join`; `onUnit`: on the privacy unit too. */
  readonly consumerTables: boolean | 'onUnit';
}

export type Mode = 'aggregate' | 'differentialPrivacy' | 'homomorphic' | 'sandbox' | 'approvedCode';
export const MODES: readonly Mode[] = ['aggregate', 'differentialPrivacy', 'homomorphic', 'sandbox', 'approvedCode'];

export type SmallGroups = 'drop' | 'remainder' | 'null' | 'refuse';
export type IsolationLevel = 'none' | 'process' | 'confined' | 'namespaced' | 'vm';

/** `max` uses per period; `perMs` null means over the life of the agreement. */
export interface UseCount {
  readonly max: number;
  readonly perMs: number | null;
}

export interface Conditions {
  readonly consumers: readonly string[] | null;
  readonly purposes: readonly string[] | null;
  /** Inclusive start and exclusive end, milliseconds since the epoch. */
  readonly notBefore: number | null;
  readonly notAfter: number | null;
  /** How long after all have signed the agreement it may be used, milliseconds; null: as long as the agreement says. */
  readonly elapsedMs: number | null;
  readonly count: UseCount | null;
  readonly isolationAtLeast: IsolationLevel | null;
  readonly images: readonly string[] | null;
  readonly digests: readonly string[] | null;
  readonly approvals: { readonly quorum: number; readonly by: readonly string[] } | null;
  /** Jurisdictions (ISO 3166-1 alpha-2) outside of which a recipient matches. */
  readonly recipientOutside: readonly string[] | null;
  readonly recipientInside: readonly string[] | null;
  /** What the operator must have attested of the party, every one of them: its groups. */
  readonly credentials: readonly string[] | null;
  /** A CEL expression over the request's attributes; null when none. */
  readonly condition: string | null;
}

export interface AggregateRelease {
  readonly mode: 'aggregate';
  /** Least number of distinct privacy units behind every released cell, and behind what a filter left out. */
  readonly minUnits: number;
  readonly smallGroups: SmallGroups;
  /** A cell in which the `n` largest units hold more than `share` of the total is withheld. */
  readonly dominance: { readonly n: number; readonly share: number } | null;
  readonly maxRows: number;
  readonly maxBytes: number;
  /** Whether earlier answers to the same consumer are taken into account; withholds cells that differ too little. */
  readonly differencingGuard: boolean;
}

/** Privacy loss in micro-epsilon (1 = 10⁻⁶), so that sums are exact. */
export interface DifferentialPrivacyRelease {
  readonly mode: 'differentialPrivacy';
  readonly microEpsilonPerJob: number;
  readonly microEpsilonTotal: number;
  /** What all consumers together may spend on the dataset, whatever the mode; null: counted, not limited. */
  readonly microEpsilonDataset: number | null;
  /** How losses of several jobs add up: plain sums of epsilon, or zero-concentrated differential privacy. */
  readonly accounting: 'pure' | 'zcdp';
  readonly delta: number;
  /** The most delta that the jobs of one consumer may add up to; null: counted, and with zCDP what one job may use. */
  readonly deltaTotal: number | null;
  readonly maxRowsPerUnit: number;
  readonly minUnits: number | null;
  readonly noise: 'laplace' | 'gaussian';
  readonly budgetPeriodMs: number | null;
  readonly maxRows: number;
}

export interface HomomorphicRelease {
  readonly mode: 'homomorphic';
  readonly schemes: readonly ('bgv' | 'bfv' | 'ckks')[];
  readonly securityBits: number;
  readonly programs: readonly string[];
  readonly minUnits: number;
  readonly maxQueries: number | null;
}

/** What the code of one job may use; null: no more than the image and the runtime allow. */
export interface CodeLimits {
  /** From the start of its run to its answer, rows read included, milliseconds. */
  readonly wallMs: number | null;
  /** Processor time of the workers that run it, milliseconds. */
  readonly cpuMs: number | null;
  /** Memory of each of these workers, inside and outside of the V8 heap, MiB. */
  readonly memoryMiB: number | null;
  /** Blocks of a job of the method `blocks`. */
  readonly blocks: number | null;
  /** Rounds of an iterative job. */
  readonly rounds: number | null;
}

/** In this order wherever they are listed. */
export const CODE_LIMITS: readonly (keyof CodeLimits)[] = ['wallMs', 'cpuMs', 'memoryMiB', 'blocks', 'rounds'];
/** All limits; those that are not said are not set. */
export const codeLimits = (said: { readonly [K in keyof CodeLimits]?: number | null | undefined } = {}): CodeLimits =>
  Object.fromEntries(CODE_LIMITS.map((name) => [name, said[name] ?? null])) as unknown as CodeLimits;
export const NO_CODE_LIMITS: CodeLimits = codeLimits();

export interface SandboxRelease {
  readonly mode: 'sandbox';
  readonly methods: readonly ('rowFunction' | 'blocks' | 'post')[];
  readonly microEpsilonPerJob: number;
  readonly microEpsilonTotal: number | null;
  /** What all consumers together may spend on the dataset, whatever the mode; null: counted, not limited. */
  readonly microEpsilonDataset: number | null;
  /** Plain sums of epsilon with Laplace noise, or zero-concentrated differential privacy with Gaussian noise. */
  readonly accounting: 'pure' | 'zcdp';
  /** Zero-concentrated only: the delta at which its losses are told as epsilon. */
  readonly delta: number;
  readonly outputs: number;
  readonly maxRowsPerUnit: number;
  readonly tier: 'balanced' | 'strict';
  readonly limits: CodeLimits;
}

export interface ApprovedCodeRelease {
  readonly mode: 'approvedCode';
  readonly minUnits: number;
  readonly maxRows: number;
  readonly maxBytes: number;
  readonly limits: CodeLimits;
}

export type Release =
  | AggregateRelease
  | DifferentialPrivacyRelease
  | HomomorphicRelease
  | SandboxRelease
  | ApprovedCodeRelease;

export interface AllowRule {
  readonly id: string;
  readonly mode: Mode;
  readonly when: Conditions;
  readonly release: Release;
}

export interface DenyRule {
  readonly id: string;
  readonly mode: Mode | 'export' | 'raw' | 'reuse' | 'any';
  readonly when: Conditions;
}

export interface Duty {
  readonly do: 'log' | 'notify' | 'pay' | 'delete' | 'attribute';
  readonly on: 'before' | 'release' | 'after' | 'denial';
  readonly to: string | null;
  readonly what: string | null;
  readonly withinMs: number | null;
  readonly meter: string | null;
  /** Price in minor units of the currency as decimal text (`0.80`), kept exact. */
  readonly unitPrice: string | null;
  readonly currency: string | null;
}

export interface UsagePolicy {
  readonly dataset: string;
  readonly version: number;
  readonly grade: Grade;
  readonly tables: readonly TablePolicy[];
  readonly defaults: Conditions;
  readonly allow: readonly AllowRule[];
  readonly deny: readonly DenyRule[];
  readonly duties: readonly Duty[];
  readonly onViolation: { readonly stop: 'job' | 'agreement'; readonly alert: 'low' | 'medium' | 'high' };
}

/** Nothing is required: the conditions of a rule that names none. */
export const NO_CONDITIONS: Conditions = {
  consumers: null,
  purposes: null,
  notBefore: null,
  notAfter: null,
  elapsedMs: null,
  count: null,
  isolationAtLeast: null,
  images: null,
  digests: null,
  approvals: null,
  recipientOutside: null,
  recipientInside: null,
  credentials: null,
  condition: null,
};
