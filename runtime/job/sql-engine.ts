import type { Denied, Reason } from '../policy/reason.ts';
import type { CatalogueTable } from '../query/catalogue.ts';
import type { EnforcedQuery, HiddenGroup } from '../query/enforced.ts';
import type { ColumnBatch, Schema } from '../release/columns.ts';
import type { AdmittedPermit } from './admission.ts';
import type { Execution } from './prepare.ts';

/** What the SQL path needs: an engine that parses without data, and one that runs our own text in a jail. */
export interface SqlEngine {
  /** Parses in a worker that holds no data. A syntax error is the consumer's own text and may be told. */
  readonly parse: (text: string, signal: AbortSignal) => Promise<ParsedSql>;
  /** The bound plan of text that we printed, made in a worker that holds empty tables of the same shape. */
  readonly plan: (enforced: EnforcedQuery, tables: readonly CatalogueTable[], signal: AbortSignal) => Promise<unknown>;
  /** The dataset behind a permit as this party may see it; denied when its bytes no longer match their digest. */
  readonly open: (permit: AdmittedPermit, party: string, groups: readonly string[]) => Promise<OpenDataset | Denied>;
  /** Tables of the party's own among the names; denied when one is not what was uploaded. Absent: parties have none. */
  readonly bring?: (party: string, names: ReadonlySet<string>) => Promise<readonly OpenDataset[] | Denied>;
  readonly schemaOf: (enforced: EnforcedQuery) => Schema;
  readonly run: (
    enforced: EnforcedQuery,
    datasets: readonly OpenDataset[],
    party: string,
    signal: AbortSignal,
    /** Present when the query has a guard plan: is shown the sketches, says what is withheld. */
    guard?: AskGuard,
  ) => Execution;
  /** Digest of the image in which SQL runs. */
  readonly image: string;
}

export type AskGuard = (sketches: readonly ColumnBatch[]) => Promise<readonly HiddenGroup[]>;

export type ParsedSql =
  | { readonly kind: 'ast'; readonly ast: unknown }
  | { readonly kind: 'invalid'; readonly message: string; readonly at: Reason['at']; readonly remedy: string | null };

export interface OpenDataset {
  readonly kind: 'open';
  readonly name: string;
  readonly version: number;
  readonly digest: string;
  /** Path of the layout file, and the name under which the worker attaches it. */
  readonly file: string;
  readonly database: string;
  readonly tables: readonly CatalogueTable[];
}
