import { rowsPerBlock } from './column.ts';
import { approximateLimit } from './flood.ts';
import { bodyBytes, ciphertextBytes, freshShape } from './layout.ts';
import { bitsLeft, floodBits, FLOODING_BITS, queryCapacity } from './noise.ts';
import { segmentCount, stepOf, type Plan } from './plan.ts';
import { PROFILES, totalModulusBits, type Profile, type ProfileId } from './profiles.ts';
import { PROGRAMS } from './program.ts';
import { chargeOf, type QueryCharge } from './query-guard.ts';
import {
  blocksOf,
  QUERY_PROFILE,
  queryResultCount,
  queryResultShape,
  type QueryColumn,
  type QueryHeader,
} from './query.ts';
import { outputShape } from './run.ts';

/** What a homomorphic job will do, before it does it; costs nothing and reads no ciphertext. */
export interface HomomorphicExplanation {
  readonly shape: 'encryptedData' | 'encryptedQuery';
  readonly scheme: 'bgv' | 'bfv' | 'ckks';
  readonly profiles: readonly ProfileId[];
  readonly degree: number;
  readonly modulusBits: number;
  readonly securityBits: number;
  /** Whether the numbers are exact; else `errorBound` holds, before flooding. */
  readonly isExact: boolean;
  readonly errorBound: number;
  /** Fewest noise bits left at decryption, by the static worst case. */
  readonly noiseBitsLeft: number;
  readonly keyMaterialAtRuntime: 'none' | 'relinearisation key' | 'public key of the consumer';
  readonly inputBytes: number;
  readonly resultBytes: number;
  readonly resultCiphertexts: number;
  /** What is metered: blocks of ciphertext that steps of the program take in, each as often as a step does; for queries, products. */
  readonly operations: number;
  /** Compute time on one core of a current server, from measured rates; a guide, not a promise. */
  readonly estimateMs: number;
  /** For queries: what this one costs and may cost in all. */
  readonly charge: QueryCharge | null;
  /** The same for people, one sentence a line. */
  readonly lines: readonly string[];
}

/** Microseconds per ciphertext, measured on one core of an AMD EPYC (Zen 4) with Node 24; see `benchmarks/homomorphic`. */
const MICROSECONDS = {
  addPer64KiB: 8,
  multiplyPer64KiB: 190,
  productColumn: 1100,
  release: 25_000,
  logisticBlock: 25_000,
  logisticColumn: 300,
} as const;

/** Explains a planned program over encrypted columns. */
export function explainProgram(plan: Plan): HomomorphicExplanation {
  const profiles = [...new Set(plan.outputs.map((output) => output.profile))];
  const used = profiles.map((id) => PROFILES[id]);
  const main = used[0] ?? PROFILES[plan.inputs[0]?.header.channels[0]?.profile ?? 'bgv-add-a'];
  let noiseBitsLeft = Number.POSITIVE_INFINITY;
  let resultBytes = 0;
  let resultCiphertexts = 0;
  let microseconds = 0;
  let operations = 0;
  for (const output of plan.outputs) {
    const step = stepOf(plan, output);
    const blocks = Math.max(0, ...output.terms.map((term) => plan.inputs[term.column]?.totals.blocks ?? 0));
    const segments = segmentCount(plan, output);
    const perSegment = step.noise * BigInt(Math.ceil(blocks / Math.max(1, segments)));
    noiseBitsLeft = Math.min(noiseBitsLeft, bitsLeft(perSegment, output.noiseCapacity));
    const bytes = bodyBytes(outputShape(plan, output));
    resultBytes += segments * bytes;
    resultCiphertexts += segments;
    operations += blocks * output.terms.length;
    const unit = bodyBytes(freshShape(PROFILES[output.profile], 'full')) / 65536;
    if (output.work === 'linear') microseconds += blocks * output.terms.length * unit * MICROSECONDS.addPer64KiB;
    else if (output.work === 'product') microseconds += blocks * unit * MICROSECONDS.multiplyPer64KiB;
    else microseconds += blocks * (MICROSECONDS.logisticBlock + output.terms.length * MICROSECONDS.logisticColumn);
  }
  const inputBytes = plan.inputs.reduce(
    (sum, { header, totals }) =>
      sum +
      totals.blocks *
        header.channels.reduce(
          (bytes, { profile }) => bytes + ciphertextBytes(freshShape(PROFILES[profile], 'full')),
          0,
        ),
    0,
  );
  const rows = plan.inputs[0]?.totals.rows ?? 0;
  const errorBound = plan.logistic?.meanErrorBound ?? 0;
  const keyMaterialAtRuntime = plan.logistic === null ? 'none' : 'relinearisation key';
  const result = {
    shape: 'encryptedData' as const,
    scheme: main.scheme,
    profiles: profiles.length > 0 ? profiles : [main.id],
    degree: main.degree,
    modulusBits: totalModulusBits(main),
    securityBits: Math.min(...(used.length > 0 ? used : [main]).map((profile) => profile.securityBits)),
    isExact: plan.logistic === null,
    errorBound,
    noiseBitsLeft: Number.isFinite(noiseBitsLeft) ? noiseBitsLeft : 0,
    keyMaterialAtRuntime,
    inputBytes,
    resultBytes,
    resultCiphertexts,
    operations,
    estimateMs: microseconds / 1000,
    charge: null,
  } satisfies Omit<HomomorphicExplanation, 'lines'>;
  return {
    ...result,
    lines: [
      `${plan.program.name}: ${PROGRAMS[plan.program.name].says}`,
      'trust shape encrypted data: the runtime computes on ciphertext and never sees a value; only the key holder decrypts, after it has run the same program itself',
      ...(used.length > 0 ? used : [main]).map((profile) => parameterLine(profile)),
      `${rows} rows in ${plan.inputs[0]?.totals.blocks ?? 0} blocks of ${rowsPerBlock(plan.inputs[0]?.header ?? { channels: [] })}: ${inputBytes} bytes read, ${resultCiphertexts} result ciphertexts, ${resultBytes} bytes`,
      plan.logistic === null
        ? 'exact: overflow is excluded by the declared bounds'
        : `approximate: the encryption adds at most ${errorBound.toExponential(1)} to the mean, the polynomial's own error comes on top; released flooded and rounded`,
      ...(plan.logistic === null
        ? []
        : [
            `after ${approximateLimit(plan)} approximate results under one key no such result leaves any more: flooding would not cover them`,
          ]),
      `at least ${result.noiseBitsLeft} bits of noise budget are left in the worst case`,
      `key material at the runtime: ${keyMaterialAtRuntime}`,
      `about ${Math.max(1, Math.round(result.estimateMs))} ms of computing on one core`,
    ],
  };
}

