import type { Denied } from '../policy/reason.ts';

/** What a handler knows of the call besides its caller and its request. */
export interface CallContext {
  /** Aborted when the client cancels, vanishes or runs into its deadline, and when the server gives up draining. */
  readonly signal: AbortSignal;
  /** Milliseconds since the epoch; null when the client set none. */
  readonly deadlineAtMs: number | null;
  /** Random name of this call, for logs. */
  readonly callId: string;
  /** The caller's signature over its request, verified; null when it did not sign. */
  readonly signedRequest: SignedRequest | null;
}

/** Proof of possession to keep in evidence: a compact JWS whose payload is the canonical statement of the request. */
export interface SignedRequest {
  readonly jws: string;
  readonly statement: string;
}

/**
 * What a handler answers: the response, or a denial. A denial becomes an OK response with `reasons` where the response
 * has that field, and a PERMISSION_DENIED status with the reasons in its detail where it has not.
 */
export type Answer<Response> = Response | Denied;

/** Options of one call of the client. */
export interface CallOptions {
  /** Milliseconds from now; the default is the client's. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** A message to send, in which fields may be left out: they then have their proto3 default. */
export type Init<T> = T extends Uint8Array | string | number | bigint | boolean | null
  ? T
  : T extends readonly (infer Item)[]
    ? readonly Init<Item>[]
    : T extends { readonly kind: string }
      ? { readonly [Key in keyof T]: Key extends 'kind' ? T[Key] : Init<T[Key]> }
      : { readonly [Key in keyof T]?: Init<T[Key]> };
