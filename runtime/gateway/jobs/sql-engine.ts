import { catalogueTables, emptySchemaOf, layoutSpecOf } from '../../dataset/catalogue.ts';
import { DatasetError } from '../../dataset/dataset-error.ts';
import { DEFAULT_ENGINE_LIMITS, type EngineLimits } from '../../dataset/engine.ts';
import { groupBitsFor } from '../../dataset/group-bits.ts';
import { buildLayout, type LayoutNeeds } from '../../dataset/layout.ts';
import type { DatasetManifest } from '../../dataset/metadata.ts';
import { parseInWorker, planInWorker } from '../../dataset/parse-in-worker.ts';
import { DEFAULT_RUN_LIMITS, resultSchemaOf, runEnforced } from '../../dataset/run-enforced.ts';
import { linkOf, type WorkerLink } from '../../dataset/worker-link.ts';
import type { ExecutionSummary } from '../../job/prepare.ts';
import type { OpenDataset, SqlEngine } from '../../job/sql-engine.ts';
import type { UsagePolicy } from '../../policy/model.ts';
import { denied, reason } from '../../policy/reason.ts';
import type { CatalogueTable } from '../../query/catalogue.ts';
import { statementsToPlan } from '../../query/check-plan.ts';
import type { EnforcedQuery } from '../../query/enforced.ts';
import type { Cuboid, LayoutSpec } from '../../query/layout.ts';
import { numberText, parseLossless } from '../../query/lossless-json.ts';
import type { ColumnBatch } from '../../release/columns.ts';
import type { WorkerPool } from '../../sandbox/pool.ts';
import { type ConsumerTables, type OpenedTable, STORED_NAME } from '../datasets/consumer-tables.ts';

/** Up to so many rows one thread is faster than two that wait for each other. */
const ROWS_FOR_ONE_THREAD = 100_000n;

/** Up to so many cells any plan is run sooner than the best one is found. */
const FEW_CELLS = 500_000n;

function isFewCells(datasets: readonly OpenDataset[]): boolean {
  const tables = datasets.flatMap((dataset) => dataset.tables);
  return tables.reduce((sum, { rowCount, columns }) => sum + rowCount * BigInt(columns.length), 0n) <= FEW_CELLS;
}

/** Threads that one query may use; two at most, so that one consumer's scan leaves room for the next. */
function engineLimits(datasets: readonly OpenDataset[], { setup, guard }: EnforcedQuery): EngineLimits {
  const rows = datasets.flatMap(({ tables }) => tables).reduce((sum, { rowCount }) => sum + BigInt(rowCount), 0n);
  if (rows <= ROWS_FOR_ONE_THREAD) return { ...DEFAULT_ENGINE_LIMITS, threads: 1 };
  return { ...DEFAULT_ENGINE_LIMITS, groupBits: groupBitsFor(Number(rows), [...setup, ...(guard?.setup ?? [])]) };
}

export interface SqlEngineNeeds {
  readonly pool: WorkerPool;
  readonly layout: LayoutNeeds;
  readonly image: string;
  readonly manifestOf: (dataset: string) => Promise<DatasetManifest>;
  /** Tables that consumers brought; absent: there are none. */
  readonly tables?: Pick<ConsumerTables, 'find' | 'list'>;
  /** Whether a dataset's columns are ciphertext, which SQL cannot read. */
  readonly isEncrypted?: (dataset: string) => boolean;
}

interface Opened {
  readonly manifest: DatasetManifest;
  readonly spec: LayoutSpec;
  /** By table. */
  readonly cuboids?: ReadonlyMap<string, readonly Cuboid[]>;
}