/** Explains an encrypted query over plaintext columns, of a table that has so many rows. */
export function explainQuery(
  header: QueryHeader,
  columns: readonly QueryColumn[],
  rowCount = BigInt(header.rows),
): HomomorphicExplanation {
  // one number over totals or means: the totals alone are met, in one block
  const isModel = header.name === 'queryLinear' || header.name === 'queryLogistic';
  const blocks = isModel && header.output !== 'rows' ? 1 : blocksOf(header.rows);
  const products = blocks * header.columns.length;
  const count = queryResultCount(header);
  const resultBytes = count * bodyBytes(queryResultShape());
  const inputBytes = header.ciphertexts * ciphertextBytes(freshShape(QUERY_PROFILE, 'seeded'));
  const charge = chargeOf(header, columns, rowCount);
  const estimateMs = (products * MICROSECONDS.productColumn + count * MICROSECONDS.release) / 1000;
  const perResult =
    header.name === 'lookup' || header.name === 'queryDot'
      ? blocks
      : header.output === 'rows'
        ? header.columns.length
        : products;
  const margin = bitsLeft(BigInt(perResult), queryCapacity(QUERY_PROFILE));
  return {
    shape: 'encryptedQuery',
    scheme: 'bgv',
    profiles: [QUERY_PROFILE.id],
    degree: QUERY_PROFILE.degree,
    modulusBits: totalModulusBits(QUERY_PROFILE),
    securityBits: QUERY_PROFILE.securityBits,
    isExact: true,
    errorBound: 0,
    noiseBitsLeft: 1,
    keyMaterialAtRuntime: 'public key of the consumer',
    inputBytes,
    resultBytes,
    resultCiphertexts: count,
    operations: products,
    estimateMs,
    charge,
    lines: [
      `${header.name}: ${PROGRAMS[header.name].says}`,
      'trust shape encrypted query: the runtime computes on its own plaintext and never sees the query; only the consumer can read the result',
      parameterLine(QUERY_PROFILE),
      `each result gets an encryption of zero, ${floodBits(QUERY_PROFILE)} bits of flooding noise (${FLOODING_BITS + margin} more than an honest query's own) and is switched to two primes`,
      header.output === 'rows'
        ? 'every row’s score leaves: a release of row-level numbers'
        : 'slots are blinded with shares of zero: one number per result comes out, whatever the query holds',
      `${blocks} blocks, ${products} products: ${inputBytes} bytes of query, ${resultBytes} bytes of result, about ${Math.max(1, Math.round(estimateMs))} ms`,
      `counts for ${charge.charge} of the ${charge.cap} values that queries may ever solve for`,
    ],
  };
}

function parameterLine(profile: Profile): string {
  return (
    `parameters ${profile.id}: ${profile.scheme.toUpperCase()}, N = ${profile.degree}, ${totalModulusBits(profile)}-bit modulus, ` +
    `${profile.plainModulus > 0n ? `plaintext modulus ${profile.plainModulus}, ` : ''}${profile.securityBits}-bit security (homomorphicencryption.org tables)`
  );
}
