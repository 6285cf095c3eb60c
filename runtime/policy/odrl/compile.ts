import type { ColumnGrant, Conditions, Duty, PolicyLiteral, TablePolicy, UsagePolicy } from '../model.ts';
import {
  ACTION_OF,
  CONDITION_TERMS,
  type ConstraintTerm,
  DUTY_ACTION,
  flatRelease,
  flatten,
  fullIri,
  NAMESPACES,
  PROFILE,
  RELEASE_TERMS,
  type ValueKind,
} from './terms.ts';

/** JSON-LD in expanded form: every key and identifier is a full IRI, so that no context can change what it says. */
export type LdNode = { readonly [key: string]: LdValue };
export type LdValue = string | readonly LdEntry[];
export type LdEntry = LdNode | { readonly '@value': string; readonly '@type'?: string };

/**
 * A policy as a standalone ODRL 2.2 Offer. Allow rules are permissions whose action is refined by the release terms,
 * deny rules are prohibitions, duties are obligations, and tables with their columns describe the asset.
 * Throws a RangeError for a condition that lists nothing: ODRL cannot say it.
 */
export function policyToOdrl(policy: UsagePolicy, assigner: string): LdNode {
  const uid = policyIri(policy);
  const parties = { 'odrl:assigner': [{ '@id': partyIri(assigner) }] };
  const target = { 'odrl:target': [{ '@id': datasetIri(policy.dataset) }] };
  const defaults = constraintsOf(policy.defaults, `${uid}#defaults`);
  const offer = {
    '@id': uid,
    '@type': ['odrl:Offer'],
    'odrl:profile': [{ '@id': PROFILE }],
    // A prohibition beats every permission. Unsaid, ODRL makes a policy void as a whole where its rules conflict.
    'odrl:conflict': [{ '@id': 'odrl:prohibit', '@type': ['odrl:ConflictTerm'] }],
    ...parties,
    'odrl:target': [assetOf(policy)],
    'gb:version': [integer(policy.version)],
    ...(defaults.length === 0 ? {} : { 'gb:default': defaults }),
    'odrl:permission': policy.allow.map((rule) => ({
      '@id': `${uid}#allow/${rule.id}`,
      '@type': ['odrl:Permission'],
      'gb:ruleId': [text(rule.id)],
      ...parties,
      ...target,
      'odrl:action': [
        {
          'rdf:value': [{ '@id': ACTION_OF[rule.mode] }],
          'odrl:refinement': constraints(
            RELEASE_TERMS[rule.mode],
            flatRelease(rule.release),
            `${uid}#allow/${rule.id}/release`,
          ),
        },
      ],
      // The defaults are constraints of every permission: an evaluator of one rule must see them.
      'odrl:constraint': [...defaults, ...constraintsOf(rule.when, `${uid}#allow/${rule.id}/when`)],
    })),
    'odrl:prohibition': policy.deny.map((rule) => ({
      '@id': `${uid}#deny/${rule.id}`,
      '@type': ['odrl:Prohibition'],
      'gb:ruleId': [text(rule.id)],
      ...parties,
      ...target,
      'odrl:action': [{ '@id': ACTION_OF[rule.mode] }],
      'odrl:constraint': constraintsOf(rule.when, `${uid}#deny/${rule.id}/when`),
    })),
    'odrl:obligation': policy.duties.map((duty, index) => dutyOf(duty, `${uid}#duties/${index}`, parties)),
    'gb:onViolation': [{ 'gb:stop': [text(policy.onViolation.stop)], 'gb:alert': [text(policy.onViolation.alert)] }],
  };
  return expand(offer) as LdNode;
}

export const policyIri = (policy: Pick<UsagePolicy, 'dataset' | 'version'>): string =>
  `urn:glovebox:policy:${encodeURIComponent(policy.dataset)}:${policy.version}`;
export const partyIri = (party: string): string => `urn:glovebox:party:${encodeURIComponent(party)}`;
export const datasetIri = (dataset: string): string => `urn:glovebox:dataset:${encodeURIComponent(dataset)}`;

const constraintsOf = (when: Conditions, base: string): readonly Loose[] =>
  constraints(CONDITION_TERMS, flatten(when), base);

function constraints(
  terms: readonly ConstraintTerm[],
  values: Readonly<Record<string, unknown>>,
  base: string,
): readonly Loose[] {
  return terms.flatMap((term): readonly Loose[] => {
    const value = values[term.field];
    if (value === null || value === undefined) return [];
    const extra = term.extra === undefined ? null : (values[term.extra.field] ?? null);
    return [
      {
        '@id': `${base}/${term.field}`,
        '@type': ['odrl:Constraint'],
        'odrl:leftOperand': [{ '@id': term.operand }],
        'odrl:operator': [{ '@id': term.operator }],
        'odrl:rightOperand': valuesOf(term.kind, value),
        ...(term.unit === undefined ? {} : { 'odrl:unit': [{ '@id': term.unit }] }),
        ...(extra === null || term.extra === undefined
          ? {}
          : { [term.extra.property]: valuesOf(term.extra.kind, extra) }),
      },
    ];
  });
}

