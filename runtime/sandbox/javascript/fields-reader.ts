import { javascriptLimits } from './limits.ts';

export type Fields = Readonly<Record<string, unknown>>;

const identifier = /^[\p{L}_][\p{L}\p{N}_ .-]{0,127}$/u;

/**
 * Reads plain data from outside field by field. What is wrong becomes a complaint with its path, and a harmless value stands in
 * for it, so that one reading finds everything; whoever reads looks at `reasons` before it uses anything.
 */
export class FieldsReader {
  readonly reasons: string[] = [];

  complain(path: string, message: string): void {
    this.reasons.push(`${path === '' ? 'computation' : path}: ${message}`);
  }

  fields(value: unknown, path: string, known: readonly string[]): Fields {
    if (!isFields(value)) {
      this.complain(path, value === undefined ? 'is missing' : 'must be an object');
      return {};
    }
    for (const key of Object.keys(value))
      if (!known.includes(key)) this.complain(path === '' ? key : `${path}.${key}`, 'is not known');
    return Object.fromEntries(known.filter((key) => Object.hasOwn(value, key)).map((key) => [key, value[key]]));
  }

  list(value: unknown, path: string, most: number): readonly unknown[] {
    if (!Array.isArray(value) || value.length === 0) {
      this.complain(path, value === undefined ? 'is missing' : 'must be a list that is not empty');
      return [];
    }
    if (value.length > most) {
      this.complain(path, `has ${value.length} entries, limit is ${most}`);
      return [];
    }
    return Array.from(value as unknown[]);
  }

  names(value: unknown, path: string, most: number): readonly string[] {
    const names = this.list(value, path, most).map((each, i) => this.text(each, `${path}[${i}]`));
    if (new Set(names).size !== names.length) this.complain(path, 'name one twice');
    return names;
  }

  numbers(value: unknown, path: string, exactly?: number): readonly number[] {
    const list = this.list(value, path, javascriptLimits.bins + 1);
    if (exactly !== undefined && list.length !== exactly) this.complain(path, `needs ${exactly} numbers`);
    return list.map((each, i) => this.number(each, `${path}[${i}]`));
  }

  number(value: unknown, path: string): number {
    if (typeof value === 'number' && Number.isFinite(value)) return value;
    this.complain(path, value === undefined ? 'is missing' : 'must be a finite number');
    return 0;
  }

  integer(value: unknown, path: string, least: number, most: number): number {
    if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) return value;
    this.complain(path, `must be a whole number between ${least} and ${most}`);
    return least;
  }

  text(value: unknown, path: string): string {
    if (typeof value === 'string' && identifier.test(value)) return value;
    this.complain(path, value === undefined ? 'is missing' : 'is not a name');
    return '';
  }

  one<T extends string>(value: unknown, path: string, allowed: readonly [T, ...T[]] | readonly T[]): T {
    const found = allowed.find((each) => each === value);
    if (found !== undefined) return found;
    this.complain(path, `must be one of ${allowed.map((each) => `\`${each}\``).join(', ')}`);
    return allowed[0] as T;
  }
}

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
