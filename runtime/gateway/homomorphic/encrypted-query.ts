import { explainQuery } from '../../homomorphic/explain.ts';
import { HomomorphicFault } from '../../homomorphic/fault.ts';
import type { EncryptedQueryProgramName, HomomorphicProgram } from '../../homomorphic/program.ts';
import { queryFactsInWords } from '../../homomorphic/query-facts.ts';
import {
  blocksOf,
  QUERY_BLOCK_ROWS,
  QUERY_CIPHERTEXT_LIMIT,
  QUERY_PROFILE,
  type QueryColumn,
  type QueryOutput,
  type QueryHeader,
} from '../../homomorphic/query.ts';
import { type JobInput, runHomomorphicJob } from '../../homomorphic/run-job.ts';
import type { AdmittedPermit } from '../../job/admission.ts';
import type { HomomorphicRequest, OpenProgram, ProgramResult } from '../../job/prepare-homomorphic.ts';
import type { OpenDataset } from '../../job/sql-engine.ts';
import { type Denied, denied, reason } from '../../policy/reason.ts';
import type { CatalogueTable } from '../../query/catalogue.ts';
import { type ColumnBatch, viewOf } from '../../release/columns.ts';
import type { HomomorphicEngineNeeds } from './engine-needs.ts';
import { meanColumns, meansQuery, publicRows, queryColumnOf, rowsQuery, totalsQuery } from './query-columns.ts';
import { type CiphertextBody, objectId } from '../records.ts';

const BIGINT_BYTES = 8;
/** Plaintext of one query that is held at a time, when rows are met one by one. */
export const ROWS_LIMIT_BYTES = 256 * 1024 * 1024;

interface QueryInput {
  readonly request: HomomorphicRequest;
  readonly permit: AdmittedPermit;
  readonly asker: { readonly party: string; readonly groups: readonly string[] };
  readonly program: HomomorphicProgram;
}

/**
 * An encrypted model over plaintext columns, whose answer only the asker can read.
 *
 * A model is encrypted slot by slot, and nobody can see whether its slots agree: a consumer that puts its weight into one
 * slot would read one row. So for a total the worker is never given rows: our own SQL adds each column up, clipped to the
 * policy's bounds, and the model meets the totals alone. Whatever the ciphertext holds, its answer is a function of
 * totals over all units.
 *
 * Programs that are made to single out rows (`lookup`, `queryDot`, scores row by row) cannot be had that way. They run
 * only under a rule that says so twice: `minUnits: 1`, because a number may then rest on one unit, and a `maxQueries`.
 */
