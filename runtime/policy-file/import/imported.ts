import { stringify } from 'yaml';
import { complaintText, parsePolicy } from '../parse-policy.ts';

/** What an importer makes of somebody else's rules. */
export type Imported =
  | {
      readonly kind: 'imported';
      readonly dataset: string;
      /** A policy document that `parsePolicy` accepts. */
      readonly document: string;
      /** What the source says and the document does not, or says more strictly. */
      readonly losses: readonly Loss[];
    }
  | { readonly kind: 'refused'; readonly reason: string; readonly losses: readonly Loss[] };

export interface Loss {
  /** Where in the source: `line 3`, `aggregation.scalarFunctions`. */
  readonly at: string;
  /** What the source says there. */
  readonly said: string;
  /** What became of it. */
  readonly becomes: string;
}

/** What a source does not say and a policy must; nothing of it is guessed. */
export interface ImportOptions {
  readonly dataset?: string;
  /** Key columns of whom the table protects; `row`: every row. */
  readonly unit?: readonly string[] | 'row';
  readonly minUnits?: number;
  /** Columns of the table, where the source does not list them. */
  readonly columns?: readonly string[];
}

/** Largest source, UTF-16 units; most statements in one. */
export const MAX_SOURCE = 256 * 1024;
export const MAX_STATEMENTS = 1000;

/** Carries a refusal out of an importer; never leaves this folder. */
export class ImportRefusal extends Error {}

export function refuseImport(reason: string): never {
  throw new ImportRefusal(reason);
}

/** Runs an importer over a source that anybody may have written. */
export function importing(
  source: string,
  read: (losses: Loss[]) => { readonly dataset: string; readonly document: object },
): Imported {
  const losses: Loss[] = [];
  if (source.length > MAX_SOURCE)
    return { kind: 'refused', reason: `the source is longer than ${MAX_SOURCE} characters`, losses };
  try {
    const { dataset, document } = read(losses);
    const text = `${commentsOf(losses)}${stringify(document, { version: '1.2', schema: 'core', lineWidth: 0, aliasDuplicateObjects: false })}`;
    const parsed = parsePolicy(text, 'imported.yaml');
    if (parsed.kind === 'complaints') {
      const why = parsed.complaints.map((one) => complaintText(one)).join('; ');
      return { kind: 'refused', reason: `the rules make no policy: ${why}`, losses };
    }
    return { kind: 'imported', dataset, document: text, losses };
  } catch (error) {
    if (error instanceof ImportRefusal) return { kind: 'refused', reason: error.message, losses };
    throw error;
  }
}

/** The losses stand at the head of the document, so that nobody attaches it without having seen them. */
function commentsOf(losses: readonly Loss[]): string {
  if (losses.length === 0) return '';
  const line = (text: string): string => text.replaceAll(/[^\P{C}]+/gu, ' ').slice(0, 400);
  return `# Imported. What could not be said in the same way:\n${losses
    .map(({ at, said, becomes }) => `# - ${line(`${at}: ${said}: ${becomes}`)}\n`)
    .join('')}`;
}

/** The columns as the document says them: rights in a fixed order, one grant for each consumer. */
export interface ImportedGrant {
  readonly consumers?: readonly string[];
  readonly rights: ReadonlySet<string>;
  readonly functions: ReadonlySet<string>;
}

const RIGHTS = ['join', 'group', 'filter', 'compare', 'order', 'countDistinct', 'aggregate', 'extremum'] as const;
const FUNCTIONS = ['sum', 'avg', 'count'] as const;

export function columnsDocument(columns: ReadonlyMap<string, readonly ImportedGrant[]>): object {
  const entries = [...columns].flatMap(([name, grants]): [string, object][] => {
    const told = grants
      .filter(({ rights }) => rights.size > 0)
      .map(({ consumers, rights, functions }) => ({
        ...(consumers === undefined ? {} : { consumers }),
        rights: RIGHTS.filter((one) => rights.has(one)),
        ...(functions.size === 0 ? {} : { functions: FUNCTIONS.filter((one) => functions.has(one)) }),
      }));
    const [only] = told;
    return only === undefined ? [] : [[name, told.length === 1 ? only : told]];
  });
  return Object.fromEntries(entries);
}

export function unitDocument(unit: readonly string[] | 'row'): unknown {
  return unit === 'row' ? 'row' : [...unit];
}

export function needUnit(options: ImportOptions, why: string): readonly string[] | 'row' {
  return options.unit ?? refuseImport(`${why}: say whom the table protects with --unit COLUMN, or --unit row`);
}

export function needMinUnits(options: ImportOptions, why: string): number {
  return options.minUnits ?? refuseImport(`${why}: say it with --min-units NUMBER`);
}

export function needDataset(options: ImportOptions, found: string | null): string {
  return options.dataset ?? found ?? refuseImport('the source does not name the dataset: say it with --dataset NAME');
}
