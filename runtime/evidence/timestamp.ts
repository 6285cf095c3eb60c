import { hash } from 'node:crypto';

/** A response with the authority's certificate chain. */
export const MAX_TIMESTAMP_BYTES = 65_536;

const SHA256_OID = '2.16.840.1.101.3.4.2.1';
const SIGNED_DATA_OID = '1.2.840.113549.1.7.2';
const TST_INFO_OID = '1.2.840.113549.1.9.16.1.4';

/** DER tags (X.690) that a timestamp uses. */
const TAG = { boolean: 0x01, integer: 0x02, octets: 0x04, oid: 0x06, time: 0x18, sequence: 0x30, context0: 0xa0 };

/** A TimeStampReq (RFC 3161 §2.4.1) over the SHA-256 of `content`, with a nonce, asking for the authority's certificate. */
export function timestampRequest(content: Uint8Array, nonce: Uint8Array): Uint8Array {
  const algorithm = der(TAG.sequence, Buffer.concat([encodeOid(SHA256_OID), Buffer.from([0x05, 0x00])]));
  const imprint = der(TAG.sequence, Buffer.concat([algorithm, der(TAG.octets, hash('sha256', content, 'buffer'))]));
  const asksForCertificate = der(TAG.boolean, Buffer.from([0xff]));
  return der(
    TAG.sequence,
    Buffer.concat([der(TAG.integer, Buffer.from([1])), imprint, der(TAG.integer, positive(nonce)), asksForCertificate]),
  );
}

export type ReadTimestamp =
  | { readonly kind: 'timestamp'; readonly atMs: number }
  | { readonly kind: 'refused'; readonly reason: string };

/**
 * Reads a TimeStampResp (RFC 3161 §2.4.2): granted, over this content, with this nonce, and when. It does NOT check the
 * authority's signature: whoever relies on the time does, with the authority's certificate (`openssl ts -verify`).
 */
export function readTimestamp(response: Uint8Array, content: Uint8Array, nonce: Uint8Array | null): ReadTimestamp {
  try {
    const info = tstInfoOf(response);
    const [, , imprint, , time, ...rest] = children(info);
    if (imprint === undefined || time === undefined) return refused('it has no imprint or time');
    const [algorithm, digest] = children(imprint);
    const [oid] = algorithm === undefined ? [] : children(algorithm);
    if (oid === undefined || decodeOid(oid) !== SHA256_OID) return refused('the imprint is not SHA-256');
    if (digest === undefined || !hash('sha256', content, 'buffer').equals(digest.content))
      return refused('it is of something else');
    const given = rest.find(({ tag }) => tag === TAG.integer);
    if (nonce !== null && (given === undefined || !given.content.equals(positive(nonce))))
      return refused('it answers another request');
    const atMs = time.tag === TAG.time ? generalizedTime(time.content.toString('latin1')) : undefined;
    return atMs === undefined ? refused('its time is not one') : { kind: 'timestamp', atMs };
  } catch (error) {
    return refused(error instanceof RangeError ? error.message : 'it cannot be read');
  }
}

interface Der {
  readonly tag: number;
  readonly content: Buffer;
}

function tstInfoOf(response: Uint8Array): Der {
  if (response.length > MAX_TIMESTAMP_BYTES) throw new RangeError('it is too long');
  const whole = one(Buffer.from(response));
  const [status, token] = children(whole);
  const [granted] = status === undefined ? [] : children(status);
  // 0 granted, 1 granted with modifications.
  if (granted?.tag !== TAG.integer || granted.content.length !== 1 || (granted.content[0] ?? 9) > 1)
    throw new RangeError('the authority did not grant it');
  if (token === undefined) throw new RangeError('it holds no token');
  const [type, wrapped] = children(token);
  if (type === undefined || wrapped === undefined || decodeOid(type) !== SIGNED_DATA_OID)
    throw new RangeError('its token is not signed data');
  const [, , encapsulated] = children(one(wrapped.content));
  const [kind, octets] = encapsulated === undefined ? [] : children(encapsulated);
  if (kind === undefined || octets?.tag !== TAG.context0 || decodeOid(kind) !== TST_INFO_OID)
    throw new RangeError('its token holds no time-stamp information');
  const inner = one(octets.content);
  if (inner.tag !== TAG.octets) throw new RangeError('its token holds no time-stamp information');
  return one(inner.content);
}

