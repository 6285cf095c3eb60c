import type { Caller, PresentedCredential } from '../identity/party.ts';
import type { Reason } from '../policy/reason.ts';
import type {
  AgreementServiceHandlers,
  BudgetServiceHandlers,
  CatalogServiceHandlers,
  CodeServiceHandlers,
  EvidenceServiceHandlers,
  HomomorphicServiceHandlers,
  ImageServiceHandlers,
  JobServiceHandlers,
  MeterServiceHandlers,
  OperatorServiceHandlers,
  PartyServiceHandlers,
  PolicyServiceHandlers,
  TableServiceHandlers,
} from '../gen/services.ts';
import type { CallContext } from './call.ts';

/**
 * What the RPC layer needs from the application: one function per rpc over plain data. A missing function is answered
 * with UNIMPLEMENTED. A function answers, denies (`{ kind: 'denied', reasons }`), or throws a `Fault` of fault.ts for
 * a message that makes no sense; anything else it throws becomes INTERNAL, logged and never sent.
 *
 * Who may call what is the application's decision: the RPC layer proves only who the caller is.
 */
export interface Application {
  /** Who is behind a certificate of our authority; asked for every call, so it must be fast (a map in memory). */
  identify(credential: PresentedCredential): Identified | Promise<Identified>;
  /** The caller of an insecure loopback connection; null when the server must not serve such. */
  readonly insecureCaller: Caller | null;

  readonly jobs: Partial<JobServiceHandlers>;
  readonly catalogue: Partial<CatalogServiceHandlers>;
  readonly policies: Partial<PolicyServiceHandlers>;
  readonly agreements: Partial<AgreementServiceHandlers>;
  readonly parties: Partial<PartyServiceHandlers>;
  readonly evidence: Partial<EvidenceServiceHandlers>;
  readonly budgets: Partial<BudgetServiceHandlers>;
  readonly meters: Partial<MeterServiceHandlers>;
  readonly images: Partial<ImageServiceHandlers>;
  readonly tables: Partial<TableServiceHandlers>;
  readonly code: Partial<CodeServiceHandlers>;
  readonly homomorphic: Partial<HomomorphicServiceHandlers>;
  readonly operator: Partial<OperatorServiceHandlers>;

  /**
   * The released result behind a ticket as encoded `FlightData` messages: first the schema, then record batches
   * (`flight-framing.ts` makes them). Checks that the ticket is this caller's, unused and not expired, and marks it
   * used before the first frame; throws the fault `ticket-not-valid` for every other ticket, whatever is wrong with it.
   * A message is sent before the next one is asked for, so that its memory may be used again.
   */
  openRelease(caller: Caller, ticket: Uint8Array, call: CallContext): AsyncIterable<Uint8Array>;
}

/** The party behind a credential, or why nobody is. */
export type Identified =
  | { readonly kind: 'known'; readonly caller: Caller }
  /** No party has this certificate: UNAUTHENTICATED. */
  | { readonly kind: 'unknown'; readonly reason: Reason }
  /** The party is suspended or has exited: PERMISSION_DENIED. */
  | { readonly kind: 'notAdmitted'; readonly reason: Reason };
