/** Digits after the point, for currencies that do not have two (ISO 4217). */
const MINOR_DIGITS: ReadonlyMap<string, number> = new Map(
  (
    [
      [0, 'BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF'],
      [3, 'BHD IQD JOD KWD LYD OMR TND'],
      [4, 'CLF UYW'],
    ] as const
  ).flatMap(([digits, currencies]) => currencies.split(' ').map((currency) => [currency, digits] as const)),
);

/** Prices below a minor unit are kept exact by charging `per` so many units. */
const MAX_DECIMALS = 6;

/** Digits after the point in amounts of a currency: 2 for CNY, 0 for JPY. */
export function minorDigitsOf(currency: string): number {
  return MINOR_DIGITS.get(currency) ?? 2;
}

/** An amount in minor units as a decimal text in major ones, exact: 12345 CNY → `123.45`. */
export function majorUnits(minor: number, currency: string): string {
  const digits = minorDigitsOf(currency);
  const text = String(minor).padStart(digits + 1, '0');
  return digits === 0 ? text : `${text.slice(0, -digits)}.${text.slice(-digits)}`;
}

/** An amount in major units as minor ones; throws a RangeError for parts of a minor unit. */
export function minorUnits(text: string, currency: string): number {
  const { priceMinor, per } = exactPrice(text, currency);
  if (per !== 1) throw new RangeError(`${text} ${currency} is not a whole number of the smallest unit`);
  if (!Number.isSafeInteger(priceMinor)) throw new RangeError(`${text} ${currency} is too large`);
  return priceMinor;
}

/** Millionths of the currency, the form in which money crosses the wire. */
export function microsOf(minor: number | bigint, currency: string): bigint {
  return BigInt(minor) * 10n ** BigInt(6 - minorDigitsOf(currency));
}

/** `0.80` CNY is 80 fen for 1 unit; `0.001` CNY is 1 fen for 10 units. */
export function exactPrice(text: string, currency: string): { readonly priceMinor: number; readonly per: number } {
  const [whole = '0', fraction = ''] = text.split('.');
  const digits = minorDigitsOf(currency);
  const decimals = Math.min(fraction.replace(/0+$/, '').length, MAX_DECIMALS);
  const unscaled = Number(whole) * 10 ** decimals + Number(fraction.slice(0, decimals) || '0');
  return decimals <= digits
    ? { priceMinor: unscaled * 10 ** (digits - decimals), per: 1 }
    : { priceMinor: unscaled, per: 10 ** (decimals - digits) };
}