export async function openEncryptedQuery(
  needs: HomomorphicEngineNeeds,
  { request, permit, asker, program }: QueryInput,
): Promise<OpenProgram | Denied> {
  const { release, clause } = permit.permit;
  const maySingleOut = release.mode === 'homomorphic' && release.minUnits === 1 && release.maxQueries !== null;
  const singles = (): Denied =>
    denied(
      reason('query-singles-out', `\`${program.name}\` gives numbers that rest on single rows here`, {
        clause: `${clause}.release.minUnits`,
        remedy:
          'use `queryLinear` or `queryLogistic` with a total; only a rule with `minUnits: 1` and `maxQueries` lets single rows be met',
      }),
    );
  const isModel = program.name === 'queryLinear' || program.name === 'queryLogistic';
  const output = outputOf(program);
  const meetsRows = !isModel || output === 'rows';
  if (meetsRows && !maySingleOut) return singles();
  const dataset = await needs.sql.open(permit, asker.party, asker.groups);
  if (dataset.kind === 'denied') return dataset;
  const found = dataset.tables.filter((table) =>
    program.columns.every((name) => table.columns.some((column) => column.name === name)),
  );
  const [table] = found;
  if (table === undefined || found.length > 1)
    throw new HomomorphicFault('bad-program', `cannot run ${program.name}: its columns are not those of one table`);
  const [unit, ...others] = table.units;
  if (unit === undefined || others.length > 0 || table.isPublic)
    return denied(reason('unit-not-counted', 'the table has not exactly one privacy unit to count'));
  const bounded: QueryColumn[] = [];
  for (const name of program.columns) {
    const column = queryColumnOf(table, name);
    if (column === null) {
      return denied(
        reason('bounds-missing', `column \`${name}\` has no declared bounds, or is not a number`, {
          remedy: 'the provider declares `bounds` in the policy: parameters are chosen from them',
        }),
      );
    }
    bounded.push(column);
  }
  const columns = output === 'mean' ? meanColumns(bounded) : bounded;
  const rows = publicRows(table.rowCount);
  const unitColumns = permit.permit.policy.tables
    .flatMap(({ privacyUnits }) => privacyUnits.flatMap((one) => one.columns))
    .filter((name) => table.columns.some((column) => column.name === name));
  const order = unitColumns.length > 0 ? unitColumns : [unit.hash];
  const header: QueryHeader = {
    format: 'glovebox-encrypted-query/1',
    name: program.name as EncryptedQueryProgramName,
    columns: program.columns,
    output,
    rows,
    ciphertexts: isModel ? program.columns.length : blocksOf(rows),
  };
  if (
    header.ciphertexts > QUERY_CIPHERTEXT_LIMIT ||
    (meetsRows && rows * columns.length * BIGINT_BYTES > ROWS_LIMIT_BYTES)
  )
    throw new HomomorphicFault('out-of-range', `cannot run ${program.name}: the table has too many rows for it`);
  const queryShape = { rows, columns };
  const facts = queryFactsInWords(queryShape);
  const [digest, ...more] = request.inputs;
  const query =
    digest === undefined ? undefined : needs.store.peek<CiphertextBody>('ciphertext', objectId(asker.party, digest));
  if (digest === undefined || query === undefined || query.body.kind !== 'query' || more.length > 0) {
    const missing = reason('query-missing', 'the program needs one encrypted query of yours among its inputs', {
      remedy: `encrypt and upload one for ${facts}`,
    });
    return { ...denied(missing), queryShape };
  }
  const sent = JSON.parse(query.body.facts) as QueryHeader;
  if (sent.output === 'rows' && !maySingleOut) return singles();
  if (JSON.stringify(sent) !== JSON.stringify(header)) {
    const other = 'the encrypted query was made for other columns, another program or another size';
    return { ...denied(reason('query-for-others', other, { remedy: `encrypt it for ${facts}` })), queryShape };
  }
  const limit = QUERY_PROFILE.plainModulus / 2n;
  for (const { column, low, high } of columns) {
    if ((output === 'total' ? BigInt(rows) : 1n) * (-low > high ? -low : high) > limit)
      throw new HomomorphicFault('out-of-range', `the total of column ${column} could leave the plaintext modulus`);
  }
  const { lines, securityBits, resultBytes, operations, charge } = explainQuery(header, columns, table.rowCount);
  return {
    kind: 'open',
    dataset: { name: dataset.name, version: dataset.version, digest: dataset.digest },
    shape: 'encryptedQuery',
    scheme: 'bgv',
    securityBits,
    unit: permit.permit.policy.tables.flatMap(({ privacyUnits }) => privacyUnits)[0]?.columns.join('+') || 'row',
    units: 'counted while running',
    rows: Number(table.rowCount),
    canonical: JSON.stringify({ dataset: dataset.digest, program, query: digest }),
    inWords: [
      ...lines,
      `an encrypted query fits ${facts}`,
      meetsRows
        ? 'rows are met one by one, in the order of their privacy unit: the answer may rest on one row'
        : `the model meets the ${output}s of the columns, never a row: whatever it holds, one row cannot be singled out`,
    ],
    guarantee: `an encrypted query (BGV, ${securityBits}-bit security): the runtime saw no weight, and only the asker can decrypt; ${meetsRows ? 'the answer may rest on a single row, as the rule allows' : `the answer is a function of column ${output}s, each over at least the rule’s minimum of privacy units that have a value`}; missing values ${output === 'mean' ? 'are left out' : 'count as zero'}; no noise was added`,
    resultBytes,
    operations,
    extraction: charge,
    run: (_jobId, signal) =>
      run(needs, { dataset, table, unit: unit.hash, order, columns, header, digest, meetsRows }, asker.party, signal),
  };
}

