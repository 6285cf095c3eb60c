import {
  type Constraint,
  INCLUDED_IN,
  type OdrlRule,
  OPERANDS,
  OPERATORS_OF,
  type AtomicConstraint,
  type World,
} from './model.ts';

/** What became of one rule for one request; the form that the ODRL compliance reports compare. */
export interface RuleReport {
  readonly rule: string;
  readonly activation: 'Active' | 'Inactive';
  /** Every constraint, also those inside `and`, `or` and `xone`, with its state. */
  readonly constraints: Readonly<Record<string, 'Satisfied' | 'Unsatisfied'>>;
}

export interface OdrlRequest {
  readonly assignee: string | null;
  readonly target: string | null;
  readonly action: string;
}

/** Constraint nesting that is still looked at. */
const MAX_DEPTH = 16;

/**
 * Judges one rule. Active means: party, target and action match, every constraint is satisfied, and no duty is violated.
 * Every constraint is evaluated, so that the report is whole. Throws for a term outside of the profile: the caller denies.
 */
export function evaluateRule(rule: OdrlRule, request: OdrlRequest, world: World): RuleReport {
  const constraints: Record<string, 'Satisfied' | 'Unsatisfied'> = {};
  const satisfied = rule.constraint.map((constraint) => isSatisfied(constraint, world, constraints, 0)).every(Boolean);
  const matches =
    covers(rule.assignee, request.assignee, world) &&
    covers(rule.target, request.target, world) &&
    (rule.action.length === 0 || rule.action.some((ruled) => includesAction(ruled, request.action, world)));
  const fulfilled = rule.duty.every((duty) => world.duties[duty.id] !== 'Violated');
  return { rule: rule.id, activation: matches && satisfied && fulfilled ? 'Active' : 'Inactive', constraints };
}

/** Whether `asked` is `ruled` or an action included in it. */
export function includesAction(ruled: string, asked: string, world: Pick<World, 'narrower'>): boolean {
  if (ruled === asked) return true;
  let step: string | undefined = asked;
  for (let depth = 0; step !== undefined && depth < MAX_DEPTH; depth++) {
    if (step === ruled) return true;
    step = INCLUDED_IN[step];
  }
  return isNarrower(asked, ruled, world);
}

/** Whether `narrow` is `broad` or below it, by the world's [narrower, broader] pairs. */
export function isNarrower(narrow: string, broad: string, world: Pick<World, 'narrower'>): boolean {
  let frontier = new Set([narrow]);
  for (let depth = 0; depth < MAX_DEPTH && frontier.size > 0; depth++) {
    if (frontier.has(broad)) return true;
    frontier = new Set(world.narrower.filter(([below]) => frontier.has(below)).map(([, above]) => above));
  }
  return false;
}

function covers(ruled: readonly string[], asked: string | null, world: World): boolean {
  if (ruled.length === 0) return true;
  if (asked === null) return false;
  return ruled.some(
    (one) => one === asked || world.partOf.some(([member, whole]) => member === asked && whole === one),
  );
}

function isSatisfied(
  constraint: Constraint,
  world: World,
  states: Record<string, 'Satisfied' | 'Unsatisfied'>,
  depth: number,
): boolean {
  if (depth > MAX_DEPTH) throw new RangeError(`constraints are nested deeper than ${MAX_DEPTH}`);
  let holds: boolean;
  if ('logic' in constraint) {
    const parts = constraint.operands.map((part) => isSatisfied(part, world, states, depth + 1));
    holds =
      constraint.logic === 'and'
        ? parts.every(Boolean)
        : constraint.logic === 'or'
          ? parts.some(Boolean)
          : parts.filter(Boolean).length === 1;
  } else {
    holds = holdsAtomic(constraint, world);
  }
  states[constraint.id] = holds ? 'Satisfied' : 'Unsatisfied';
  return holds;
}

const LEVELS = ['none', 'process', 'confined', 'namespaced', 'vm'];

function holdsAtomic(constraint: AtomicConstraint, world: World): boolean {
  const { leftOperand, operator, rightOperand } = constraint;
  const kind = OPERANDS[leftOperand];
  if (kind === undefined) throw new TypeError(`unknown left operand \`${leftOperand}\``);
  if (!OPERATORS_OF[kind].includes(operator))
    throw new TypeError(`operator \`${operator}\` does not fit \`${leftOperand}\``);
  const [right] = rightOperand;
  if (kind === 'expression') return right !== undefined && (world.holds?.(right) ?? false);
  const value = world.values[leftOperand];
  if (value === undefined) return false;
  switch (kind) {
    case 'quorum': {
      const among = constraint.among ?? [];
      const approvers = new Set(typeof value === 'object' ? value.filter((one) => among.includes(one)) : []);
      return approvers.size >= integerOf(right ?? '');
    }
    case 'instant':
    case 'integer':
    case 'level': {
      if (right === undefined || rightOperand.length !== 1)
        throw new TypeError(`\`${leftOperand}\` compares with one value`);
      const left = kind === 'level' ? LEVELS.indexOf(String(value)) : value;
      const bound = kind === 'level' ? LEVELS.indexOf(right) : kind === 'instant' ? instantOf(right) : integerOf(right);
      if (
        typeof left !== 'number' ||
        !Number.isFinite(left) ||
        !Number.isFinite(bound) ||
        (kind === 'level' && bound < 0)
      ) {
        throw new TypeError(`\`${leftOperand}\` cannot be compared with \`${right}\``);
      }
      return compare(left, operator, bound);
    }
    case 'text':
    case 'concept':
    case 'texts': {
      const values = typeof value === 'object' ? value : [String(value)];
      const isIn = (one: string): boolean =>
        rightOperand.some(
          (right) =>
            right === one ||
            (kind === 'concept' && isNarrower(one, right, world)) ||
            world.partOf.some(([member, whole]) => member === one && whole === right),
        );
      switch (operator) {
        case 'odrl:eq':
        case 'odrl:isA':
        case 'odrl:isAnyOf':
          return values.some(isIn);
        case 'odrl:neq':
        case 'odrl:isNoneOf':
          return !values.some(isIn);
        case 'odrl:isAllOf':
          return rightOperand.every((right) => values.includes(right));
        case 'odrl:lt':
        case 'odrl:lteq':
        case 'odrl:gt':
        case 'odrl:gteq':
          throw new TypeError(`operator \`${operator}\` does not fit \`${leftOperand}\``);
      }
    }
  }
}

function compare(left: number, operator: string, right: number): boolean {
  switch (operator) {
    case 'odrl:eq':
      return left === right;
    case 'odrl:neq':
      return left !== right;
    case 'odrl:lt':
      return left < right;
    case 'odrl:lteq':
      return left <= right;
    case 'odrl:gt':
      return left > right;
    case 'odrl:gteq':
      return left >= right;
    default:
      throw new TypeError(`unknown operator \`${operator}\``);
  }
}

/** xsd:dateTime as milliseconds; instants compare, not texts. */
function instantOf(text: string): number {
  if (!/^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})?)?$/.test(text))
    throw new TypeError(`not an instant: \`${text}\``);
  return Date.parse(text);
}

function integerOf(text: string): number {
  if (!/^-?\d{1,15}$/.test(text)) throw new TypeError(`not a whole number: \`${text}\``);
  return Number(text);
}
