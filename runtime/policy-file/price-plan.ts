import { parseDocument } from 'yaml';
import * as z from 'zod';
import { type AgreedPrices, checkAgreedPrices, PRICED_METERS } from '../metering/agreed-prices.ts';
import { exactPrice, minorUnits } from '../metering/money.ts';
import { durationMs } from './normalise.ts';
import { sayIssue } from './say-issue.ts';

/** Largest price plan, bytes of UTF-8. */
export const MAX_PRICE_PLAN_BYTES = 64 * 1024;

const money = z.string().regex(/^\d{1,12}(\.\d{1,6})?$/, 'an amount of money is a text such as "0.80"');
const document = z.strictObject({
  apiVersion: z.literal('glovebox/v1'),
  kind: z.literal('PricePlan'),
  currency: z.string().regex(/^[A-Z]{3}$/, 'an ISO 4217 code, e.g. CNY'),
  prices: z
    .array(z.strictObject({ meter: z.enum(PRICED_METERS), unitPrice: money, per: z.int().min(1).max(1e9).optional() }))
    .min(1)
    .max(PRICED_METERS.length),
  payment: z.union([z.literal('prepaid'), z.strictObject({ postpaid: money })]),
  freeJobs: z
    .strictObject({
      max: z.int().min(1).max(1_000_000_000),
      per: z
        .string()
        .regex(/^P(\d{1,4}D|T\d{1,6}[HMS])$/, 'a period is e.g. P30D or PT12H')
        .optional(),
    })
    .optional(),
  operatorShare: z.number().min(0).max(1).optional(),
});

/** Reads a price plan in YAML or JSON; whatever is not known is a complaint, and nothing is guessed. */
export function parsePricePlan(
  text: string,
):
  | { readonly kind: 'prices'; readonly prices: AgreedPrices }
  | { readonly kind: 'complaints'; readonly complaints: readonly string[] } {
  const complain = (
    ...complaints: string[]
  ): { readonly kind: 'complaints'; readonly complaints: readonly string[] } => ({
    kind: 'complaints',
    complaints,
  });
  if (Buffer.byteLength(text) > MAX_PRICE_PLAN_BYTES) return complain(`larger than ${MAX_PRICE_PLAN_BYTES} bytes`);
  const source = parseDocument(text, { strict: true, uniqueKeys: true, merge: false, schema: 'core' });
  const broken = [...source.errors, ...source.warnings];
  if (broken.length > 0) return complain(...broken.map(({ message }) => message.split('\n')[0] ?? ''));
  let value: unknown;
  try {
    value = source.toJS({ maxAliasCount: 0 });
  } catch {
    return complain('aliases are not read');
  }
  const parsed = document.safeParse(value);
  if (!parsed.success)
    return complain(...parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${sayIssue(issue)}`));
  const { currency, prices, payment, freeJobs, operatorShare } = parsed.data;
  try {
    const agreed: AgreedPrices = {
      currency,
      prices: prices.map(({ meter, unitPrice, per = 1 }) => {
        const exact = exactPrice(unitPrice, currency);
        return { meter, priceMinor: exact.priceMinor, per: exact.per * per };
      }),
      payment:
        payment === 'prepaid'
          ? { kind: 'prepaid' }
          : { kind: 'postpaid', limitMinor: minorUnits(payment.postpaid, currency) },
      freeJobs:
        freeJobs === undefined
          ? null
          : { max: freeJobs.max, perMs: freeJobs.per === undefined ? null : durationMs(freeJobs.per) },
      operatorShare: Math.round((operatorShare ?? 0) * 10_000),
    };
    checkAgreedPrices(agreed);
    return { kind: 'prices', prices: agreed };
  } catch (error) {
    if (error instanceof RangeError) return complain(error.message);
    throw error;
  }
}