async function run(
  needs: HomomorphicEngineNeeds,
  input: {
    readonly dataset: OpenDataset;
    readonly table: CatalogueTable;
    readonly unit: string;
    readonly order: readonly string[];
    readonly meetsRows: boolean;
    readonly columns: readonly QueryColumn[];
    readonly header: QueryHeader;
    readonly digest: string;
  },
  party: string,
  signal: AbortSignal,
): Promise<ProgramResult> {
  const { dataset, table, columns, header, digest } = input;
  let plaintext: readonly JobInput[];
  const numbersOf = header.output === 'mean' ? meansQuery : totalsQuery;
  const totals = needs.sql.run(numbersOf(table, input.unit, columns), [dataset], party, signal);
  const values: bigint[] = [];
  for await (const batch of totals.batches)
    if (batch.rowCount === 1) values.push(...batch.columns.map((column) => viewOf(column.values).getBigInt64(0, true)));
  const summary = totals.summary();
  if (summary.kind === 'failed' || values.length !== columns.length + 1) return { kind: 'failed' };
  const [units = 0n, ...sums] = values;
  let cpuMsOfSql = summary.cpuMs;
  if (input.meetsRows) {
    const rows = needs.sql.run(rowsQuery(table, input.order, columns), [dataset], party, signal);
    const read = await rowColumns(rows.batches, input);
    const ended = rows.summary();
    if (read === null || ended.kind === 'failed') return { kind: 'failed' };
    cpuMsOfSql += ended.cpuMs;
    plaintext = read.map(blocksOfRows);
  } else plaintext = sums.map((sum) => [totalAlone(sum)]);
  const given = input.meetsRows ? header.rows : QUERY_BLOCK_ROWS;
  const started = performance.now();
  const worker = await needs.pool.lease({ kind: 'homomorphic', party, signal });
  try {
    const { output } = await runHomomorphicJob(worker, { kind: 'encryptedQuery', rows: header.rows, given }, [
      needs.files.read(party, digest),
      ...plaintext,
    ]);
    worker.release();
    signal.throwIfAborted();
    const cpuMs = Math.ceil(performance.now() - started) + cpuMsOfSql;
    return { kind: 'ciphertext', words: output, units: Number(units), cpuMs };
  } catch (error) {
    await worker.destroy();
    if (signal.aborted) throw error;
    needs.log({ level: 'warn', event: 'homomorphic.failed', facts: {}, cause: error });
    return { kind: 'failed' };
  }
}

/** A block of zeros but for its first row, which holds the total or the mean. */
function totalAlone(total: bigint): Uint8Array {
  const block = new Uint8Array(QUERY_BLOCK_ROWS * BIGINT_BYTES);
  viewOf(block).setBigInt64(0, total, true);
  return block;
}

/**
 * Row after row of every column, held in memory: an encrypted vector meets column after column. Null when there are more
 * rows than were announced, which a new version of the dataset could bring.
 */
async function rowColumns(
  batches: AsyncIterable<ColumnBatch>,
  { columns, header }: { readonly columns: readonly QueryColumn[]; readonly header: QueryHeader },
): Promise<readonly BigInt64Array[] | null> {
  const values = columns.map(() => new BigInt64Array(header.rows));
  let rows = 0;
  for await (const batch of batches) {
    if (rows + batch.rowCount > header.rows) return null;
    for (const [i, column] of batch.columns.entries()) {
      const view = viewOf(column.values);
      const target = values[i];
      for (let row = 0; target !== undefined && row < batch.rowCount; row++)
        target[rows + row] = view.getBigInt64(row * BIGINT_BYTES, true);
    }
    rows += batch.rowCount;
  }
  return values;
}

function* blocksOfRows(values: BigInt64Array): Generator<Uint8Array, void> {
  const bytes = new Uint8Array(values.buffer);
  for (let at = 0; at < bytes.byteLength; at += QUERY_BLOCK_ROWS * BIGINT_BYTES)
    yield bytes.subarray(at, at + QUERY_BLOCK_ROWS * BIGINT_BYTES);
}

/** What a program asks a model for. */
const outputOf = ({ parameters }: HomomorphicProgram): QueryOutput =>
  parameters['rows'] === 1 ? 'rows' : parameters['mean'] === 1 ? 'mean' : 'total';
