import { DataType, type Table } from 'apache-arrow';

/** The rows of an Arrow table as the engine shows them, numbers with so many significant digits. */
export function lines(table: Table, digits: number): string[] {
  const types = table.schema.fields.map(({ type }) => type as DataType);
  return table.toArray().map((row) =>
    Object.values((row as { toJSON(): Record<string, unknown> }).toJSON())
      .map((cell, i) => shown(cell, types[i], digits))
      .join(' | '),
  );
}

function shown(cell: unknown, type: DataType | undefined, digits: number): string {
  if (cell === null || cell === undefined) return 'NULL';
  if (DataType.isDate(type) || DataType.isTimestamp(type)) {
    return new Date(Number(cell)).toISOString().replace('T', ' ').slice(0, 19).replace(' 00:00:00', '');
  }
  if (DataType.isDecimal(type)) return number(Number(String(cell as bigint)) / 10 ** type.scale, digits);
  if (typeof cell === 'number' || typeof cell === 'bigint') return number(Number(cell), digits);
  const text = String(cell as string | boolean);
  return /^-?\d+(\.\d+)?(e[-+]\d+)?$/.test(text) ? number(Number(text), digits) : text;
}

const number = (value: number, digits: number): string => Number(value.toPrecision(digits)).toString();
