/**
 * A closed, typed profile of ODRL 2.2 (W3C Recommendation, 15 February 2018). IRIs are kept in compact form:
 * `odrl:` = http://www.w3.org/ns/odrl/2/, `gb:` = https://glovebox.dev/ns/v1#, `dpv:` = https://w3id.org/dpv#.
 */
export type Operator =
  | 'odrl:eq'
  | 'odrl:neq'
  | 'odrl:lt'
  | 'odrl:lteq'
  | 'odrl:gt'
  | 'odrl:gteq'
  | 'odrl:isA'
  | 'odrl:isAnyOf'
  | 'odrl:isAllOf'
  | 'odrl:isNoneOf';

/** How values of an operand compare. */
export type OperandKind = 'instant' | 'integer' | 'text' | 'concept' | 'level' | 'texts' | 'quorum' | 'expression';

/** The closed list of left operands; a policy with any other is refused at registration. */
export const OPERANDS: Readonly<Record<string, OperandKind>> = {
  'odrl:dateTime': 'instant',
  'odrl:count': 'integer',
  'odrl:elapsedTime': 'integer',
  'odrl:purpose': 'concept',
  'odrl:recipient': 'text',
  'odrl:spatial': 'text',
  'gb:credential': 'texts',
  'gb:isolationLevel': 'level',
  'gb:codeDigest': 'text',
  'gb:sandboxImage': 'text',
  'gb:approvals': 'quorum',
  'gb:condition': 'expression',
  'gb:minUnits': 'integer',
  'gb:microEpsilon': 'integer',
  'gb:resultRows': 'integer',
  'gb:securityBits': 'integer',
};

const ORDERED: readonly Operator[] = ['odrl:eq', 'odrl:neq', 'odrl:lt', 'odrl:lteq', 'odrl:gt', 'odrl:gteq'];
const SETS: readonly Operator[] = ['odrl:eq', 'odrl:neq', 'odrl:isAnyOf', 'odrl:isNoneOf'];

/** Operators that make sense for each kind of value. */
export const OPERATORS_OF: Readonly<Record<OperandKind, readonly Operator[]>> = {
  instant: ORDERED,
  integer: ORDERED,
  level: ORDERED,
  text: SETS,
  concept: [...SETS, 'odrl:isA'],
  quorum: ['odrl:gteq'],
  expression: ['odrl:eq'],
  texts: ['odrl:isAnyOf', 'odrl:isAllOf', 'odrl:isNoneOf'],
};

export interface AtomicConstraint {
  readonly id: string;
  readonly leftOperand: string;
  readonly operator: Operator;
  /** At least one value; the ordered operators take exactly one. */
  readonly rightOperand: readonly string[];
  /** Whose approvals count, for `gb:approvals`. */
  readonly among?: readonly string[];
}
export interface LogicalConstraint {
  readonly id: string;
  readonly logic: 'and' | 'or' | 'xone';
  readonly operands: readonly Constraint[];
}
export type Constraint = AtomicConstraint | LogicalConstraint;

export interface OdrlDuty {
  readonly id: string;
  readonly action: readonly string[];
}

/** An absent assignee, target or action matches everything; only documents of our own have to name them. */
export interface OdrlRule {
  readonly id: string;
  readonly kind: 'permission' | 'prohibition';
  readonly assignee: readonly string[];
  readonly target: readonly string[];
  readonly action: readonly string[];
  readonly constraint: readonly Constraint[];
  readonly duty: readonly OdrlDuty[];
}

export type DutyState = 'Fulfilled' | 'NonSet' | 'Violated';

/** What is true when a request is judged. An operand without a value here is unknown, and unknown is not satisfied. */
export interface World {
  /** Instants and integers as numbers (milliseconds, counts); others as text. */
  readonly values: Readonly<Record<string, number | string | readonly string[]>>;
  /** [member, collection]: parties of groups, assets of collections. */
  readonly partOf: readonly (readonly [string, string])[];
  readonly duties: Readonly<Record<string, DutyState>>;
  /** [narrower, broader] for purposes and actions beyond ODRL's own. */
  readonly narrower: readonly (readonly [string, string])[];
  /** Evaluates a `gb:condition`; may throw, and then whoever judges denies. Without it, no condition holds. */
  readonly holds?: (condition: string) => boolean;
}

/** Actions that another one includes (ODRL 2.2 Common Vocabulary, `odrl:includedIn`), and those of our profile. */
export const INCLUDED_IN: Readonly<Record<string, string>> = {
  'odrl:read': 'odrl:use',
  'odrl:modify': 'odrl:use',
  'odrl:write': 'odrl:modify',
  'odrl:aggregate': 'odrl:use',
  'odrl:execute': 'odrl:use',
  'odrl:derive': 'odrl:use',
  'odrl:anonymize': 'odrl:use',
  'odrl:distribute': 'odrl:use',
  // Not of odrl:aggregate: who allows thresholded aggregates has not allowed noised ones, nor the reverse.
  'gb:differentialPrivacy': 'odrl:use',
  'gb:homomorphic': 'odrl:use',
  'gb:sandbox': 'odrl:execute',
  'gb:approvedCode': 'odrl:execute',
};
