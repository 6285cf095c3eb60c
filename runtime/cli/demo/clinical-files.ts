import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** One line of a CSV file by column name, as text. */
export type Line = Readonly<Record<string, string>>;

/** A figure as a result holds it. */
export type Figure = string | number;

/** The demo's files, read without the runtime and without a database: what its answers are compared with. */
export interface ClinicalFiles {
  readonly colon: readonly Line[];
  readonly pbcseq: readonly Line[];
  readonly flchain: readonly Line[];
  readonly extent: readonly Line[];
}

export const CLINICAL_TABLES = ['colon', 'pbcseq', 'flchain', 'extent'] as const satisfies (keyof ClinicalFiles)[];

export function readClinicalFiles(folder: string): ClinicalFiles {
  const read = (table: keyof ClinicalFiles): readonly Line[] => readCsv(join(folder, `${table}.csv`));
  return { colon: read('colon'), pbcseq: read('pbcseq'), flchain: read('flchain'), extent: read('extent') };
}

/** These files quote text and have no commas, quotes or line ends inside it. */
function readCsv(file: string): readonly Line[] {
  const [head = [], ...lines] = readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split(',').map((cell) => cell.replace(/^"(.*)"$/, '$1')));
  return lines.map((cells) => Object.fromEntries(head.map((name, index) => [name, cells[index] ?? ''])));
}

/** Groups of lines by the values of some columns, in the order in which the groups first appear. */
export function groupBy(lines: readonly Line[], ...columns: readonly string[]): readonly (readonly Line[])[] {
  const key = (line: Line): string => JSON.stringify(columns.map((column) => line[column]));
  return [...Map.groupBy(lines, key).values()];
}

export function distinct(lines: readonly Line[], column: string): number {
  return new Set(lines.map((line) => line[column])).size;
}

/** Mean of the lines that have a value. */
export function mean(lines: readonly Line[], column: string): number {
  const values = lines.map((line) => line[column] ?? '').filter((text) => text !== '');
  return values.reduce((sum, text) => sum + Number(text), 0) / values.length;
}

export function first(lines: readonly Line[], column: string): string {
  return lines[0]?.[column] ?? '';
}

/** Half away from zero, as SQL rounds. */
export function round(value: number, digits = 0): number {
  const scale = 10 ** digits;
  return (Math.sign(value) * Math.round(Math.abs(value) * scale)) / scale;
}
