import { explainQuery } from '../homomorphic/explain.ts';
import { HomomorphicFault } from '../homomorphic/fault.ts';
import type { HomomorphicProgram } from '../homomorphic/program.ts';
import { chargeOf } from '../homomorphic/query-guard.ts';
import { QUERY_BLOCK_ROWS, QUERY_PROFILE, type QueryColumn, type QueryHeader } from '../homomorphic/query.ts';
import { runHomomorphicJob } from '../homomorphic/run-job.ts';
import type { AdmittedPermit } from '../job/needs.ts';
import type { HomomorphicRequest, OpenProgram, ProgramResult } from '../job/prepare-homomorphic.ts';
import type { OpenDataset } from '../job/prepare-sql.ts';
import { type Denied, denied, reason } from '../policy/reason.ts';
import type { CatalogueTable } from '../query/catalogue.ts';
import type { EnforcedQuery } from '../query/enforced.ts';
import { viewOf } from '../release/columns.ts';
import type { HomomorphicEngineNeeds } from './homomorphic-engine.ts';
import { objectId } from './ciphertext-intake.ts';
import type { CiphertextBody } from './records.ts';

/** Digits after the point that are kept of a column of floating-point numbers. */
export const FLOAT_DECIMALS = 2;
const BIGINT_BYTES = 8;

interface QueryInput {
  readonly request: HomomorphicRequest;
  readonly permit: AdmittedPermit;
  readonly asker: { readonly party: string; readonly groups: readonly string[] };
  readonly program: HomomorphicProgram;
}

/**
 * An encrypted model over plaintext columns, whose weighted total only the asker can read.
 *
 * A model is encrypted slot by slot, and nobody can see whether its slots agree: a consumer that puts its weight into one
 * slot would read one row. So the worker is never given rows: our own SQL adds each column up, clipped to the policy's
 * bounds, and the model meets the totals alone. Whatever the ciphertext holds, its answer is a function of totals over
 * all units. Programs that are made to single out rows (`lookup`, `queryDot`, scores row by row) cannot be had that way
 * and are refused.
 */
export async function openEncryptedQuery(
  needs: HomomorphicEngineNeeds,
  { request, permit, asker, program }: QueryInput,
): Promise<OpenProgram | Denied> {
  const singles = (): Denied =>
    denied(
      reason(
        'query-singles-out',
        `\`${program.name}\` gives numbers that rest on single rows, whatever a rule's minimum is`,
        {
          remedy: 'use `queryLinear` or `queryLogistic` with a total',
        },
      ),
    );
  if (program.name !== 'queryLinear' && program.name !== 'queryLogistic') return singles();
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
  const columns: QueryColumn[] = [];
  for (const name of program.columns) {
    const column = queryColumnOf(table, name);
    if (column === null) {
      return denied(
        reason('bounds-missing', `column \`${name}\` has no declared bounds, or is not a number`, {
          remedy: 'the provider declares `bounds` in the policy: parameters are chosen from them',
        }),
      );
    }
    columns.push(column);
  }
  const rows = publicRows(table.rowCount);
  const header: QueryHeader = {
    format: 'glovebox-encrypted-query/1',
    name: program.name,
    columns: program.columns,
    output: 'total',
    rows,
    ciphertexts: program.columns.length,
  };
  const facts = `rows: ${rows}; ${columns.map(({ column, decimals, low, high }) => `${column}: ${decimals} decimals, scaled bounds ${low} to ${high}`).join('; ')}`;
  const [digest, ...more] = request.inputs;
  const query =
    digest === undefined ? undefined : needs.store.peek<CiphertextBody>('ciphertext', objectId(asker.party, digest));
  if (digest === undefined || query === undefined || query.body.kind !== 'query' || more.length > 0) {
    return denied(
      reason('query-missing', 'the program needs one encrypted query of yours among its inputs', {
        remedy: `encrypt and upload one for ${facts}`,
      }),
    );
  }
  const sent = JSON.parse(query.body.facts) as QueryHeader;
  if (sent.output === 'rows') return singles();
  if (JSON.stringify(sent) !== JSON.stringify(header)) {
    return denied(
      reason('query-for-others', 'the encrypted query was made for other columns, another program or another size', {
        remedy: `encrypt it for ${facts}`,
      }),
    );
  }
  const limit = QUERY_PROFILE.plainModulus / 2n;
  for (const { column, low, high } of columns) {
    if (BigInt(rows) * (-low > high ? -low : high) > limit)
      throw new HomomorphicFault('out-of-range', `the total of column ${column} could leave the plaintext modulus`);
  }
  const { lines, securityBits, resultBytes } = explainQuery(header, columns);
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
      facts,
      'the model meets the totals of the columns, never a row: whatever it holds, one row cannot be singled out',
    ],
    guarantee: `an encrypted query (BGV, ${securityBits}-bit security): the runtime saw no weight, and only the asker can decrypt; the answer is a function of column totals over at least the rule’s minimum of privacy units; missing values count as zero; no noise was added`,
    resultBytes,
    extraction: chargeOf(header, columns),
    run: (_jobId, signal) =>
      run(needs, { dataset, table, unit: unit.hash, columns, header, digest }, asker.party, signal),
  };
}

