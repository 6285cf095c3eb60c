// What `import … from 'glovebox/client'` promises to TypeScript: the small part of the client library that consumers
// need. test/packaging/package.test.ts holds it against the library itself.

/** Connects to a runtime as the party of a credential. Nothing is sent before the first call. */
export function connect(options: {
  /** Path of the credential file that the operator gave out. */
  readonly credential?: string;
  /** `host:port`; default: the one in the credential. */
  readonly server?: string;
  /** Milliseconds for one call; default 120,000. */
  readonly timeoutMs?: number;
}): Glovebox;

export interface Glovebox extends AsyncDisposable {
  readonly jobs: {
    /** Asks one question in SQL and waits for its end; a released result is fetched with it. */
    sql(
      text: string,
      job?: { readonly agreementIds?: readonly string[]; readonly ruleId?: string; readonly purpose?: string },
      options?: { readonly timeoutMs?: number; readonly signal?: AbortSignal },
    ): Promise<Outcome>;
  };
  close(): void;
}

export type Outcome =
  | { readonly kind: 'released'; readonly job: Job; readonly table: ArrowTable }
  /** Denied, withheld, stopped or failed: the reasons say why and what would be allowed. */
  | { readonly kind: 'refused'; readonly job: Job; readonly reasons: readonly Reason[] };

export interface Job {
  readonly id: string;
  readonly state: string;
  /** The guarantee of the release in a sentence. */
  readonly guarantee: string;
  /** Evidence: `document` verifies offline with the log's public key (`glovebox evidence verify`). */
  readonly receipt: { readonly document: Uint8Array } | null;
}

export interface Reason {
  readonly code: string;
  readonly message: string;
  readonly remedy: string | null;
}

/** A `Table` of the package `apache-arrow`; declared here in part, so that it need not be installed. */
export interface ArrowTable extends Iterable<ArrowRow> {
  readonly numRows: number;
  readonly schema: { readonly fields: readonly { readonly name: string }[] };
  toArray(): readonly ArrowRow[];
}
export interface ArrowRow {
  toJSON(): { readonly [column: string]: unknown };
}

/** What a call throws that could not be answered; the codes are those of docs/errors.md. */
export const GloveboxError: abstract new (...words: never[]) => GloveboxError;
export interface GloveboxError extends Error {
  readonly code: string;
  readonly isRetryable: boolean;
  readonly retryAfterMs: number;
}