/** The SQL path over real workers: texts are parsed where no data is, our own statements run where no secret is. */
export function sqlEngine(needs: SqlEngineNeeds): SqlEngine {
  const { pool } = needs;
  // What `open` knows of a dataset, for the empty tables that `plan` makes of it; by layout, since another policy shows others.
  const opened = new Map<string, Opened>();
  /** The same for tables that consumers brought, of which there is no end: the latest ones. */
  const brought = new Map<string, Opened>();

  const inParser = async <T>(signal: AbortSignal, use: (link: WorkerLink) => Promise<T>): Promise<T> => {
    const worker = await pool.lease({ kind: 'parser', party: 'runtime', signal });
    try {
      const answer = await use(linkOf(worker));
      worker.release();
      return answer;
    } catch (error) {
      await worker.destroy();
      throw error;
    }
  };

  return {
    image: needs.image,
    schemaOf: resultSchemaOf,
    parse: async (text, signal) => {
      const answer = await inParser(signal, (link) => parseInWorker(link, text));
      if (answer.kind === 'refused')
        return {
          kind: 'invalid',
          message: 'the query is too long or too deep to be read',
          at: startOf(text),
          remedy: null,
        };
      const ast = parseLossless(answer.value);
      const {
        error,
        error_message: message,
        position,
      } = ast as { error?: unknown; error_message?: unknown; position?: unknown };
      // Without a place of the parser's own the whole text is meant.
      if (error === true && !isUnwritable(message))
        return {
          kind: 'invalid',
          message: syntaxMessage(message),
          at: placeAt(text, position) ?? startOf(text),
          remedy: spelledElsewhere(text, message),
        };
      return { kind: 'ast', ast };
    },
    plan: async (enforced, tables, signal) => {
      const schema = [
        ...new Set(tables.map(({ physical }) => physical.split('.')[0]?.replaceAll('"', '') ?? '')),
      ].flatMap((alias) => {
        const table = tables.find(({ physical }) => physical.startsWith(`"${alias}".`));
        const known = table?.brought === true ? brought.get(alias) : opened.get(table?.layout ?? '');
        if (known === undefined) throw new Error('a plan is asked for a dataset that was not opened');
        return emptySchemaOf(alias, known.manifest, known.spec, known.cuboids);
      });
      const answer = await inParser(signal, (link) => planInWorker(link, schema, statementsToPlan(enforced)));
      if (answer.kind === 'refused') throw new Error(`our own statements cannot be planned: ${answer.code}`);
      return answer.value.map((plan) => parseLossless(plan));
    },
    open: async ({ permit }, party, groups) => {
      const { policy } = permit;
      if (needs.isEncrypted?.(policy.dataset) === true) {
        return denied(
          reason('dataset-encrypted', `the columns of dataset \`${policy.dataset}\` are ciphertext`, {
            remedy: 'submit a homomorphic program instead of SQL',
          }),
        );
      }
      try {
        const manifest = await needs.manifestOf(policy.dataset);
        const spec = layoutSpecFor(manifest, policy);
        const layout = await buildLayout(needs.layout, manifest, spec);
        const cuboids = new Map(layout.tables.map(({ name, cuboids = [] }) => [name, cuboids]));
        opened.set(layout.id, { manifest, spec, cuboids });
        const rowCounts = new Map(layout.tables.map(({ name, rowCount }) => [name, rowCount]));
        const tables: readonly CatalogueTable[] = catalogueTables({
          manifest,
          policies: policy.tables,
          consumer: party,
          groups,
          alias: 'd0',
          rowCounts,
          facts: new Map(layout.tables.map(({ name, columns }) => [name, columns])),
          cuboids,
        });
        const dataset: OpenDataset = {
          kind: 'open',
          name: manifest.dataset,
          version: manifest.version,
          digest: manifest.digest.replace('sha256:', ''),
          file: layout.path,
          database: 'd0',
          tables: tables.map((table) => ({ ...table, layout: layout.id })),
        };
        return dataset;
      } catch (error) {
        if (!(error instanceof DatasetError)) throw error;
        return denied(
          reason(
            'dataset-changed',
            `dataset \`${policy.dataset}\` cannot be used: its files are not what was registered`,
            {
              remedy: 'tell the provider: `dataset verify` names the file',
            },
          ),
        );
      }
    },
    bring: async (party, wanted) => {
      const names = (needs.tables?.list(party) ?? []).map(({ body }) => body.name).filter((name) => wanted.has(name));
      const found: OpenDataset[] = [];
      for (const name of names) {
        try {
          const table = (await needs.tables?.find(party, name)) ?? null;
          if (table === null) continue;
          const dataset = broughtDataset(table);
          brought.delete(dataset.database);
          brought.set(dataset.database, table);
          for (const [oldest] of brought) {
            if (brought.size <= MAX_BROUGHT) break;
            brought.delete(oldest);
          }
          found.push(dataset);
        } catch (error) {
          if (!(error instanceof DatasetError)) throw error;
          return denied(
            reason(
              'consumer-table-changed',
              `your table \`${name}\` cannot be used: its bytes are not what you uploaded`,
              {
                remedy: 'upload it again',
              },
            ),
          );
        }
      }
      return found;
    },
    run: (enforced, datasets, party, signal, guard) => {
      let summary: ExecutionSummary = { kind: 'failed' };
      async function* batches(): AsyncGenerator<ColumnBatch, void, void> {
        const mounts = datasets.map(({ file, database }) => ({
          hostPath: file,
          guestPath: guestPathOf(database),
        }));
        const worker = await pool.lease({ kind: 'sql', party, mounts, signal });
        let isClean = false;
        try {
          const databases = datasets.map(({ database }) => ({
            alias: database,
            path: worker.pathInWorker(guestPathOf(database)),
          }));
          const run = runEnforced(linkOf(worker), databases, enforced, {
            limits: { ...DEFAULT_RUN_LIMITS, engine: engineLimits(datasets, enforced) },
            isFewCells: isFewCells(datasets),
            signal,
            ...(guard === undefined ? {} : { guard }),
          });
          yield* run.batches();
          const { outcome } = run;
          isClean = outcome.kind === 'done';
          if (outcome.kind === 'done') {
            const rowsScanned = datasets
              .flatMap(({ tables }) => tables)
              .filter(({ physical, brought: isOwn }) => isOwn !== true && (enforced.reads?.includes(physical) ?? true))
              .reduce((sum, { rowCount }) => sum + Number(rowCount), 0);
            summary = {
              kind: 'done',
              rowsScanned,
              cpuMs: Math.ceil(outcome.summary.cpuMicros / 1000),
              withheld: { cells: outcome.summary.withheldCells, reasons: [] },
            };
          }
        } finally {
          // Any doubt and the process dies; a clean one may serve the next job over the same files.
          if (isClean) worker.release();
          else await worker.destroy();
        }
      }
      return { batches: batches(), summary: () => summary };
    },
  };
}

