import { type DataType, type Decimal, type Table, type Timestamp, TimeUnit, Type } from 'apache-arrow';

export type Cell = string | number | boolean | null;

export interface ResultColumn {
  readonly name: string;
  readonly type: string;
}

export const columnsOf = (table: Table): readonly ResultColumn[] =>
  table.schema.fields.map(({ name, type }) => ({ name, type: String(type) }));

/** Rows as plain values: whole numbers beyond 2^53 and decimals as text that loses nothing, dates in ISO 8601. */
export function cellsOf(table: Table): readonly Readonly<Record<string, Cell>>[] {
  const columns = table.schema.fields.map(({ name, type }, index) => ({
    name,
    type: type as DataType,
    vector: table.getChildAt(index),
  }));
  return Array.from({ length: table.numRows }, (_, row) =>
    Object.fromEntries(columns.map(({ name, type, vector }) => [name, cellOf(vector?.get(row), type)])),
  );
}

export function csvText(table: Table): string {
  const quote = (cell: Cell): string => {
    const text = cell === null ? '' : String(cell);
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const names = table.schema.fields.map(({ name }) => name);
  const lines = cellsOf(table).map((row) => names.map((name) => quote(row[name] ?? null)).join(','));
  return `${[names.map(quote).join(','), ...lines].join('\n')}\n`;
}

function cellOf(value: unknown, type: DataType): Cell {
  if (value === null || value === undefined) return null;
  const { typeId } = type;
  if (typeId === Type.Decimal) return decimalOf(value as Uint32Array, (type as Decimal).scale);
  if (typeId === Type.Timestamp) {
    // apache-arrow gives milliseconds as a double, whatever the unit.
    const hasFraction = (type as Timestamp).unit !== TimeUnit.SECOND;
    return new Date(Number(value)).toISOString().replace(hasFraction ? /Z$/ : /\.000Z$/, '');
  }
  if (typeId === Type.Date) return new Date(Number(value)).toISOString().slice(0, 10);
  if (typeof value === 'bigint')
    return value <= BigInt(Number.MAX_SAFE_INTEGER) && value >= -BigInt(Number.MAX_SAFE_INTEGER)
      ? Number(value)
      : String(value);
  if (typeof value === 'number' || typeof value === 'boolean' || typeof value === 'string') return value;
  return JSON.stringify(value);
}

/** Two's complement of 128 bits in four little-endian words; a number when it is whole and small, else decimal text. */
function decimalOf(words: Uint32Array, scale: number): Cell {
  let unscaled = 0n;
  for (let index = 3; index >= 0; index--) unscaled = (unscaled << 32n) | BigInt(words[index] ?? 0);
  unscaled = BigInt.asIntN(128, unscaled);
  if (scale === 0)
    return unscaled <= BigInt(Number.MAX_SAFE_INTEGER) && unscaled >= -BigInt(Number.MAX_SAFE_INTEGER)
      ? Number(unscaled)
      : String(unscaled);
  const digits = (unscaled < 0n ? -unscaled : unscaled).toString().padStart(scale + 1, '0');
  const text = `${unscaled < 0n ? '-' : ''}${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
  return String(Number(text)) === text.replace(/\.?0+$/, '') ? Number(text) : text;
}
