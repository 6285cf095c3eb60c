import { DEFAULT_QUEUE_LIMITS } from '../gateway/jobs/live-jobs.ts';
import { DEFAULT_DRAIN_MS } from '../gateway/operator-service.ts';
import { DEFAULT_RPC_LIMITS, type RpcLimits } from '../rpc/limits.ts';
import { poolDefaults } from '../sandbox/pool-options.ts';
import {
  ADDRESS,
  FILE,
  FOLDER,
  KEYED_URLS,
  type Kind,
  LOOPBACK_ADDRESS,
  oneOf,
  ORIGINS,
  URL_TEXT,
  whole,
  YES_OR_NO,
} from './values.ts';

/** One thing an operator may set. Its name is its path in the file; the environment variable follows from it. */
export interface Setting<T = unknown> {
  readonly name: string;
  readonly kind: Kind<T>;
  /** Null: nothing unless it is set. */
  readonly standard: T | null;
  readonly about: string;
  /** Flag of `serve` that says the same. */
  readonly flag?: string;
  /** The standard depends on the machine: told in words in the documentation. */
  readonly standardInWords?: string;
}

export const DEFAULT_LISTEN = { host: '127.0.0.1', port: 7443 } as const;

function setting<T>(one: Setting<T>): Setting<T> {
  return one;
}

const rpc = (name: keyof RpcLimits, least: number, most: number, about: string): Setting<number> =>
  setting({ name: `rpc.${name}`, kind: whole(least, most), standard: DEFAULT_RPC_LIMITS[name], about });

const HOUR_MS = 3_600_000;