/** Tables of consumers whose shapes are remembered; a plan is made right after its tables were opened. */
const MAX_BROUGHT = 1024;

/**
 * INVARIANT: the name under which a worker attaches the table holds the digest of its bytes, so statements, and with them
 * questions that are answered from the record, are the same only for the same table.
 */
function broughtDataset({ record, manifest, layout }: OpenedTable): OpenDataset {
  const { name, digest } = record.body;
  const database = `b${digest}`;
  const [table] = manifest.tables;
  const [laidOut] = layout.tables;
  if (table === undefined || laidOut === undefined) throw new Error('a table without a table');
  const columns = table.columns.map((column) => {
    const { distinctValues, ...facts } = laidOut.columns[column.name] ?? { distinctValues: 0 };
    return { ...column, grants: [], ...('isComplete' in facts ? { distinctValues, facts } : {}) };
  });
  return {
    kind: 'open',
    name: manifest.dataset,
    version: manifest.version,
    digest,
    file: layout.path,
    database,
    tables: [
      {
        dataset: manifest.dataset,
        names: [name, `my.${name}`],
        physical: `"${database}"."${STORED_NAME}"`,
        isPublic: true,
        brought: true,
        columns,
        units: [],
        joins: 'allowed',
        rowCount: BigInt(laidOut.rowCount),
      },
    ],
  };
}

/** The layout that all rules of a policy share. */
export function layoutSpecFor(manifest: DatasetManifest, policy: UsagePolicy): LayoutSpec {
  const bounds = policy.allow.flatMap(({ release }) =>
    release.mode === 'differentialPrivacy' || release.mode === 'sandbox' ? [release.maxRowsPerUnit] : [],
  );
  const isCompared = policy.allow.some(({ release }) => release.mode === 'aggregate');
  return layoutSpecOf(manifest, policy.tables, bounds.length === 0 ? null : Math.max(...bounds), isCompared);
}

/** Where a worker finds the layout that is attached under this name. */
export const guestPathOf = (database: string): string => `/data/${database}.duckdb`;

/** The parser's message about the consumer's own text; it never saw data, but its length is still bounded. */
function syntaxMessage(message: unknown): string {
  const text = typeof message === 'string' ? (message.split('\n')[0] ?? '') : 'the query cannot be read';
  if (text === 'Only SELECT statements can be serialized to json!') return 'only one SELECT statement is accepted';
  // The parser's word for a form that its own grammar knows and nothing behind it does.
  if (/^Expression type T_\w+ \(\d+\)$/.test(text)) return 'a form of expression that is not SQL as DuckDB speaks it';
  return text.slice(0, 300);
}

/** BETWEEN SYMMETRIC: the parser reads it and cannot write it down. Whoever reads the tree says what to write. */
const isUnwritable = (message: unknown): boolean => String(message).startsWith('Expression type T_List');

/** What to write in place of statements and words that other dialects, or DuckDB itself, have for it. */
function spelledElsewhere(text: string, message: unknown): string | null {
  if (/^\s*pivot\b/i.test(text)) return 'FROM table PIVOT (count(*) FOR column IN (…) GROUP BY key)';
  if (/^\s*select\s+(?:distinct\s+)?top\s+\(?\d/i.test(text)) return 'LIMIT at the end';
  return String(message).startsWith('Only SELECT') ? 'send a single SELECT' : null;
}

/** Where the first word stands. */
function startOf(text: string): { readonly line: number; readonly column: number } | null {
  const found = text.search(/\S/);
  return found === -1 ? null : placeAt(text, String(found));
}

function placeAt(text: string, position: unknown): { readonly line: number; readonly column: number } | null {
  const digits = typeof position === 'string' ? position : numberText(position);
  const offset = digits !== null && /^\d{1,6}$/.test(digits) ? Number(digits) : null;
  if (offset === null || offset > text.length) return null;
  const before = text.slice(0, offset).split('\n');
  return { line: before.length, column: (before.at(-1) ?? '').length + 1 };
}
