import type { RecordBatch, Table } from 'apache-arrow';
import type {
  AgreementServiceClient,
  CatalogServiceClient,
  CodeServiceClient,
  EvidenceServiceClient,
  HomomorphicServiceClient,
  ImageServiceClient,
  OperatorServiceClient,
  PolicyServiceClient,
  TableServiceClient,
} from '../gen/services.ts';
import type { CredentialBundle } from '../identity/credential.ts';
import type { CallOptions } from '../rpc/call.ts';
import { agreementsClient } from './agreements.ts';
import { type BudgetsClient, budgetsClient } from './budgets.ts';
import { Channel, serviceClient } from './channel.ts';
import { codeClient } from './code.ts';
import { jobsClient, type JobsClient } from './jobs.ts';
import { type MetersClient, metersClient } from './meters.ts';
import { openCredential } from './open-credential.ts';
import { type PartiesClient, partiesClient } from './parties.ts';
import { readBatches, readTable } from './results.ts';

export interface ConnectOptions {
  /** The credential bundle, or the path of its file; left out only for an insecure server on this machine. */
  readonly credential?: CredentialBundle | string;
  /** `host:port`; default: the one in the credential. */
  readonly server?: string;
  /** Milliseconds for one unary call; default 120,000. */
  readonly timeoutMs?: number;
}

/** A connection to a runtime, as one party. */
export interface Glovebox extends AsyncDisposable {
  readonly jobs: JobsClient;
  readonly catalogue: CatalogServiceClient;
  readonly policies: PolicyServiceClient;
  readonly agreements: AgreementServiceClient;
  readonly parties: PartiesClient;
  readonly evidence: EvidenceServiceClient;
  readonly budgets: BudgetsClient;
  readonly meters: MetersClient;
  readonly images: ImageServiceClient;
  readonly code: CodeServiceClient;
  readonly homomorphic: HomomorphicServiceClient;
  readonly operator: OperatorServiceClient;
  /** The consumer's own tables; `uploadTable` sends one. */
  readonly tables: TableServiceClient;
  /** Reads the result behind a ticket as an Arrow table; a ticket works once. */
  readTable(ticket: Uint8Array, options?: CallOptions): Promise<Table>;
  /** The same batch by batch, for results larger than memory. */
  readBatches(ticket: Uint8Array, options?: CallOptions): AsyncIterable<RecordBatch>;
  close(): void;
}

/** Connects to a runtime. Nothing is sent before the first call; throws when the credential cannot be read. */
export function connect(options: ConnectOptions): Glovebox {
  const credential =
    typeof options.credential === 'string' ? openCredential(options.credential) : (options.credential ?? null);
  const server = options.server ?? credential?.server;
  if (server === undefined) throw new Error('connect needs a credential or a server');
  const timeout = options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs };
  const channel = new Channel({ server, credential, ...timeout });
  const close = (): void => channel.close();
  return {
    jobs: jobsClient(channel, credential),
    catalogue: serviceClient(channel, 'CatalogService'),
    policies: serviceClient(channel, 'PolicyService'),
    agreements: agreementsClient(channel, credential),
    parties: partiesClient(channel, credential),
    evidence: serviceClient(channel, 'EvidenceService'),
    budgets: budgetsClient(channel, credential),
    meters: metersClient(channel, credential),
    images: serviceClient(channel, 'ImageService'),
    code: codeClient(channel, credential),
    homomorphic: serviceClient(channel, 'HomomorphicService'),
    operator: serviceClient(channel, 'OperatorService'),
    tables: serviceClient(channel, 'TableService'),
    readTable: (ticket, call) => readTable(channel, ticket, call),
    readBatches: (ticket, call) => readBatches(channel, ticket, call),
    close,
    [Symbol.asyncDispose]: () => Promise.resolve(close()),
  };
}
