import {
  type AllowRule,
  type CodeLimits,
  codeLimits,
  type ColumnGrant,
  type Conditions,
  type DenyRule,
  type Duty,
  type Mode,
  MODES,
  type PolicyLiteral,
  type Release,
  type TablePolicy,
  type UsagePolicy,
} from '../model.ts';
import { datasetIri } from './compile.ts';
import { anyLiteral, NodeReader, readValues } from './read-node.ts';
import { NodeError } from './read-value.ts';
import {
  ACTION_OF,
  CONDITION_TERMS,
  type ConstraintTerm,
  DUTY_ACTION,
  type FlatConditions,
  PROFILE,
  RELEASE_TERMS,
  shortTerm,
  unflatten,
} from './terms.ts';

export type ImportedPolicy =
  | { readonly kind: 'policy'; readonly policy: UsagePolicy; readonly assigner: string }
  | { readonly kind: 'refused'; readonly reason: string };

/** Largest document that is imported, characters. */
export const MAX_ODRL_CHARACTERS = 4 * 1024 * 1024;

/**
 * Reads an ODRL 2.2 Offer of our profile (JSON-LD, full IRIs). Closed: a property, operand, operator, unit, action or
 * type that is not in the profile is refused, never dropped. The policy still has to pass the checks of a document.
 */
export function policyFromOdrl(document: string): ImportedPolicy {
  try {
    if (document.length > MAX_ODRL_CHARACTERS) throw new NodeError('', `longer than ${MAX_ODRL_CHARACTERS} characters`);
    let parsed: unknown;
    try {
      parsed = JSON.parse(document);
    } catch {
      throw new NodeError('', 'not JSON');
    }
    const [only, ...others] = Array.isArray(parsed) ? (parsed as unknown[]) : [parsed];
    if (others.length > 0) throw new NodeError('', 'more than one policy');
    return offerOf(new NodeReader(only, ''));
  } catch (error) {
    if (error instanceof NodeError) return { kind: 'refused', reason: error.message };
    throw error;
  }
}

function offerOf(offer: NodeReader): ImportedPolicy {
  const uid = offer.own;
  offer.type('odrl:Offer');
  if (offer.id('odrl:profile') !== PROFILE)
    throw new NodeError('odrl:profile', `only the profile ${PROFILE} is understood`);
  const conflict = conflictOf(offer);
  const assigner = offer.id('odrl:assigner');
  const asset = offer.node('odrl:target');
  const target = asset.own;
  asset.type('odrl:Asset');
  const dataset = asset.value<string>('gb:dataset', 'text');
  if (target !== datasetIri(dataset)) throw new NodeError('odrl:target', 'is another dataset than `gb:dataset` says');
  const grade = oneOf(asset.value<string>('gb:grade', 'text'), ['public', 'internal', 'important', 'core'], 'gb:grade');
  const tables = asset.nodes('gb:table').map(tableOf);
  asset.end();

  const shared = { assigner, target };
  const defaults = conditionsOf(offer.nodes('gb:default'), 'gb:default');
  const policy: UsagePolicy = {
    dataset,
    version: offer.value<number>('gb:version', 'integer'),
    grade,
    tables,
    defaults: defaults.when,
    allow: offer.nodes('odrl:permission').map((rule) => permissionOf(rule, shared, `${uid}#defaults/`, defaults.when)),
    deny: offer.nodes('odrl:prohibition').map((rule) => prohibitionOf(rule, shared)),
    duties: offer.nodes('odrl:obligation').map((duty) => dutyOf(duty, assigner)),
    onViolation: violationOf(offer.node('gb:onViolation')),
  };
  offer.end();
  if (conflict === null && policy.deny.length > 0)
    throw new NodeError(
      'odrl:conflict',
      'is not said, so ODRL makes the policy void where rules conflict: say `odrl:prohibit`',
    );
  return { kind: 'policy', policy, assigner: decodeURIComponent(assigner.replace(/^urn:glovebox:party:/, '')) };
}

