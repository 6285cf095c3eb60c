import type { CodeLimits, Conditions, DenyRule, Duty, Mode, Release } from '../model.ts';

/**
 * How every term of a usage policy is said in ODRL 2.2 (W3C Recommendation, 15 February 2018) and in our profile of it.
 * Compiling and importing read the same tables, so that a term cannot be written in one way and read in another.
 */

export const NAMESPACES = {
  odrl: 'http://www.w3.org/ns/odrl/2/',
  gb: 'https://glovebox.dev/ns/v1#',
  dpv: 'https://w3id.org/dpv#',
  rdf: 'http://www.w3.org/1999/02/22-rdf-syntax-ns#',
  xsd: 'http://www.w3.org/2001/XMLSchema#',
} as const;
export const PROFILE = 'https://glovebox.dev/ns/v1';

/** How a value is written: `texts` are several values, the others exactly one. */
export type ValueKind =
  | 'text'
  | 'texts'
  | 'purposes'
  | 'integer'
  | 'double'
  | 'doubles'
  | 'boolean'
  | 'instant'
  | 'duration';

/** A term that is a constraint: left operand and operator name it, `unit` is what its number counts. */
export interface ConstraintTerm {
  readonly field: string;
  readonly operand: string;
  readonly operator: string;
  readonly kind: ValueKind;
  readonly unit?: string;
  readonly isRequired?: true;
  /** A second value that belongs to the same constraint, under a property of its own. */
  readonly extra?: { readonly field: string; readonly property: string; readonly kind: ValueKind };
}

/** `count` and `approvals` are told as their parts: a number, and what it counts over. */
export type FlatConditions = Omit<Conditions, 'count' | 'approvals'> & {
  readonly countMax: number | null;
  readonly countPerMs: number | null;
  readonly quorum: number | null;
  readonly approvers: readonly string[] | null;
};

export const CONDITION_TERMS: readonly (ConstraintTerm & { readonly field: keyof FlatConditions })[] = [
  { field: 'consumers', operand: 'odrl:recipient', operator: 'odrl:isAnyOf', kind: 'texts' },
  { field: 'purposes', operand: 'odrl:purpose', operator: 'odrl:isAnyOf', kind: 'purposes' },
  { field: 'notBefore', operand: 'odrl:dateTime', operator: 'odrl:gteq', kind: 'instant' },
  { field: 'notAfter', operand: 'odrl:dateTime', operator: 'odrl:lt', kind: 'instant' },
  { field: 'elapsedMs', operand: 'odrl:elapsedTime', operator: 'odrl:lteq', kind: 'duration' },
  {
    field: 'countMax',
    operand: 'odrl:count',
    operator: 'odrl:lteq',
    kind: 'integer',
    extra: { field: 'countPerMs', property: 'gb:per', kind: 'duration' },
  },
  { field: 'isolationAtLeast', operand: 'gb:isolationLevel', operator: 'odrl:gteq', kind: 'text' },
  { field: 'images', operand: 'gb:sandboxImage', operator: 'odrl:isAnyOf', kind: 'texts' },
  { field: 'digests', operand: 'gb:codeDigest', operator: 'odrl:isAnyOf', kind: 'texts' },
  {
    field: 'quorum',
    operand: 'gb:approvals',
    operator: 'odrl:gteq',
    kind: 'integer',
    extra: { field: 'approvers', property: 'gb:among', kind: 'texts' },
  },
  { field: 'recipientInside', operand: 'odrl:spatial', operator: 'odrl:isAnyOf', kind: 'texts' },
  { field: 'recipientOutside', operand: 'odrl:spatial', operator: 'odrl:isNoneOf', kind: 'texts' },
  { field: 'credentials', operand: 'gb:credential', operator: 'odrl:isAllOf', kind: 'texts' },
  { field: 'condition', operand: 'gb:condition', operator: 'odrl:eq', kind: 'text' },
];

export function flatten(when: Conditions): FlatConditions {
  const { count, approvals, ...rest } = when;
  return {
    ...rest,
    countMax: count?.max ?? null,
    countPerMs: count?.perMs ?? null,
    quorum: approvals?.quorum ?? null,
    approvers: approvals?.by ?? null,
  };
}

export function unflatten(flat: FlatConditions): Conditions {
  const { countMax, countPerMs, quorum, approvers, ...rest } = flat;
  return {
    ...rest,
    count: countMax === null ? null : { max: countMax, perMs: countPerMs },
    approvals: quorum === null ? null : { quorum, by: approvers ?? [] },
  };
}

const minUnits: ConstraintTerm = {
  field: 'minUnits',
  operand: 'gb:minUnits',
  operator: 'odrl:gteq',
  kind: 'integer',
  unit: 'gb:privacyUnit',
  isRequired: true,
};
const atMost = (field: string, operand: string, unit: string): ConstraintTerm => ({
  field,
  operand,
  operator: 'odrl:lteq',
  kind: 'integer',
  unit,
  isRequired: true,
});
const maxRows = atMost('maxRows', 'gb:resultRows', 'gb:row');
const maxBytes = atMost('maxBytes', 'gb:resultBytes', 'gb:byte');
const perJob = atMost('microEpsilonPerJob', 'gb:microEpsilonPerJob', 'gb:microEpsilon');
const delta: ConstraintTerm = {
  field: 'delta',
  operand: 'gb:delta',
  operator: 'odrl:lteq',
  kind: 'double',
  isRequired: true,
};
const rowsPerUnit = atMost('maxRowsPerUnit', 'gb:rowsPerUnit', 'gb:row');
const is = (field: string, operand: string): ConstraintTerm => ({
  field,
  operand,
  operator: 'odrl:eq',
  kind: 'text',
  isRequired: true,
});
const anyOf = (field: string, operand: string): ConstraintTerm => ({
  field,
  operand,
  operator: 'odrl:isAnyOf',
  kind: 'texts',
  isRequired: true,
});
const optional = ({ isRequired: _required, ...term }: ConstraintTerm): ConstraintTerm => term;

