/** Every limit of the front door, with its default. All can be lowered or raised by the operator's configuration. */
export interface RpcLimits {
  /** Largest control message in either direction, bytes. */
  readonly maxMessageBytes: number;
  /** Largest `FlightData` message, bytes; below the 4 MiB that other clients accept by default. */
  readonly maxFrameBytes: number;
  /** Bytes of one response that may be on their way to its reader. */
  readonly maxOutgoingBytes: number;
  /** Chunks that our client uploads, bytes; the server takes any that is a control message. */
  readonly maxChunkBytes: number;
  /** Header block of one request, bytes. */
  readonly maxMetadataBytes: number;
  /** Open connections in all. */
  readonly maxConnections: number;
  /** Connections on which no party has called yet; one more closes the oldest of them. */
  readonly maxSilentConnections: number;
  /** Connections on which one party has called; one more closes the one on which it called longest ago. */
  readonly maxConnectionsPerParty: number;
  /** Open streams on one connection, and of one party over all its connections. */
  readonly maxStreamsPerConnection: number;
  readonly maxStreamsPerParty: number;
  /** Bytes that the open single requests of one party may hold together; uploads have limits of their own. */
  readonly maxRequestBytesPerParty: number;
  /** Calls per second that a party may make in the long run, and at once. */
  readonly callsPerSecond: number;
  readonly callBurst: number;
  /** TLS handshake must end within. */
  readonly handshakeTimeoutMs: number;
  /** A unary request must have arrived within, counted from its headers. */
  readonly requestTimeoutMs: number;
  /** Longest pause between two parts of an upload. */
  readonly uploadPauseMs: number;
  /** Longest time a reader may leave a response unread. */
  readonly readerPauseMs: number;
  /** A connection without any call is closed after. */
  readonly idleConnectionMs: number;
  /** Keepalive ping interval and how long to wait for its answer. */
  readonly keepaliveMs: number;
  readonly keepaliveTimeoutMs: number;
  /** Longest life of a call; longer deadlines of clients are cut to it. */
  readonly maxCallMs: number;
  /** How long draining waits for open calls. */
  readonly drainMs: number;
}

export const DEFAULT_RPC_LIMITS: RpcLimits = {
  maxMessageBytes: 4 << 20,
  maxFrameBytes: 2 << 20,
  maxOutgoingBytes: 2 << 20,
  maxChunkBytes: 1 << 20,
  maxMetadataBytes: 16 << 10,
  maxConnections: 4096,
  maxSilentConnections: 512,
  // An eighth of all: whoever calls once on thousands of connections and then does nothing locks nobody out.
  maxConnectionsPerParty: 512,
  maxStreamsPerConnection: 128,
  maxStreamsPerParty: 256,
  // Sixteen of the largest messages; without this, as many as a party may have streams: a gigabyte.
  maxRequestBytesPerParty: 64 << 20,
  callsPerSecond: 2000,
  callBurst: 4000,
  handshakeTimeoutMs: 10_000,
  requestTimeoutMs: 15_000,
  uploadPauseMs: 60_000,
  readerPauseMs: 120_000,
  idleConnectionMs: 10 * 60_000,
  keepaliveMs: 30_000,
  keepaliveTimeoutMs: 10_000,
  maxCallMs: 24 * 3_600_000,
  drainMs: 30_000,
};