/** What is done where rules conflict: only that a prohibition wins can be kept. Null: it is not said. */
function conflictOf(offer: NodeReader): 'odrl:prohibit' | null {
  const [said, ...others] = offer.nodes('odrl:conflict');
  if (said === undefined) return null;
  const term = said.own;
  said.type('odrl:ConflictTerm');
  said.end();
  if (others.length > 0 || shortTerm(term) !== 'odrl:prohibit')
    throw new NodeError(
      'odrl:conflict',
      `is \`${term}\`: only \`odrl:prohibit\` is understood, a prohibition always wins here`,
    );
  return 'odrl:prohibit';
}

interface Shared {
  readonly assigner: string;
  readonly target: string;
}

/** A rule without target or assigner would be for everything and from nobody: refused. */
function ruleHead(rule: NodeReader, type: string, { assigner, target }: Shared): string {
  void rule.own;
  rule.type(type);
  if (rule.id('odrl:assigner') !== assigner) throw new NodeError(rule.path, 'has another assigner than the policy');
  if (rule.id('odrl:target') !== target) throw new NodeError(rule.path, 'has another target than the policy');
  return rule.value<string>('gb:ruleId', 'text');
}

function permissionOf(rule: NodeReader, shared: Shared, defaultIds: string, defaults: Conditions): AllowRule {
  const id = ruleHead(rule, 'odrl:Permission', shared);
  const action = rule.node('odrl:action');
  const asked = action.id('rdf:value');
  const mode = MODES.find((one) => ACTION_OF[one] === asked);
  if (mode === undefined) throw new NodeError(action.path, `\`${asked}\` is not an action that can be permitted`);
  const release = releaseOf(mode, action.nodes('odrl:refinement'), action.path);
  action.end();
  const { inherited, own } = split(rule.nodes('odrl:constraint'), defaultIds);
  const shown = conditionsOf(inherited, rule.path);
  // The defaults must stand in every permission as they stand in the policy: who reads one rule must not see less.
  if (JSON.stringify(shown.when) !== JSON.stringify(defaults))
    throw new NodeError(rule.path, 'does not repeat the defaults of the policy');
  const { when } = conditionsOf(own, rule.path);
  rule.end();
  return { id, mode, when, release };
}

function prohibitionOf(rule: NodeReader, shared: Shared): DenyRule {
  const id = ruleHead(rule, 'odrl:Prohibition', shared);
  const asked = rule.id('odrl:action');
  const mode = (Object.keys(ACTION_OF) as DenyRule['mode'][]).find((one) => ACTION_OF[one] === asked);
  if (mode === undefined) throw new NodeError(rule.path, `\`${asked}\` is not an action of the profile`);
  const { when } = conditionsOf(rule.nodes('odrl:constraint'), rule.path);
  rule.end();
  return { id, mode, when };
}

function split(
  nodes: readonly NodeReader[],
  defaultIds: string,
): { readonly inherited: readonly Named[]; readonly own: readonly Named[] } {
  const named = nodes.map((node) => ({ id: node.own, node }));
  return {
    inherited: named.filter(({ id }) => id.startsWith(defaultIds)),
    own: named.filter(({ id }) => !id.startsWith(defaultIds)),
  };
}
interface Named {
  readonly id: string;
  readonly node: NodeReader;
}

function conditionsOf(constraints: readonly (NodeReader | Named)[], path: string): { readonly when: Conditions } {
  const values = readConstraints(CONDITION_TERMS, constraints, path);
  return { when: unflatten(values as unknown as FlatConditions) };
}

function releaseOf(mode: Mode, refinements: readonly NodeReader[], path: string): Release {
  const { dominanceUnits, dominanceShare, ...rest } = readConstraints(RELEASE_TERMS[mode], refinements, path);
  if (mode === 'sandbox' || mode === 'approvedCode') {
    const limits = codeLimits(rest as Partial<CodeLimits>);
    const others = Object.entries(rest).filter(([name]) => !(name in limits));
    return { mode, ...Object.fromEntries(others), limits } as unknown as Release;
  }
  if (mode !== 'aggregate') return { mode, ...rest } as unknown as Release;
  if ((dominanceUnits === null) !== (dominanceShare === null))
    throw new NodeError(path, '`gb:dominanceUnits` and `gb:dominanceShare` belong together');
  const dominance = dominanceUnits === null ? null : { n: dominanceUnits, share: dominanceShare };
  return { mode, ...rest, dominance } as unknown as Release;
}

