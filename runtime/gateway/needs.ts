import type { EvidenceEvent, Facts, Subject } from '../evidence/entry.ts';
import type { PartyRole } from '../identity/party.ts';
import type { IsolationLevel } from '../policy/model.ts';
import type { Store } from '../store/store.ts';
import type { Pseudonyms } from './pseudonyms.ts';

/** What every service of the gateway works with. */
export interface GatewayNeeds {
  readonly store: Store;
  readonly nowMs: () => number;
  readonly randomBytes: (count: number) => Uint8Array;
  readonly sha256: (content: Uint8Array | string) => string;
  /** Salted, so that evidence names no party to an outsider. */
  readonly pseudonymOf: (party: string) => string;
  /** Where pseudonyms come from: for who admits and erases parties. */
  readonly pseudonyms: Pseudonyms;
  readonly isolation: IsolationLevel;
  readonly version: string;
  readonly log: (event: LogEvent) => void;
  readonly live: LiveJobs;
  /** The receipt of a log entry, cosigned by witnesses where they have seen it already. */
  readonly receiptOf: (position: number) => Promise<string | undefined>;
  readonly issueCredential: (request: CredentialRequest) => Promise<IssuedCredential>;
  readonly authority: string;
  /** The trust list is another one now: connections are to be judged by it. */
  readonly trustChanged: () => void;
}

/** A line of the structured log: ids and codes, never query text or values. */
export interface LogEvent {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly event: string;
  readonly facts?: Readonly<Record<string, string | number | boolean | null>>;
  readonly cause?: unknown;
}

/** Jobs that run now, so that whoever may stop them can. */
export interface LiveJobs {
  /** Stops every running job that matches; answers how many. */
  stop(
    matches: (job: {
      readonly party: string;
      readonly agreements: readonly string[];
      readonly datasets: readonly string[];
      /** Who submitted it for its party, and under which mandate; null when the party did. */
      readonly actor: string | null;
      readonly mandate: string | null;
    }) => boolean,
  ): number;
  readonly running: number;
  readonly queued: number;
}

export interface CredentialRequest {
  readonly party: string;
  readonly roles: readonly PartyRole[];
  readonly days: number;
}

export interface IssuedCredential {
  /** The bundle as JSON text; holds private keys and is never stored. */
  readonly bundle: string;
  readonly fingerprint: string;
  readonly spiffeId: string;
  readonly expiresAtMs: number;
  readonly signingPublicKey: string;
}

export function evidence(
  needs: Pick<GatewayNeeds, 'nowMs'>,
  kind: EvidenceEvent['kind'],
  subjects: readonly Subject[],
  facts: Facts = {},
): EvidenceEvent {
  return { kind, atMs: needs.nowMs(), subjects, facts };
}

/** Short random id that sorts by nothing and tells nothing: `prefix-` and 20 hexadecimal digits. */
export function newId(needs: Pick<GatewayNeeds, 'randomBytes'>, prefix: string): string {
  return `${prefix}-${Buffer.from(needs.randomBytes(10)).toString('hex')}`;
}