/** Every setting there is; docs/configuration.md is written from this table. */
export const SETTINGS = {
  data: setting({
    name: 'data',
    kind: FOLDER,
    standard: null,
    standardInWords: '/var/lib/glovebox for root, else $XDG_DATA_HOME/glovebox or ~/.local/share/glovebox',
    about: 'Data directory: keys, state, evidence, datasets. Made when it does not exist',
    flag: '--data',
  }),
  listen: setting({
    name: 'listen',
    kind: ADDRESS,
    standard: DEFAULT_LISTEN,
    about: 'Where to serve gRPC; port 0 takes any free one',
    flag: '--listen',
  }),
  insecure: setting({
    name: 'insecure',
    kind: YES_OR_NO,
    standard: false,
    about: 'No TLS and no identities: loopback addresses only, for local trials',
    flag: '--insecure',
  }),
  declareVm: setting({
    name: 'declareVm',
    kind: YES_OR_NO,
    standard: false,
    about: 'State that the whole runtime runs in a virtual machine of its own; recorded as your word',
    flag: '--declare-vm',
  }),
  evidenceHttp: setting({
    name: 'evidenceHttp',
    kind: ADDRESS,
    standard: null,
    about: 'Serve the signed log as static files over HTTP, for monitors',
    flag: '--evidence-http',
  }),
  metrics: setting({
    name: 'metrics',
    kind: LOOPBACK_ADDRESS,
    standard: null,
    about: 'Serve Prometheus metrics at /metrics over HTTP, for this machine only',
    flag: '--metrics',
  }),
  webhooks: setting({
    name: 'webhooks',
    kind: ORIGINS,
    standard: [],
    about: 'Origins that duties of policies may notify',
    flag: '--webhook',
  }),
  alertWebhook: setting({
    name: 'alerts.webhook',
    kind: URL_TEXT,
    standard: null,
    about: 'Where alerts are sent, each as the signed receipt of its entry in the log; without it they are only listed',
    flag: '--alert-webhook',
  }),
  witnesses: setting({
    name: 'witnesses',
    kind: KEYED_URLS,
    standard: [],
    about: 'Witnesses that cosign the log (C2SP tlog-witness): URL of add-checkpoint, and the file of the verifier key',
    flag: '--witness',
  }),
  witnessQuorum: setting({
    name: 'witnessQuorum',
    kind: whole(1, 100),
    standard: 1,
    about: 'How many witnesses have to say that they have seen another history of the log before everything is stopped',
  }),
  timestampUrl: setting({
    name: 'timestamps.url',
    kind: URL_TEXT,
    standard: null,
    about: 'RFC 3161 authority that timestamps checkpoints of the log',
    flag: '--timestamp',
  }),
  timestampEveryMs: setting({
    name: 'timestamps.everyMs',
    kind: whole(1000, 31 * 24 * HOUR_MS),
    standard: HOUR_MS,
    about: 'Least time between two timestamps, milliseconds',
  }),
  drainMs: setting({
    name: 'drainMs',
    kind: whole(0, HOUR_MS),
    standard: DEFAULT_DRAIN_MS,
    about: 'How long running jobs may go on after SIGTERM, milliseconds; keep the supervisor’s own limit above it',
  }),
  logLevel: setting({
    name: 'log.level',
    kind: oneOf('debug', 'info', 'warn', 'error'),
    standard: 'info',
    about: 'What is logged; `debug` adds the time of every stage of every job',
    flag: '--log-level',
  }),
  logFile: setting({
    name: 'log.file',
    kind: FILE,
    standard: null,
    standardInWords: 'standard error',
    about: 'File to log to, mode 0600; opened anew at SIGHUP',
    flag: '--log-file',
  }),
  logMaxBytes: setting({
    name: 'log.maxBytes',
    kind: whole(65_536, 2 ** 40),
    standard: 64 * 2 ** 20,
    about: 'A log file is put aside before it grows beyond this',
  }),
  logKeep: setting({
    name: 'log.keep',
    kind: whole(0, 1000),
    standard: 8,
    about: 'Log files put aside (`FILE.1` is the latest) that are kept; with 0 the file is emptied instead',
  }),
  jobsRunning: setting({
    name: 'jobs.running',
    kind: whole(1, 1024),
    standard: DEFAULT_QUEUE_LIMITS.running,
    standardInWords: 'twice the cores, at least 4',
    about: 'Jobs that run at once',
  }),
  jobsRunningPerParty: setting({
    name: 'jobs.runningPerParty',
    kind: whole(1, 1024),
    standard: DEFAULT_QUEUE_LIMITS.runningPerParty,
    about: 'Jobs of one party that run at once',
  }),
  jobsQueued: setting({
    name: 'jobs.queued',
    kind: whole(1, 100_000),
    standard: DEFAULT_QUEUE_LIMITS.queued,
    about: 'Jobs that may wait, of all parties',
  }),
  jobsQueuedPerParty: setting({
    name: 'jobs.queuedPerParty',
    kind: whole(1, 100_000),
    standard: DEFAULT_QUEUE_LIMITS.queuedPerParty,
    about: 'Jobs of one party that may wait',
  }),
  workersMax: setting({
    name: 'workers.max',
    kind: whole(1, 1024),
    standard: poolDefaults.maxWorkers,
    standardInWords: '4 and twice the cores',
    about: 'Jailed processes at once, idle ones included',
  }),
  workersMaxPerParty: setting({
    name: 'workers.maxPerParty',
    // Row functions hold two at a time: one reads rows, one runs the code.
    kind: whole(2, 1024),
    standard: null,
    standardInWords: 'one less than `workers.max`',
    about: 'Jailed processes that the jobs of one party hold at once; keep it above `jobs.runningPerParty`',
  }),
  workersWarmKeys: setting({
    name: 'workers.warmKeys',
    kind: whole(0, 1024),
    standard: poolDefaults.warmKeys,
    about: 'Layouts for which workers are kept ready; the least recently used goes',
  }),
  workersWarmPerKey: setting({
    name: 'workers.warmPerKey',
    kind: whole(0, 64),
    standard: poolDefaults.warmPerKey,
    about: 'Ready workers for each of them',
  }),
  workersQueueTimeoutMs: setting({
    name: 'workers.queueTimeoutMs',
    kind: whole(100, HOUR_MS),
    standard: poolDefaults.queueTimeoutMs,
    about: 'Longest wait for a worker, milliseconds',
  }),
  maxMessageBytes: rpc('maxMessageBytes', 65_536, 2 ** 28, 'Largest control message in either direction, bytes'),
  maxFrameBytes: rpc('maxFrameBytes', 65_536, 2 ** 26, 'Largest message of a result, bytes'),
  maxOutgoingBytes: rpc('maxOutgoingBytes', 65_536, 2 ** 28, 'Bytes of one response on their way to its reader'),
  maxMetadataBytes: rpc('maxMetadataBytes', 4096, 2 ** 20, 'Header block of one request, bytes'),
  maxConnections: rpc('maxConnections', 1, 100_000, 'Open connections in all'),
  maxSilentConnections: rpc(
    'maxSilentConnections',
    1,
    100_000,
    'Connections on which no party has called yet; one more closes the oldest of them',
  ),
  maxConnectionsPerParty: rpc(
    'maxConnectionsPerParty',
    1,
    100_000,
    'Connections on which one party has called; one more closes the one on which it called longest ago',
  ),
  maxStreamsPerConnection: rpc('maxStreamsPerConnection', 1, 10_000, 'Open calls on one connection'),
  maxStreamsPerParty: rpc('maxStreamsPerParty', 1, 100_000, 'Open calls of one party'),
  maxRequestBytesPerParty: rpc(
    'maxRequestBytesPerParty',
    2 ** 20,
    2 ** 34,
    'Bytes that the open single requests of one party may hold together',
  ),
  callsPerSecond: rpc('callsPerSecond', 1, 1_000_000, 'Calls per second that one party may make in the long run'),
  callBurst: rpc('callBurst', 1, 1_000_000, 'Calls that one party may make at once'),
  handshakeTimeoutMs: rpc('handshakeTimeoutMs', 100, HOUR_MS, 'A TLS handshake must end within, milliseconds'),
  requestTimeoutMs: rpc('requestTimeoutMs', 100, HOUR_MS, 'A request must have arrived within, milliseconds'),
  uploadPauseMs: rpc('uploadPauseMs', 100, HOUR_MS, 'Longest pause between two parts of an upload, milliseconds'),
  readerPauseMs: rpc('readerPauseMs', 100, HOUR_MS, 'Longest time a reader may leave a response unread, milliseconds'),
  idleConnectionMs: rpc('idleConnectionMs', 1000, 24 * HOUR_MS, 'A connection without any call is closed after, ms'),
  keepaliveMs: rpc('keepaliveMs', 1000, 24 * HOUR_MS, 'Between two keepalive pings, milliseconds'),
  keepaliveTimeoutMs: rpc('keepaliveTimeoutMs', 1000, HOUR_MS, 'Wait for the answer of a ping, milliseconds'),
  maxCallMs: rpc('maxCallMs', 1000, 7 * 24 * HOUR_MS, 'Longest life of a call, milliseconds'),
} as const;

export type SettingKey = keyof typeof SETTINGS;
/** The values of all settings. */
export type Configuration = {
  readonly [K in SettingKey]: (typeof SETTINGS)[K] extends Setting<infer T> ? T | null : never;
};

/** `log.maxBytes` is `GLOVEBOX_LOG_MAX_BYTES`. */
export function environmentName(name: string): string {
  return `GLOVEBOX_${name.replaceAll('.', '_').replaceAll(/[A-Z]/g, (letter) => `_${letter}`)}`.toUpperCase();
}