/** Every constraint must be one of the terms, with its operator and unit, at most once; absent ones are null. */
function readConstraints(
  terms: readonly ConstraintTerm[],
  constraints: readonly (NodeReader | Named)[],
  path: string,
): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  for (const { field, extra } of terms) {
    values[field] = null;
    if (extra !== undefined) values[extra.field] = null;
  }
  for (const one of constraints) {
    const node = one instanceof NodeReader ? one : one.node;
    void node.own;
    node.type('odrl:Constraint');
    const operand = node.id('odrl:leftOperand');
    const operator = node.id('odrl:operator');
    const known = terms.filter((term) => term.operand === operand);
    const term = known.find((candidate) => candidate.operator === operator);
    if (known.length === 0) throw new NodeError(node.path, `left operand \`${operand}\` is not in the profile here`);
    if (term === undefined) throw new NodeError(node.path, `operator \`${operator}\` does not fit \`${operand}\``);
    if (values[term.field] !== null) throw new NodeError(node.path, `\`${operand}\` is constrained twice`);
    const unit = node.optionalId('odrl:unit');
    if (unit !== (term.unit ?? null))
      throw new NodeError(
        node.path,
        `unit \`${unit ?? 'none'}\` does not fit \`${operand}\`: ${term.unit ?? 'none'} is meant`,
      );
    values[term.field] = readValues(node.all('odrl:rightOperand'), term.kind, node.path);
    const { extra } = term;
    if (extra !== undefined) values[extra.field] = node.optional(extra.property, extra.kind);
    node.end();
  }
  const missing = terms.find((term) => term.isRequired === true && values[term.field] === null);
  if (missing !== undefined) throw new NodeError(path, `\`${missing.operand}\` is missing`);
  return values;
}

function tableOf(table: NodeReader): TablePolicy {
  const read: TablePolicy = {
    name: table.optional<string>('gb:name', 'text'),
    isPublic: table.value<boolean>('gb:isPublic', 'boolean'),
    privacyUnits: table.nodes('gb:privacyUnit').map((unit) => {
      const columns = unit.texts('gb:keyColumn');
      const via = unit.nodes('gb:via').map((step) => {
        const one = {
          from: step.value<string>('gb:fromColumn', 'text'),
          table: step.value<string>('gb:toTable', 'text'),
          to: step.value<string>('gb:toColumn', 'text'),
        };
        step.end();
        return one;
      });
      unit.end();
      return { columns, via };
    }),
    columns: table.nodes('gb:column').map((column) => {
      const name = column.value<string>('gb:name', 'text');
      const grade = column.optional<string>('gb:grade', 'text');
      const grants = column.nodes('gb:grant').map(grantOf);
      column.end();
      return {
        name,
        grants,
        grade: grade === null ? null : oneOf(grade, ['public', 'internal', 'important', 'core'], column.path),
      };
    }),
    rows: table.optional<string>('gb:rows', 'text'),
    joins: oneOf(
      table.value<string>('gb:joins', 'text'),
      ['allowed', 'required', 'onlyOnUnit', 'forbidden'],
      table.path,
    ),
    consumerTables: consumerTablesOf(table),
  };
  table.end();
  return read;
}

function consumerTablesOf(table: NodeReader): TablePolicy['consumerTables'] {
  const isAllowed = table.value<boolean>('gb:consumerTables', 'boolean');
  const isOnUnit = table.optional<boolean>('gb:consumerTablesOnUnit', 'boolean') ?? false;
  if (isOnUnit && !isAllowed) throw new NodeError(table.path, '`gb:consumerTablesOnUnit` needs `gb:consumerTables`');
  return isOnUnit ? 'onUnit' : isAllowed;
}