/** Exactly one value. */
function one(bytes: Buffer): Der {
  const { value, end } = read(bytes, 0);
  if (end !== bytes.length) throw new RangeError('it has bytes after its end');
  return value;
}

function children({ tag, content }: Der): Der[] {
  if ((tag & 0x20) === 0) throw new RangeError('it is not built as it should be');
  const found: Der[] = [];
  for (let at = 0; at < content.length;) {
    const { value, end } = read(content, at);
    found.push(value);
    at = end;
  }
  return found;
}

function read(bytes: Buffer, at: number): { readonly value: Der; readonly end: number } {
  const [tag, first] = [bytes[at], bytes[at + 1]];
  if (tag === undefined || first === undefined || (tag & 0x1f) === 0x1f) throw new RangeError('it is cut short');
  let start = at + 2;
  let length = first;
  if (first >= 0x80) {
    const count = first & 0x7f;
    // Indefinite lengths are not DER; four bytes are more than the longest response.
    if (count === 0 || count > 4 || start + count > bytes.length) throw new RangeError('it is not DER');
    length = bytes.readUIntBE(start, count);
    start += count;
  }
  const end = start + length;
  if (end > bytes.length) throw new RangeError('it is cut short');
  return { value: { tag, content: bytes.subarray(start, end) }, end };
}

function der(tag: number, content: Uint8Array): Buffer {
  const length = content.length;
  const header = length < 0x80 ? [tag, length] : [tag, 0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from(header), content]);
}

/** Big-endian bytes as a positive DER integer: no leading zeros, but one where the sign bit would be set. */
function positive(bytes: Uint8Array): Buffer {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start += 1;
  const rest = Buffer.from(bytes.subarray(start));
  return ((rest[0] ?? 0) & 0x80) === 0 ? rest : Buffer.concat([Buffer.from([0]), rest]);
}

function encodeOid(text: string): Buffer {
  const [first = 0, second = 0, ...rest] = text.split('.').map(Number);
  const bytes = [first * 40 + second, ...rest.flatMap(base128)];
  return der(TAG.oid, Buffer.from(bytes));
}

function base128(value: number): number[] {
  const bytes = [value & 0x7f];
  for (let rest = Math.floor(value / 128); rest > 0; rest = Math.floor(rest / 128)) bytes.unshift(0x80 | (rest & 0x7f));
  return bytes;
}

function decodeOid({ tag, content }: Der): string {
  if (tag !== TAG.oid) return '';
  const parts: number[] = [];
  let value = 0;
  for (const byte of content) {
    value = value * 128 + (byte & 0x7f);
    if (!Number.isSafeInteger(value)) return '';
    if ((byte & 0x80) !== 0) continue;
    if (parts.length === 0)
      parts.push(Math.min(2, Math.floor(value / 40)), value - 40 * Math.min(2, Math.floor(value / 40)));
    else parts.push(value);
    value = 0;
  }
  return parts.join('.');
}

/** `20260101120000.5Z` (RFC 3161 §2.4.2: UTC, no trailing zeros); undefined when it is not a time. */
function generalizedTime(text: string): number | undefined {
  const [, y, mo, d, h, mi, s, fraction = ''] = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\.\d{1,9})?Z$/.exec(text) ?? [];
  if (y === undefined) return undefined;
  const atMs = Date.parse(`${y}-${mo}-${d}T${h}:${mi}:${s}${fraction.slice(0, 4)}Z`);
  return Number.isSafeInteger(atMs) ? atMs : undefined;
}

function refused(reason: string): ReadTimestamp {
  return { kind: 'refused', reason };
}