const overall = optional(atMost('microEpsilonDataset', 'gb:microEpsilonDataset', 'gb:microEpsilon'));

/** What code may use, told beside the other terms of its release. */
const codeLimits: readonly (ConstraintTerm & { readonly field: keyof CodeLimits })[] = [
  { field: 'wallMs', operand: 'gb:runTime', operator: 'odrl:lteq', kind: 'duration' },
  { field: 'cpuMs', operand: 'gb:processorTime', operator: 'odrl:lteq', kind: 'duration' },
  { field: 'memoryMiB', operand: 'gb:workerMemory', operator: 'odrl:lteq', kind: 'integer', unit: 'gb:mebibyte' },
];

/** Release terms: refinements of the permitted action, enforced where jobs run and at the release gate. `dominance` is told as two, `limits` one by one. */
export const RELEASE_TERMS: Readonly<Record<Mode, readonly ConstraintTerm[]>> = {
  aggregate: [
    minUnits,
    is('smallGroups', 'gb:smallGroups'),
    optional(atMost('dominanceUnits', 'gb:dominanceUnits', 'gb:privacyUnit')),
    { field: 'dominanceShare', operand: 'gb:dominanceShare', operator: 'odrl:lteq', kind: 'double' },
    maxRows,
    maxBytes,
    {
      field: 'differencingGuard',
      operand: 'gb:differencingGuard',
      operator: 'odrl:eq',
      kind: 'boolean',
      isRequired: true,
    },
  ],
  differentialPrivacy: [
    perJob,
    atMost('microEpsilonTotal', 'gb:microEpsilonTotal', 'gb:microEpsilon'),
    overall,
    is('accounting', 'gb:accounting'),
    delta,
    { field: 'deltaTotal', operand: 'gb:deltaTotal', operator: 'odrl:lteq', kind: 'double' },
    rowsPerUnit,
    optional(minUnits),
    is('noise', 'gb:noise'),
    { field: 'budgetPeriodMs', operand: 'gb:budgetPeriod', operator: 'odrl:eq', kind: 'duration' },
    maxRows,
  ],
  homomorphic: [
    anyOf('schemes', 'gb:scheme'),
    {
      field: 'securityBits',
      operand: 'gb:securityBits',
      operator: 'odrl:gteq',
      kind: 'integer',
      unit: 'gb:bit',
      isRequired: true,
    },
    anyOf('programs', 'gb:program'),
    minUnits,
    optional(atMost('maxQueries', 'gb:queries', 'gb:job')),
  ],
  sandbox: [
    anyOf('methods', 'gb:method'),
    perJob,
    optional(atMost('microEpsilonTotal', 'gb:microEpsilonTotal', 'gb:microEpsilon')),
    overall,
    is('accounting', 'gb:accounting'),
    delta,
    atMost('outputs', 'gb:outputs', 'gb:number'),
    rowsPerUnit,
    is('tier', 'gb:tier'),
    ...codeLimits,
    optional(atMost('blocks', 'gb:blocks', 'gb:number')),
    optional(atMost('rounds', 'gb:rounds', 'gb:number')),
  ],
  approvedCode: [minUnits, maxRows, maxBytes, ...codeLimits],
};

export function flatRelease(release: Release): Readonly<Record<string, unknown>> {
  if (release.mode === 'sandbox' || release.mode === 'approvedCode') {
    const { limits, ...rest } = release;
    return { ...rest, ...limits };
  }
  if (release.mode !== 'aggregate') return { ...release };
  const { dominance, ...rest } = release;
  return { ...rest, dominanceUnits: dominance?.n ?? null, dominanceShare: dominance?.share ?? null };
}

/** What is done, per mode. Each mode is an action of its own: allowing one never allows another. */
export const ACTION_OF: Readonly<Record<DenyRule['mode'], string>> = {
  aggregate: 'odrl:aggregate',
  differentialPrivacy: 'gb:differentialPrivacy',
  homomorphic: 'gb:homomorphic',
  sandbox: 'gb:sandbox',
  approvedCode: 'gb:approvedCode',
  export: 'gb:export',
  raw: 'odrl:read',
  reuse: 'odrl:distribute',
  any: 'odrl:use',
};

export const DUTY_ACTION: Readonly<Record<Duty['do'], string>> = {
  log: 'gb:log',
  notify: 'odrl:inform',
  pay: 'odrl:compensate',
  delete: 'odrl:delete',
  attribute: 'odrl:attribute',
};

/** `gb:minUnits` → `https://glovebox.dev/ns/v1#minUnits`. */
export function fullIri(term: string): string {
  const colon = term.indexOf(':');
  const base = NAMESPACES[term.slice(0, colon) as keyof typeof NAMESPACES];
  return base === undefined ? term : base + term.slice(colon + 1);
}

/** The reverse, for IRIs of the namespaces above; others stay as they are. */
export function shortTerm(iri: string): string {
  for (const [prefix, base] of Object.entries(NAMESPACES))
    if (iri.startsWith(base)) return `${prefix}:${iri.slice(base.length)}`;
  return iri;
}