function grantOf(grant: NodeReader): ColumnGrant {
  const low = grant.optional<number>('gb:low', 'double');
  const high = grant.optional<number>('gb:high', 'double');
  if ((low === null) !== (high === null)) throw new NodeError(grant.path, '`gb:low` and `gb:high` belong together');
  const isPublic = grant.optional<string>('gb:values', 'text');
  if (isPublic !== null && isPublic !== 'public') throw new NodeError(grant.path, '`gb:values` can only be `public`');
  const listed = grant.all('gb:value').map((one) => literalFrom(one, grant.path));
  if (isPublic !== null && listed.length > 0) throw new NodeError(grant.path, 'values are public or listed, not both');
  const read = {
    consumers: grant.optional<readonly string[]>('gb:consumer', 'texts'),
    rights: grant.texts('gb:right'),
    functions: grant.texts('gb:function'),
    bounds: low === null || high === null ? null : { low, high },
    values: isPublic !== null ? ('public' as const) : listed.length > 0 ? listed : null,
    bins: grant.optional<readonly number[]>('gb:bin', 'doubles'),
  };
  grant.end();
  // Which rights and functions there are is checked with the document; here they are only texts.
  return read as ColumnGrant;
}

function literalFrom(value: unknown, path: string): PolicyLiteral {
  const { said, type } = anyLiteral(value, path);
  if (type === '') return { kind: 'text', value: said };
  if (type === 'xsd:boolean' && (said === 'true' || said === 'false'))
    return { kind: 'boolean', value: said === 'true' };
  if ((type === 'xsd:decimal' || type === 'xsd:integer' || type === 'xsd:double') && Number.isFinite(Number(said)))
    return { kind: 'number', text: said };
  throw new NodeError(path, `a value of type \`${type}\` does not fit here`);
}

function dutyOf(duty: NodeReader, assigner: string): Duty {
  void duty.own;
  duty.type('odrl:Duty');
  if (duty.id('odrl:assigner') !== assigner) throw new NodeError(duty.path, 'has another assigner than the policy');
  const action = duty.id('odrl:action');
  const verb = (Object.keys(DUTY_ACTION) as Duty['do'][]).find((one) => DUTY_ACTION[one] === action);
  if (verb === undefined) throw new NodeError(duty.path, `\`${action}\` is not a duty of the profile`);
  const to = duty.optionalId(verb === 'notify' ? 'odrl:informedParty' : 'gb:to');
  const unit = duty.optionalId('odrl:unit');
  const price = duty.all('odrl:payAmount').map((one) => anyLiteral(one, duty.path));
  if (price.length > 1 || price.some(({ type, said }) => type !== 'xsd:decimal' || !/^\d+(\.\d+)?$/.test(said)))
    throw new NodeError(duty.path, '`odrl:payAmount` is one decimal number');
  const currency = unit === null ? null : (/^urn:iso:std:iso:4217:([A-Z]{3})$/.exec(unit)?.[1] ?? null);
  if (unit !== null && currency === null) throw new NodeError(duty.path, `unit \`${unit}\` is not a currency`);
  const read: Duty = {
    do: verb,
    on: oneOf(duty.value<string>('gb:on', 'text'), ['before', 'release', 'after', 'denial'], duty.path),
    to: to === null ? null : decodeURIComponent(to.replace(/^urn:glovebox:party:/, '')),
    what: duty.optional<string>('gb:what', 'text'),
    withinMs: duty.optional<number>('gb:within', 'duration'),
    meter: duty.optional<string>('gb:meter', 'text'),
    unitPrice: price[0]?.said ?? null,
    currency,
  };
  duty.end();
  return read;
}

function violationOf(node: NodeReader): UsagePolicy['onViolation'] {
  const stop = oneOf(node.value<string>('gb:stop', 'text'), ['job', 'agreement'], node.path);
  const alert = oneOf(node.value<string>('gb:alert', 'text'), ['low', 'medium', 'high'], node.path);
  node.end();
  return { stop, alert };
}

function oneOf<const T extends string>(value: string, words: readonly T[], path: string): T {
  const found = words.find((one) => one === value);
  if (found === undefined) throw new NodeError(path, `\`${value}\` is none of: ${words.join(', ')}`);
  return found;
}
