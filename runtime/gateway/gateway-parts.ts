import type { Budget } from '../gen/messages.ts';
import type { Entropy } from '../release/entropy.ts';
import type { Application } from '../rpc/application.ts';
import type { Authority, ServerCertificate } from '../rpc/authority.ts';
import type { WorkerPool } from '../sandbox/pool.ts';
import type { Store } from '../store/store.ts';
import type { DataDirectory } from './data-directory.ts';
import type { QueueLimits, JobQueue } from './jobs/live-jobs.ts';
import type { LogEvent } from './needs.ts';
import type { OutsideOptions } from './evidence/outside-checkpoints.ts';

/** The parts that a gateway is made of; container.ts makes them, tests may replace single ones. */
export interface GatewayParts {
  readonly directory: DataDirectory;
  readonly store: Store;
  readonly pool: WorkerPool;
  readonly authority: Authority;
  readonly secrets: {
    readonly units: Uint8Array;
    readonly pseudonyms: Uint8Array;
    /** Seed of the Ed25519 key that signs transcripts of computations on ciphertext. */
    readonly transcripts: Uint8Array;
  };
  /** Folder that holds `runtime` and `sandbox-images`. */
  readonly root: string;
  readonly version: string;
  /** The time by which everything is judged and recorded; never goes back. */
  readonly nowMs: () => number;
  /** The machine's own clock, by which TLS judges certificates. */
  readonly wallMs: () => number;
  /** Where noise comes from; default: the operating system's generator. Tests give a seeded one. */
  readonly entropy?: Entropy;
  readonly log: (event: LogEvent) => void;
  /** Origins (`https://host:port`) that notices may be sent to; a policy cannot make the runtime call others. */
  readonly webhooks?: readonly string[];
  /** Who vouches for the log from outside; default: nobody. */
  readonly outside?: OutsideOptions;
  /** Where alerts are sent; null: they are only listed. */
  readonly alertWebhook?: string | null;
  /** How many jobs run and wait at once; default: DEFAULT_QUEUE_LIMITS. */
  readonly jobLimits?: QueueLimits;
  /** Written into credentials: where parties find this runtime, `host:port`. */
  readonly address: () => string;
}

/** A running gateway: what the RPC layer calls, and how to end it. */
export interface Gateway {
  readonly application: Application;
  readonly queue: JobQueue;
  /** PEM; what parties trust the server by. */
  readonly authorityCertificate: string;
  /** PEM: our own authority and those on the trust list, whose parties may connect. */
  readonly authorities: () => readonly string[];
  /** Calls when that list changes. */
  readonly whenTrustChanges: (listener: () => void) => void;
  readonly serverCertificate: (hosts: readonly string[]) => Promise<ServerCertificate>;
  /** Makes the operator's credential when there is none; answers its file. */
  readonly bootstrap: () => Promise<string>;
  /** Lets an insecure loopback server say who its callers are taken for; makes that party when there is none. */
  readonly allowInsecure: () => Promise<void>;
  readonly sweep: () => Promise<void>;
  /** All budgets, for the operator's metrics. */
  readonly budgets: () => Promise<readonly Budget[]>;
  /** Judges running jobs again and records what time has ended; called every MONITOR_EVERY_MS. */
  readonly enforce: () => Promise<void>;
}