/** Nobody is shown how many rows there are: the next power of two stands for it, and what is added is zeros. */
function publicRows(rowCount: bigint): number {
  let rows = QUERY_BLOCK_ROWS;
  while (BigInt(rows) < rowCount) rows *= 2;
  return rows;
}

async function run(
  needs: HomomorphicEngineNeeds,
  input: {
    readonly dataset: OpenDataset;
    readonly table: CatalogueTable;
    readonly unit: string;
    readonly columns: readonly QueryColumn[];
    readonly header: QueryHeader;
    readonly digest: string;
  },
  party: string,
  signal: AbortSignal,
): Promise<ProgramResult> {
  const { dataset, table, columns, header, digest } = input;
  const totals = needs.sql.run(totalsQuery(table, input.unit, columns), [dataset], party, signal);
  const values: bigint[] = [];
  for await (const batch of totals.batches)
    if (batch.rowCount === 1) values.push(...batch.columns.map((column) => viewOf(column.values).getBigInt64(0, true)));
  const summary = totals.summary();
  if (summary.kind === 'failed' || values.length !== columns.length + 1) return { kind: 'failed' };
  const [units = 0n, ...sums] = values;
  const started = performance.now();
  const worker = await needs.pool.lease({ kind: 'homomorphic', party, signal });
  try {
    const { output } = await runHomomorphicJob(worker, { kind: 'encryptedQuery', rows: header.rows }, [
      needs.files.read(party, digest),
      ...sums.map((sum) => totalAlone(sum, header.rows)),
    ]);
    worker.release();
    signal.throwIfAborted();
    const cpuMs = Math.ceil(performance.now() - started) + summary.cpuMs;
    return { kind: 'ciphertext', words: output, units: Number(units), cpuMs };
  } catch (error) {
    await worker.destroy();
    if (signal.aborted) throw error;
    needs.log({ level: 'warn', event: 'homomorphic.failed', facts: {}, cause: error });
    return { kind: 'failed' };
  }
}

/** A column of zeros but for its first row, which holds the total. */
function* totalAlone(total: bigint, rows: number): Generator<Uint8Array, void> {
  for (let at = 0; at < rows; at += QUERY_BLOCK_ROWS) {
    const block = new Uint8Array(Math.min(QUERY_BLOCK_ROWS, rows - at) * BIGINT_BYTES);
    if (at === 0) viewOf(block).setBigInt64(0, total, true);
    yield block;
  }
}

/** Our own SQL: distinct units, and each column's total, clipped and scaled row by row; missing and not finite is zero. */
function totalsQuery(table: CatalogueTable, unit: string, columns: readonly QueryColumn[]): EnforcedQuery {
  const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`;
  const sums = columns.map(({ column, decimals, low, high }, i) => {
    const value = `CAST(${quoted(column)} AS DOUBLE)`;
    const scaled = `CAST(round(${value} * ${10 ** decimals}) AS HUGEINT)`;
    const clipped = `CASE WHEN isfinite(${value}) AND abs(${value}) < 1e15 THEN greatest(least(${scaled}, ${high}), ${low}) ELSE 0 END`;
    return `CAST(coalesce(sum(${clipped}), 0) AS BIGINT) AS s${i}`;
  });
  const whole = { kind: 'integer', bits: 64, isSigned: true } as const;
  return {
    setup: [],
    reads: [table.physical],
    result: `SELECT CAST(count(DISTINCT ${quoted(unit)}) AS BIGINT) AS units, ${sums.join(', ')} FROM ${table.physical}`,
    outputs: ['units', ...columns.map((_, i) => `s${i}`)].map((name) => ({ name, type: whole, role: 'cell' })),
    certificates: [],
    summary: 'SELECT CAST(0 AS BIGINT) AS withheldCells',
    inWords: [],
    canonical: '',
  };
}

/** What the policy and the catalogue say of a column: bounds in scaled whole numbers. */
function queryColumnOf(table: CatalogueTable, name: string): QueryColumn | null {
  const column = table.columns.find((one) => one.name === name);
  if (column === undefined) return null;
  const { type } = column;
  const decimals =
    type.kind === 'integer'
      ? 0
      : type.kind === 'decimal'
        ? type.scale
        : type.kind === 'double' || type.kind === 'float'
          ? FLOAT_DECIMALS
          : null;
  const bounds = column.grants.flatMap((grant) =>
    grant.rights.includes('aggregate') && grant.bounds !== null ? [grant.bounds] : [],
  );
  if (decimals === null || bounds.length === 0) return null;
  const low = Math.max(...bounds.map((one) => one.low)) * 10 ** decimals;
  const high = Math.min(...bounds.map((one) => one.high)) * 10 ** decimals;
  if (!(low <= high) || Math.abs(low) > 1e15 || Math.abs(high) > 1e15) return null;
  return { column: name, decimals, low: BigInt(Math.ceil(low)), high: BigInt(Math.floor(high)) };
}