function valuesOf(kind: ValueKind, value: unknown): readonly Loose[] {
  switch (kind) {
    case 'texts':
    case 'purposes': {
      const values = value as readonly string[];
      if (values.length === 0) throw new RangeError('a condition that lists nothing cannot be said in ODRL');
      return values.map((one) =>
        // A plain name is one of the Data Privacy Vocabulary; whoever wrote an IRI gets it back as written.
        kind === 'purposes' && /^[A-Za-z]+$/.test(one) ? { '@id': `dpv:${one}` } : text(one),
      );
    }
    case 'doubles':
      return (value as readonly number[]).map((one) => typed(String(one), 'double'));
    case 'text':
      return [text(value as string)];
    case 'integer':
      return [integer(value as number)];
    case 'double':
      return [typed(String(value), 'double')];
    case 'boolean':
      return [typed(String(value), 'boolean')];
    case 'instant':
      return [typed(new Date(value as number).toISOString(), 'dateTime')];
    case 'duration':
      return [typed(durationText(value as number), 'duration')];
  }
}

/** The asset: what is protected, and what may be done with each column. Ours alone; ODRL has no words for it. */
function assetOf(policy: UsagePolicy): Loose {
  return {
    '@id': datasetIri(policy.dataset),
    '@type': ['odrl:Asset'],
    'gb:dataset': [text(policy.dataset)],
    'gb:grade': [text(policy.grade)],
    'gb:table': policy.tables.map(tableOf),
  };
}

function tableOf(table: TablePolicy): Loose {
  return {
    ...optionally('gb:name', table.name, text),
    'gb:isPublic': [typed(String(table.isPublic), 'boolean')],
    'gb:privacyUnit': table.privacyUnits.map(({ columns, via }) => ({
      'gb:keyColumn': columns.map(text),
      'gb:via': via.map(({ from, table: to, to: column }) => ({
        'gb:fromColumn': [text(from)],
        'gb:toTable': [text(to)],
        'gb:toColumn': [text(column)],
      })),
    })),
    ...optionally('gb:rows', table.rows, text),
    'gb:joins': [text(table.joins)],
    'gb:consumerTables': [typed(String(table.consumerTables !== false), 'boolean')],
    ...optionally('gb:consumerTablesOnUnit', table.consumerTables === 'onUnit' ? 'true' : null, (value) =>
      typed(value, 'boolean'),
    ),
    'gb:column': table.columns.map((column) => ({
      'gb:name': [text(column.name)],
      ...optionally('gb:grade', column.grade, text),
      'gb:grant': column.grants.map(grantOf),
    })),
  };
}

function grantOf(grant: ColumnGrant): Loose {
  const { bounds, values, bins } = grant;
  return {
    ...optionally('gb:consumer', grant.consumers, (names) => names.map(text)),
    'gb:right': grant.rights.map(text),
    'gb:function': grant.functions.map(text),
    ...optionally('gb:low', bounds, ({ low }) => typed(String(low), 'double')),
    ...optionally('gb:high', bounds, ({ high }) => typed(String(high), 'double')),
    ...(values === null
      ? {}
      : values === 'public'
        ? { 'gb:values': [text('public')] }
        : { 'gb:value': values.map(literal) }),
    ...optionally('gb:bin', bins, (edges) => edges.map((edge) => typed(String(edge), 'double'))),
  };
}

function dutyOf(duty: Duty, id: string, parties: Loose): Loose {
  const { to, what, withinMs, meter, unitPrice, currency } = duty;
  return {
    '@id': id,
    '@type': ['odrl:Duty'],
    ...parties,
    'odrl:action': [{ '@id': DUTY_ACTION[duty.do] }],
    'gb:on': [text(duty.on)],
    ...optionally(duty.do === 'notify' ? 'odrl:informedParty' : 'gb:to', to, (name) => ({ '@id': partyIri(name) })),
    ...optionally('gb:what', what, text),
    ...optionally('gb:within', withinMs, (ms) => typed(durationText(ms), 'duration')),
    ...optionally('gb:meter', meter, text),
    ...optionally('odrl:payAmount', unitPrice, (price) => typed(price, 'decimal')),
    ...optionally('odrl:unit', currency, (code) => ({ '@id': `urn:iso:std:iso:4217:${code}` })),
  };
}

/** A node before its terms are written out. */
type Loose = { readonly [key: string]: unknown };

const text = (value: string): Loose => ({ '@value': value });
const typed = (value: string, type: string): Loose => ({ '@value': value, '@type': `xsd:${type}` });
const integer = (value: number): Loose => typed(String(value), 'integer');

function literal(value: PolicyLiteral): Loose {
  switch (value.kind) {
    case 'text':
      return text(value.value);
    case 'number':
      return typed(value.text, 'decimal');
    case 'boolean':
      return typed(String(value.value), 'boolean');
  }
}

function optionally<T>(key: string, value: T | null, write: (value: T) => Loose | readonly Loose[]): Loose {
  if (value === null) return {};
  const written = write(value);
  return { [key]: Array.isArray(written) ? written : [written] };
}

/** Milliseconds as an xsd:duration in seconds, exact. */
export function durationText(ms: number): string {
  const rest = ms % 1000;
  return `PT${Math.floor(ms / 1000)}${rest === 0 ? '' : `.${String(rest).padStart(3, '0')}`}S`;
}

/** Terms to full IRIs, in keys, identifiers and types. Texts (`@value`) are left alone. */
function expand(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(expand);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      // A list without members says nothing in JSON-LD.
      .filter(([, inner]) => !(Array.isArray(inner) && inner.length === 0))
      .map(([key, inner]) => {
        if (key === '@value') return [key, inner];
        if (key === '@id') return [key, iriOf(String(inner))];
        if (key === '@type')
          return [key, Array.isArray(inner) ? inner.map((one) => fullIri(String(one))) : fullIri(String(inner))];
        return [fullIri(key), expand(inner)];
      }),
  );
}

const iriOf = (id: string): string =>
  Object.keys(NAMESPACES).some((prefix) => id.startsWith(`${prefix}:`)) ? fullIri(id) : id;
