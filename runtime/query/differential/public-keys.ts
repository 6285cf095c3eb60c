/** Values that a key can have whatever the rows are, as released cells. */
import type { PolicyLiteral } from '../../policy/model.ts';
import type { Cell } from '../../release/column-values.ts';
import type { SqlType } from '../types.ts';
import { readText } from '../resolve/constant.ts';
import type { Typed } from '../typed.ts';

/**
 * Declared values of a column, those that a CASE spells out, and what lower(), upper() and coalesce() with a constant make
 * of them, in the form in which cells of the type are released; null when there are none, or when one of them is no value of the type: the keys then count as private.
 */
export function publicCells(expression: Typed): readonly Cell[] | null {
  const { type } = expression;
  const literals = literalsOf(expression);
  if (type === null || literals === null) return null;
  const cells = literals.map((literal) => cellOf(literal, type));
  // One value written twice is one key.
  return cells.includes(null) ? null : [...new Set(cells)];
}

function literalsOf(expression: Typed): readonly PolicyLiteral[] | null {
  if (expression.kind === 'column') {
    const values = expression.base?.column.grants.map((grant) => grant.values).find((one) => Array.isArray(one));
    return Array.isArray(values) ? (values as readonly PolicyLiteral[]) : null;
  }
  if (expression.kind === 'call') return literalsOfCall(expression);
  if (expression.kind !== 'case') return null;
  const spelled = [...expression.whens.map(({ value }) => value), expression.otherwise].map(literalOf);
  const found = spelled.filter((one) => one !== null);
  return found.length < spelled.length ? null : found;
}

function literalsOfCall({ name, args }: Typed & { kind: 'call' }): readonly PolicyLiteral[] | null {
  const [first, ...others] = args;
  const declared = first === undefined ? null : literalsOf(first);
  if (declared === null) return null;
  if (name === 'coalesce' || name === 'ifnull') {
    const spelled = others.map(literalOf);
    const found = spelled.filter((one) => one !== null);
    return found.length < spelled.length ? null : [...declared, ...found];
  }
  if ((name !== 'lower' && name !== 'upper') || others.length > 0) return null;
  // Letters beyond ASCII change case by tables that engines do not share.
  const texts = declared.flatMap((one) => (one.kind === 'text' && /^[ -~]*$/.test(one.value) ? [one.value] : []));
  if (texts.length < declared.length) return null;
  return texts.map((text) => ({ kind: 'text', value: name === 'lower' ? text.toLowerCase() : text.toUpperCase() }));
}

function literalOf(expression: Typed): PolicyLiteral | null {
  // The branches of a CASE are cast to their common type.
  const [inner] = expression.kind === 'call' && expression.name === 'cast' ? expression.args : [];
  const constant = inner ?? expression;
  if (constant.kind !== 'constant') return null;
  const { literal } = constant;
  if (literal.kind === 'text') return { kind: 'text', value: literal.value };
  if (literal.kind === 'boolean') return { kind: 'boolean', value: literal.value };
  return literal.kind === 'integer' ? { kind: 'number', text: String(literal.value) } : null;
}

/** Integers of 32 bits and less are released as numbers, larger ones as bigints; dates as days since 1970. */
function cellOf(value: PolicyLiteral, type: SqlType): Cell {
  const text = value.kind === 'number' ? value.text : String(value.value);
  // Types whose values cannot be told exactly by a written list are left to the threshold.
  // oxlint-disable-next-line typescript/switch-exhaustiveness-check
  switch (type.kind) {
    case 'text':
      return text;
    case 'boolean':
      return value.kind === 'boolean' ? value.value : null;
    case 'integer': {
      if (value.kind !== 'number' || !/^-?\d{1,18}$/.test(text)) return null;
      const isSmall = type.bits < 32 || (type.bits === 32 && type.isSigned);
      return isSmall ? Number(text) : BigInt(text);
    }
    case 'date': {
      const read = value.kind === 'text' ? readText(text, type) : null;
      return read?.kind === 'date' ? Date.parse(`${read.text}T00:00:00Z`) / 86_400_000 : null;
    }
    default:
      return null;
  }
}
