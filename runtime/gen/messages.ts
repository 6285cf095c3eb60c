// Generated from proto/glovebox/v1 by runtime/rpc/generate-types.ts; do not edit.

/** Where a party is in its admission. */
export type AdmissionState =
  | 'unspecified'
  | 'applied'
  | 'admitted'
  | 'suspended'
  | 'exited';

/** Where an agreement is in its life. */
export type AgreementState =
  | 'unspecified'
  | 'drafted'
  | 'offered'
  | 'countered'
  | 'active'
  | 'suspended'
  | 'terminated'
  | 'expired'
  | 'agreed'
  | 'declined';

/** What an uploaded object is. */
export type CiphertextKind =
  | 'unspecified'
  | 'publicKey'
  | 'relinearisationKeys'
  | 'rotationKeys'
  | 'column'
  | 'query'
  | 'unitTags';

/** Where code is in its life. */
export type CodeState =
  | 'unspecified'
  | 'submitted'
  | 'approved'
  | 'rejected'
  | 'revoked'
  | 'expired';

/** The value types that can be released. */
export type ColumnType =
  | 'unspecified'
  | 'bool'
  | 'int32'
  | 'int64'
  | 'float64'
  | 'decimal128'
  | 'utf8'
  | 'date32'
  | 'timestampMicros';

/** How sensitive data is. */
export type Grade =
  | 'unspecified'
  | 'public'
  | 'internal'
  | 'important'
  | 'core';

/** How strongly workers are kept apart from the machine; stronger levels have larger numbers. */
export type IsolationLevel =
  | 'unspecified'
  | 'none'
  | 'process'
  | 'confined'
  | 'namespaced'
  | 'vm';

/** The step of the job pipeline. */
export type JobStage =
  | 'unspecified'
  | 'identify'
  | 'parse'
  | 'decide'
  | 'reserve'
  | 'run'
  | 'disclose'
  | 'record'
  | 'release';

/** Where a job is in its life. */
export type JobState =
  | 'unspecified'
  | 'queued'
  | 'running'
  | 'released'
  | 'withheld'
  | 'denied'
  | 'cancelled'
  | 'stopped'
  | 'failed';

/** How a computation reaches the data and what kind of guarantee its release carries. */
export type Mode =
  | 'unspecified'
  | 'aggregate'
  | 'differentialPrivacy'
  | 'homomorphic'
  | 'sandbox'
  | 'approvedCode';

/** What a party may do. */
export type Role =
  | 'unspecified'
  | 'provider'
  | 'consumer'
  | 'operator'
  | 'auditor'
  | 'clearing'
  | 'reviewer'
  | 'custodian';

/** How sandboxed code meets the data; each method has its own printed guarantee. */
export type SandboxMethod =
  | 'unspecified'
  | 'rowFunction'
  | 'blocks'
  | 'approved'
  | 'post';

/** What a change of a term does. */
export type TermChange =
  | 'unspecified'
  | 'stricter'
  | 'looser'
  | 'other';

/** Acceptance. */
export interface AcceptAgreementRequest {
  /** The agreement. */
  readonly id: string;
  /** Signature of the caller over `content`. */
  readonly signature: JwsSignature | null;
}

/** The agreement. */
export interface AcceptAgreementResponse {
  /** As it is now. */
  readonly agreement: Agreement | null;
  /** Why it was not accepted. */
  readonly reasons: readonly Reason[];
}

/** Which alert. */
export interface AcknowledgeAlertRequest {
  /** Its id. */
  readonly id: string;
}

/** The alert. */
export interface AcknowledgeAlertResponse {
  /** As it is now. */
  readonly alert: Alert | null;
}

/** Admission. */
export interface AddPartyRequest {
  /** Name: lower-case letters, digits, '-', at most 63, starting with a letter. */
  readonly name: string;
  /** What it may do; at least one. */
  readonly roles: readonly Role[];
  /** Life of the certificate in days; 0 means the server's default. */
  readonly days: number;
  /** ISO 3166-1 alpha-2 code of where it is. */
  readonly jurisdiction: string;
  /** Groups that policies can name as `group:NAME`; lower-case names. */
  readonly groups: readonly string[];
  /** Only recorded as having applied: its credential works once it is admitted. */
  readonly isApplication: boolean;
}

/** The party and its credential. */
export interface AddPartyResponse {
  /** The party. */
  readonly party: Party | null;
  /** The credential bundle as JSON, format "glovebox-credential/1": holds private keys, keep it with mode 0600. */
  readonly credential: string;
  /** Why it was not admitted. */
  readonly reasons: readonly Reason[];
}

/** Names a party. */
export interface AdmitPartyRequest {
  /** The party. */
  readonly name: string;
}

/** The party. */
export interface AdmitPartyResponse {
  /** As it is now. */
  readonly party: Party | null;
}

/** An agreement. */
export interface Agreement {
  /** Name of the agreement. */
  readonly id: string;
  /** Where it is in its life. */
  readonly state: AgreementState;
  /** The provider. */
  readonly provider: string;
  /** The consumer. */
  readonly consumer: string;
  /** The dataset. */
  readonly dataset: string;
  /** The pinned policy version. */
  readonly policyVersion: number;
  /** The pinned policy digest, "sha256:…". */
  readonly policyDigest: string;
  /** Start, milliseconds since the epoch, inclusive. */
  readonly notBeforeMs: number;
  /** End, milliseconds since the epoch, exclusive; absent when open. */
  readonly notAfterMs: number | null;
  /** What is signed: canonical JSON (RFC 8785), immutable. */
  readonly content: string;
  /** The signatures so far. */
  readonly signatures: readonly PartySignature[];
  /** When it was laid out, milliseconds since the epoch. */
  readonly createdAtMs: number;
  /** Why it is suspended, terminated or expired. */
  readonly note: string;
  /** Purposes that it is for; empty: those of the policy. */
  readonly purposes: readonly string[];
  /** The agreement it counters; empty when none. */
  readonly counters: string;
  /** Duties with their state, a line each. */
  readonly duties: readonly string[];
  /** The party that suspended it; empty when not suspended. */
  readonly suspendedBy: string;
  /** Who proposes these terms; the other side accepts. */
  readonly proposedBy: string;
  /** Parties whose signature over the countered offer accepts these terms, because they only narrow it. */
  readonly acceptedAhead: readonly string[];
  /** Where a counter-offer allows more than what it answers, term by term. */
  readonly widens: readonly string[];
  /** The agreed price plan, canonical JSON whose SHA-256 the content holds; empty when the policy's own prices hold. */
  readonly prices: string;
  /** Ids of open disputes. */
  readonly disputes: readonly string[];
}

/** A finding of a risk detector. */
export interface Alert {
  /** Its id. */
  readonly id: string;
  /** Party that it is about. */
  readonly party: string;
  /** Dataset that it is about; empty when it is about the party as a whole. */
  readonly dataset: string;
  /** Which detector: denial-burst, rule-hit, differencing-pattern, budget-burn, new-code, odd-hour. */
  readonly detector: string;
  /** low, medium or high. */
  readonly severity: string;
  /** What was counted: denials, questions, percent of a budget, the hour. */
  readonly count: bigint;
  /** When, milliseconds since the epoch. */
  readonly raisedAtMs: number;
  /** Whether nobody has acknowledged it. */
  readonly isOpen: boolean;
  /** none, pending, delivered or failed. */
  readonly delivery: string;
  /** Place of its entry in the log. */
  readonly logIndex: bigint;
}

/** Approval. */
export interface ApproveCodeRequest {
  /** The digest. */
  readonly digest: string;
  /** In which capacity. */
  readonly capacity: string;
  /** Why. */
  readonly note: string;
  /** Life of the approval in days; 0 means the server's default. */
  readonly days: number;
  /** Signature over the digest, the capacity and the days. */
  readonly signature: JwsSignature | null;
}

/** The code. */
export interface ApproveCodeResponse {
  /** As it is now. */
  readonly code: Code | null;
  /** Why the approval was not taken. */
  readonly reasons: readonly Reason[];
}

/** A document to attach. */
export interface AttachPolicyRequest {
  /** YAML or JSON. */
  readonly document: string;
  /** Name of the file, for complaints. */
  readonly fileName: string;
  /** The dataset; empty: the one that the document names. */
  readonly dataset: string;
  /** Signature of the provider over the canonical policy; absent when the runtime's own key signs. */
  readonly signature: JwsSignature | null;
}

/** The attached version or what is wrong. */
export interface AttachPolicyResponse {
  /** The policy; absent when refused. */
  readonly policy: Policy | null;
  /** Errors and warnings. */
  readonly complaints: readonly PolicyComplaint[];
  /** Why it was refused for other reasons than the document. */
  readonly reasons: readonly Reason[];
}

/** Nothing to say. */
export type BackupRequest = Readonly<Record<never, never>>;

/** Copied. */
export interface BackupResponse {
  /** The copy, from the root of the data directory. */
  readonly path: string;
  /** Entries of the evidence log that the copy holds at least. */
  readonly logSize: bigint;
}

/** A budget. */
export interface Budget {
  /** The dataset. */
  readonly dataset: string;
  /** The consumer. */
  readonly consumer: string;
  /** The rule it belongs to; empty: all rules, and with an empty consumer all consumers of the dataset. */
  readonly ruleId: string;
  /** Privacy loss committed, in micro-epsilon. */
  readonly microEpsilonSpent: bigint;
  /** Privacy loss set aside by running jobs. */
  readonly microEpsilonReserved: bigint;
  /** Privacy loss allowed; absent when there is no such limit. */
  readonly microEpsilonLimit: bigint | null;
  /** Uses committed within the period up to now. */
  readonly uses: bigint;
  /** Uses set aside by running jobs. */
  readonly usesReserved: bigint;
  /** Uses allowed per period; absent when not limited. */
  readonly usesLimit: bigint | null;
  /**
   * When the oldest use or loss that still counts is as old as the period and counts no more, milliseconds since the epoch;
   * absent when nothing counts, or without a period. Of a rule that counts both, whichever is first.
   */
  readonly periodEndsAtMs: number | null;
}

/** What one job took from one budget. */
export interface BudgetSpend {
  /** The dataset. */
  readonly dataset: string;
  /** Privacy loss in micro-epsilon. */
  readonly microEpsilon: bigint;
  /** Privacy loss that is left to this consumer; absent when the policy has no such budget. */
  readonly microEpsilonLeft: bigint | null;
  /** Uses counted. */
  readonly uses: bigint;
  /** Uses left; absent when uses are not limited. */
  readonly usesLeft: bigint | null;
  /** In explanations: privacy loss that was left before; absent when the policy has no such budget. */
  readonly microEpsilonBefore: bigint | null;
  /** In explanations: uses that were left before; absent when uses are not limited. */
  readonly usesBefore: bigint | null;
}

/** Names a job. */
export interface CancelJobRequest {
  /** The job. */
  readonly id: string;
}

/** The job. */
export interface CancelJobResponse {
  /** The job after the cancellation. */
  readonly job: Job | null;
}

/** How many cells may be withheld. Made of the policy and of synthetic rows; nothing of the data is in it. */
export interface CellForecast {
  /** Groups that the declared values of the keys make; absent when a key has no declared values. */
  readonly declaredGroups: bigint | null;
  /** Least number of units behind each cell. */
  readonly minUnits: bigint;
  /** Units that the data must have in the rows asked for, if they spread evenly, for every declared group to be told. */
  readonly unitsNeeded: bigint | null;
  /** Units of the synthetic twin that was looked at; 0: none was. */
  readonly twinUnits: bigint;
  /** Groups of the twin, without the filter. */
  readonly twinGroups: bigint;
  /** Groups of the twin that would be withheld. */
  readonly twinWithheld: bigint;
}

/** A point. */
export interface Centre {
  /** One number per output. */
  readonly coordinates: readonly number[];
}

/** Charges in one currency. */
export interface ChargeTotal {
  /** ISO 4217 code. */
  readonly currency: string;
  /** By the meter, millionths of the currency. */
  readonly meteredMicros: bigint;
  /** By the log, millionths of the currency. */
  readonly loggedMicros: bigint;
}

/** Nothing to say: everything is compared. */
export type CheckMeterRequest = Readonly<Record<never, never>>;

/** What the comparison found. */
export interface CheckMeterResponse {
  /** Whether meter and log say the same. */
  readonly isEqual: boolean;
  /** Usage events compared. */
  readonly events: bigint;
  /** Entries of the log that name a usage event. */
  readonly entries: bigint;
  /** Charges by currency, as meter and log add them up. */
  readonly totals: readonly ChargeTotal[];
  /** What differs, one sentence each, at most 100. */
  readonly differences: readonly string[];
  /** Size of the log that was read. */
  readonly logIndex: bigint;
}

/** A document to check. */
export interface CheckPolicyRequest {
  /** YAML or JSON. */
  readonly document: string;
  /** Name of the file, for complaints. */
  readonly fileName: string;
  /** The dataset; empty: the one that the document names. Its schema is used when the caller may know it. */
  readonly dataset: string;
}

/** What is wrong with it. */
export interface CheckPolicyResponse {
  /** Whether it could be attached. */
  readonly isValid: boolean;
  /** Errors and warnings, in order of place. */
  readonly complaints: readonly PolicyComplaint[];
  /** What it allows in words; empty when not valid. */
  readonly inWords: readonly string[];
}

/** A program to choose for. */
export interface ChooseParametersRequest {
  /** The program. */
  readonly program: HomomorphicProgram | null;
  /** Smallest value. */
  readonly low: number;
  /** Largest value. */
  readonly high: number;
  /** Digits after the point that matter. */
  readonly decimals: number;
  /** Number of rows. */
  readonly rows: bigint;
  /** Least security in bits; 0 means 128. */
  readonly securityBits: number;
}

/** The choice. */
export interface ChooseParametersResponse {
  /** The profile; empty when there is none. */
  readonly profile: string;
  /** Why this one, in words. */
  readonly explanation: readonly string[];
  /** Scheme: "bgv", "bfv", "ckks". */
  readonly scheme: string;
  /** Polynomial degree. */
  readonly degree: number;
  /** Security in bits. */
  readonly securityBits: number;
  /** Error bound for approximate schemes; 0 when exact. */
  readonly errorBound: number;
  /** Bytes of the uploads and the result. */
  readonly bytes: bigint;
  /** Why there is none. */
  readonly reasons: readonly Reason[];
}

/** End of an upload. */
export type CiphertextEnd = Readonly<Record<never, never>>;

/** What is uploaded. */
export interface CiphertextHeader {
  /** What it is. */
  readonly kind: CiphertextKind;
  /** Published parameter profile, e.g. "bgv-8192-a". */
  readonly profile: string;
  /** The dataset it belongs to; empty for consumer's own. */
  readonly dataset: string;
  /** The column it holds; only for columns. */
  readonly column: string;
  /** Values in it. */
  readonly values: bigint;
  /** Size in bytes. */
  readonly size: bigint;
  /** "sha256:…" of all bytes. */
  readonly digest: string;
  /** Continue an interrupted upload at this byte. */
  readonly offset: bigint;
  /** Digest of the public key it is encrypted under; empty for keys. */
  readonly keyDigest: string;
  /** For a column under another provider's key: what its owner lets it be used for. */
  readonly contribution: ContributionTerms | null;
}

/** A stored object. */
export interface CiphertextObject {
  /** "sha256:…". */
  readonly digest: string;
  /** What it is. */
  readonly kind: CiphertextKind;
  /** The profile. */
  readonly profile: string;
  /** The dataset; empty for consumer's own. */
  readonly dataset: string;
  /** The column. */
  readonly column: string;
  /** Values in it. */
  readonly values: bigint;
  /** Bytes. */
  readonly size: bigint;
  /** When it was stored, milliseconds since the epoch. */
  readonly storedAtMs: number;
  /** Whether it is revoked. */
  readonly isRevoked: boolean;
  /** The party that uploaded it. */
  readonly owner: string;
}

/** Where a clause was written. */
export interface ClauseOrigin {
  /** The file that was attached; empty when the reason names no clause of a policy. */
  readonly fileName: string;
  /** Line in it, 1-based. */
  readonly line: number;
  /** Column, 1-based. */
  readonly column: number;
  /** Path in the document, e.g. "columns.cost". */
  readonly path: string;
}

/** Code. */
export interface Code {
  /** "sha256:…" of the bundle. */
  readonly digest: string;
  /** Name that versions share. */
  readonly name: string;
  /** Where it is in its life. */
  readonly state: CodeState;
  /** The party that submitted it. */
  readonly submitter: string;
  /** When, milliseconds since the epoch. */
  readonly submittedAtMs: number;
  /** Who said what. */
  readonly verdicts: readonly CodeVerdict[];
  /** When the approval ends; absent when it does not. */
  readonly expiresAtMs: number | null;
  /** The dataset it is for. */
  readonly dataset: string;
  /** The source; only in Review. */
  readonly source: string;
  /** What it returns. */
  readonly outputs: readonly ResultColumn[];
  /** The whole program; only in Review. */
  readonly program: JavaScriptProgram | null;
}

/** A column that an `approved` program returns. */
export interface CodeColumn {
  /** Name of the column. */
  readonly name: string;
  /** "float64", "int32", "boolean" or "text". */
  readonly kind: string;
  /** UTF-8 bytes of one text at most; 0 means 64. */
  readonly maxBytes: number;
}

/** A reviewer's word. */
export interface CodeVerdict {
  /** The reviewer. */
  readonly reviewer: string;
  /** In which capacity, e.g. "owner", "dpo". */
  readonly capacity: string;
  /** Whether the reviewer approves. */
  readonly approves: boolean;
  /** Why. */
  readonly note: string;
  /** When, milliseconds since the epoch. */
  readonly atMs: number;
}

/** The error to expect of a noisy column. */
export interface ColumnError {
  /** Name of the column. */
  readonly column: string;
  /** Half width of the interval. */
  readonly halfWidth: number;
  /** Probability that the true value lies within. */
  readonly confidence: number;
  /** Ends of the interval of each released row, in the order of rows; empty in predictions, and for very large results. */
  readonly low: readonly number[];
  /** The upper ends. */
  readonly high: readonly number[];
  /** Standard deviation of the noise of each released row. */
  readonly noiseScale: readonly number[];
}

/** A table that a consumer brought. */
export interface ConsumerTable {
  /** SQL name; also known as `my.<name>`. */
  readonly name: string;
  /** Its columns. */
  readonly columns: readonly ConsumerTableColumn[];
  /** Number of rows. */
  readonly rowCount: bigint;
  /** Bytes that it takes of the caller's quota. */
  readonly bytes: bigint;
  /** "sha256:…" of the stored table: what evidence names. */
  readonly digest: string;
  /** When it was uploaded, milliseconds since the epoch. */
  readonly uploadedAtMs: number;
  /** When it is deleted, milliseconds since the epoch. */
  readonly expiresAtMs: number;
}

/** A column of such a table. */
export interface ConsumerTableColumn {
  /** Name. */
  readonly name: string;
  /** SQL type. */
  readonly type: string;
  /** Whether no value stands in it twice: such a column can be joined on. */
  readonly isKey: boolean;
}

/** What the owner of a column allows when it is encrypted under another provider's key. */
export interface ContributionTerms {
  /** Programs that may read it, by name. */
  readonly programs: readonly string[];
  /** Fewest privacy units of it that any released number may rest on. */
  readonly minUnits: number;
  /** "sha256:…" of the unit tags of its rows, uploaded before by the same party. */
  readonly unitTags: string;
}

/** Other terms. */
export interface CounterAgreementRequest {
  /** The agreement that is countered. */
  readonly id: string;
  /** The policy document wanted instead; empty: the same. */
  readonly policyDocument: string;
  /** Another start; absent: the same. */
  readonly notBeforeMs: number | null;
  /** Another end; absent: the same. */
  readonly notAfterMs: number | null;
  /** Other purposes; empty: the same. */
  readonly purposes: readonly string[];
}

/** The counter-offer. */
export interface CounterAgreementResponse {
  /** The new agreement with the content to sign. */
  readonly agreement: Agreement | null;
  /** Whether the terms refine the offer, so that it is accepted automatically. */
  readonly refines: boolean;
  /** Where they do not refine it, term by term. */
  readonly reasons: readonly Reason[];
}

/** A dataset as its readers may see it. */
export interface Dataset {
  /** Name, e.g. "hospital/visits". */
  readonly name: string;
  /** Version, counted from 1. */
  readonly version: number;
  /** A sentence for people. */
  readonly description: string;
  /** The party that registered it. */
  readonly provider: string;
  /** How sensitive it is. */
  readonly grade: Grade;
  /** "sha256:…" over the digests of its tables and random bytes of this version: nobody can guess rows until it fits. */
  readonly digest: string;
  /** When it was registered, milliseconds since the epoch. */
  readonly registeredAtMs: number;
  /** Its tables. */
  readonly tables: readonly DatasetTable[];
  /** Version of the attached policy; 0 when none. */
  readonly policyVersion: number;
  /** Digest of the attached policy; empty when none. */
  readonly policyDigest: string;
  /** What registration noticed, for the provider only. */
  readonly findings: readonly string[];
  /** The grade that registration proposes, for the provider only. */
  readonly proposedGrade: Grade;
  /** Whether its provider confirmed the grade, having been shown the proposal. */
  readonly isGradeConfirmed: boolean;
  /** What rules have to say at least so that the dataset can be offered, for the provider only. */
  readonly gradeRules: readonly string[];
  /** Who keeps it for its provider, for its provider and its custodian only; empty: nobody. */
  readonly custodian: string;
}

/** A column. */
export interface DatasetColumn {
  /** Name. */
  readonly name: string;
  /** SQL type. */
  readonly type: string;
  /** Whether values may be missing. */
  readonly nullable: boolean;
  /** What the policy lets the reader do with it. */
  readonly rights: readonly string[];
  /** Suggested grade at registration, for the provider only. */
  readonly suggestedGrade: Grade;
  /** What recognition found, e.g. "e-mail"; for the provider only. */
  readonly recognisedAs: string;
}

/** A table. */
export interface DatasetTable {
  /** SQL name. */
  readonly name: string;
  /** Columns that the reader may know of. */
  readonly columns: readonly DatasetColumn[];
  /** Rows; absent for readers who may not know. */
  readonly rowCount: bigint | null;
  /** "sha256:…" of its files of record; empty for readers who may not know. */
  readonly digest: string;
  /** Privacy unit columns; empty when there is no policy or the table is public. */
  readonly privacyUnit: readonly string[];
  /** Bytes stored; absent for readers who may not know. */
  readonly bytes: bigint | null;
}

/** Whether a dataset is what was registered. */
export interface DatasetVerdict {
  /** Whether every byte is as registered. */
  readonly isIntact: boolean;
  /** What differs. */
  readonly reasons: readonly Reason[];
  /** Bytes read. */
  readonly bytes: bigint;
}

/** Asks for a run on synthetic data. */
export interface DebugJobRequest {
  /** The program. */
  readonly program: JavaScriptProgram | null;
  /** The agreements whose datasets it may read; empty when the caller has exactly one. */
  readonly agreementIds: readonly string[];
  /** Rows of the twin; 0 means 1000. */
  readonly rows: number;
  /** Makes the same twin again. */
  readonly seed: number;
}

/** What the program did on synthetic data. */
export interface DebugJobResponse {
  /** What it wrote to the console, line by line. */
  readonly console: readonly string[];
  /** What it returned, as JSON; empty when it threw. */
  readonly result: string;
  /** The error with its stack; empty when it returned. */
  readonly error: string;
  /** Why it was not run. */
  readonly reasons: readonly Reason[];
}

/** One number that a program returns. */
export interface DeclaredOutput {
  /** Name of the result column. */
  readonly name: string;
  /** Smaller values are clamped to it. */
  readonly low: number;
  /** Larger values are clamped to it. */
  readonly high: number;
  /** Used when a block fails. */
  readonly defaultValue: number;
  /** Bin edges, ascending, for the histogram reducer. */
  readonly bins: readonly number[];
  /** Numbers are rounded to multiples of it; 0 means a fine one that fits the range. */
  readonly step: number;
  /** Whether `default_value` is declared; if not, the middle of the range is used. */
  readonly hasDefault: boolean;
}

/** Part of a request to a decryptor: the transcript, then the result. */
export interface DecryptRequest {
  /** The part. */
  readonly part:
    /** First. */
    | { readonly kind: 'transcript'; readonly transcript: SignedTranscript }
    /** Bytes of the result, at most 1 MiB each. */
    | { readonly kind: 'chunk'; readonly chunk: Uint8Array }
    | null;
}

/** What a decryptor answers. */
export interface DecryptResponse {
  /** Whether scalars are released; a refusal says nothing more. */
  readonly isReleased: boolean;
  /** The scalars that the program declares. */
  readonly scalars: readonly DecryptedScalar[];
  /** Groups that were kept back because too few units stand behind them. */
  readonly withheld: number;
}

/** One number. */
export interface DecryptedScalar {
  /** Name, e.g. "mean". */
  readonly name: string;
  /** Public group or category; empty for the whole. */
  readonly group: string;
  /** The number. */
  readonly number: number;
  /** Its exact decimal text; empty when it is rounded or approximate. */
  readonly exact: string;
  /** Bound of its absolute error; 0 when exact. */
  readonly errorBound: number;
}

/** Two policies of one dataset. */
export interface DiffPolicyRequest {
  /** The policy as it is. */
  readonly before: PolicyRef | null;
  /** The policy as it may become. */
  readonly after: PolicyRef | null;
  /** Also decide the jobs on record again. Only the provider of the dataset, operators and auditors. */
  readonly withJobs: boolean;
}

/** How two policies differ. */
export interface DiffPolicyResponse {
  /** Terms that differ, in the order of the document. */
  readonly terms: readonly TermDifference[];
  /** Jobs on record that would be decided otherwise, newest first. */
  readonly jobs: readonly JobDifference[];
  /** Jobs on record that were decided again. */
  readonly replayed: number;
  /** Jobs on record of which too little is kept to decide them again. */
  readonly notReplayed: number;
  /** What is wrong with a document; then nothing was compared. */
  readonly complaints: readonly PolicyComplaint[];
}

/** An objection. */
export interface Dispute {
  /** Name of the dispute. */
  readonly id: string;
  /** The agreement. */
  readonly agreementId: string;
  /** The job it is about; empty when about the agreement as a whole. */
  readonly jobId: string;
  /** Who opened it. */
  readonly openedBy: string;
  /** What is objected to, in the words of who opened it. Never in the log: only its digest is. */
  readonly text: string;
  /** Whether jobs under the agreement are refused meanwhile. */
  readonly holdsJobs: boolean;
  /** Whether it is open. */
  readonly isOpen: boolean;
  /** When it was opened, milliseconds since the epoch. */
  readonly openedAtMs: number;
  /** When it was resolved, milliseconds since the epoch; absent while open. */
  readonly resolvedAtMs: number | null;
  /** Who resolved it; empty while open. */
  readonly resolvedBy: string;
  /** How it was resolved, in words; empty while open. */
  readonly resolution: string;
}

/** Drain. */
export interface DrainRequest {
  /** Running jobs are failed after this many milliseconds; 0 means the server's default. */
  readonly deadlineMs: number;
}

/** Draining. */
export interface DrainResponse {
  /** Jobs that are still running. */
  readonly runningJobs: number;
}

/** One column that an encrypted query meets. */
export interface EncryptedQueryColumn {
  /** Its name. */
  readonly column: string;
  /** Its values are integers: the plain value times ten to the power of this. */
  readonly decimals: number;
  /** Smallest integer it can hold. */
  readonly low: bigint;
  /** Largest integer it can hold. */
  readonly high: bigint;
}

/** What a consumer has to know to encrypt a query that fits: public facts, nothing about values. */
export interface EncryptedQueryShape {
  /** Rows to encrypt for: at least as many as there are, rounded up so that nobody learns how many. */
  readonly rows: bigint;
  /** The columns, in the program's order. */
  readonly columns: readonly EncryptedQueryColumn[];
}

/** Names a party that has exited. */
export interface ErasePartyRequest {
  /** The party. */
  readonly name: string;
  /** Why, for the record here; never in the log. */
  readonly note: string;
}

/** What is left of it. */
export interface ErasePartyResponse {
  /** Its name, which stays taken, and what it was allowed to do. */
  readonly party: Party | null;
  /** Alerts about it that were removed. */
  readonly removedAlerts: number;
  /** It was admitted before parties had salts of their own: whoever has the runtime's shared key can still tell its entries. */
  readonly isShared: boolean;
}

/** Machine-readable detail of a failed call. */
export interface ErrorDetail {
  /** A stable code of docs/errors.md, e.g. "party-suspended". */
  readonly code: string;
  /** Reasons, when the call was denied. */
  readonly reasons: readonly Reason[];
  /** Whether the same call may succeed later without a change. */
  readonly isRetryable: boolean;
  /** When to try again, milliseconds from now; 0 when not known. */
  readonly retryAfterMs: number;
  /** Names the entry in the operator's log; says nothing else. */
  readonly incident: string;
}

/** One entry. */
export interface EvidenceEntry {
  /** Position in the log. */
  readonly index: bigint;
  /** Kind of statement, e.g. "decision", "release", "agreement", "policy". */
  readonly kind: string;
  /** When it was recorded, milliseconds since the epoch. */
  readonly recordedAtMs: number;
  /** The job; empty when none. */
  readonly jobId: string;
  /** The entry as it is in the log (in-toto Statement v1, canonical JSON); the signed root covers it. */
  readonly body: Uint8Array;
  /** Leaf hash, lower-case hex. */
  readonly leafHash: string;
}

/** Names a party. */
export interface ExitPartyRequest {
  /** The party; empty means the caller. */
  readonly name: string;
  /** Why. */
  readonly note: string;
}

/** The party. */
export interface ExitPartyResponse {
  /** As it is now. */
  readonly party: Party | null;
  /** Jobs that were stopped. */
  readonly stoppedJobs: number;
  /** Agreements that ended. */
  readonly endedAgreements: number;
}

/** Asks what would happen. */
export interface ExplainJobRequest {
  /** What would be computed. */
  readonly job: JobRequest | null;
}

/** What would happen. */
export interface ExplainJobResponse {
  /** Whether the job would be admitted now. */
  readonly wouldRun: boolean;
  /** Why not; empty when it would run. */
  readonly reasons: readonly Reason[];
  /** The rules in force after the strictest of all policies, in words, e.g. "at least 10 patients behind every cell". */
  readonly rules: readonly string[];
  /** The enforced form of the computation in words, step by step. */
  readonly enforced: readonly string[];
  /** The guarantee of the release in a sentence. */
  readonly guarantee: string;
  /** Errors to expect of noisy columns. */
  readonly errors: readonly ColumnError[];
  /** What is expected to be suppressed, in words; empty when nothing is predicted. */
  readonly suppression: string;
  /** What the job would take from budgets. */
  readonly budget: readonly BudgetSpend[];
  /** Price in minor units times 10⁶; absent when there is none. */
  readonly priceMicros: bigint | null;
  /** ISO 4217 code of the price. */
  readonly currency: string;
  /** A computation that would be allowed instead, as text; empty when there is none. */
  readonly repaired: string;
  /** The rule that would be used. */
  readonly ruleId: string;
  /** The mode of that rule. */
  readonly mode: Mode;
  /** Columns of the result. */
  readonly columns: readonly ResultColumn[];
  /** Diagnostics of the caller's own code, which never depend on rows. */
  readonly diagnostics: readonly Reason[];
  /** The isolation level the job would run at. */
  readonly isolation: IsolationLevel;
  /** Datasets it would touch. */
  readonly datasets: readonly string[];
  /** What an encrypted query has to fit; only for programs that take one. */
  readonly queryShape: EncryptedQueryShape | null;
  /** The enforced form of a query in SQL: what the runtime would run, as somebody writes it who knows the policy alone. Empty for other computations. */
  readonly enforcedSql: string;
  /** Where the rules in force were written, one for each agreement that the job would use. */
  readonly origins: readonly RuleOrigin[];
  /** For each of `reasons`, in order, where the clause that decided stands in the policy. */
  readonly clauseOrigins: readonly ClauseOrigin[];
  /** What was changed to make `repaired`, in words and in order. */
  readonly repairs: readonly string[];
  /** What may be withheld, from the policy's own numbers and synthetic rows; absent when nothing can be said. */
  readonly forecast: CellForecast | null;
}

/** Names a policy and whom it is explained to. */
export interface ExplainPolicyRequest {
  /** The dataset. */
  readonly dataset: string;
  /** Version; 0 means the newest. */
  readonly version: number;
  /** Explain it as this consumer would meet it; empty: the caller when it is a consumer, else everybody. */
  readonly consumer: string;
}

/** A policy in words. */
export interface ExplainPolicyResponse {
  /** The dataset. */
  readonly dataset: string;
  /** Version. */
  readonly version: number;
  /** What the policy protects, one sentence a line. */
  readonly summary: readonly string[];
  /** What may be done with each column. */
  readonly columns: readonly ExplainedColumn[];
  /** The rules, one sentence each. */
  readonly rules: readonly string[];
  /** What is never allowed, one sentence each. */
  readonly never: readonly string[];
  /** Duties, one sentence each. */
  readonly duties: readonly string[];
  /** Questions that the policy lets be asked, as SQL. */
  readonly examples: readonly string[];
}

/** A column in words. */
export interface ExplainedColumn {
  /** The table; empty when the dataset has one table. */
  readonly table: string;
  /** The column. */
  readonly column: string;
  /** What may be asked. */
  readonly may: readonly string[];
  /** What may not. */
  readonly mayNot: readonly string[];
}

/** What to export. */
export interface ExportEvidenceRequest {
  /** First index. */
  readonly start: bigint;
  /** End, exclusive; 0 means the newest checkpoint. */
  readonly end: bigint;
}

/** Part of the archive. */
export interface ExportEvidenceResponse {
  /** Bytes. */
  readonly chunk: Uint8Array;
}

/** Names a column that was contributed to a dataset of the caller. */
export interface FetchCiphertextRequest {
  /** "sha256:…". */
  readonly digest: string;
}

/** Part of the column. */
export interface FetchCiphertextResponse {
  /** At most 1 MiB. */
  readonly chunk: Uint8Array;
}

/** Names a duty. */
export interface FulfilDutyRequest {
  /** The agreement. */
  readonly id: string;
  /** The duty, as `duties` names it. */
  readonly duty: string;
}

/** The agreement. */
export interface FulfilDutyResponse {
  /** As it is now. */
  readonly agreement: Agreement | null;
}

/** Names an agreement. */
export interface GetAgreementRequest {
  /** The agreement. */
  readonly id: string;
}

/** The agreement. */
export interface GetAgreementResponse {
  /** As it is now. */
  readonly agreement: Agreement | null;
}

/** Names a budget. */
export interface GetBudgetRequest {
  /** The dataset. */
  readonly dataset: string;
  /** The consumer; empty means the caller. */
  readonly consumer: string;
}

/** The budgets of that dataset and consumer, one per rule that has one. */
export interface GetBudgetResponse {
  /** The budgets. */
  readonly budgets: readonly Budget[];
}

/** Nothing to say. */
export type GetCheckpointRequest = Readonly<Record<never, never>>;

/** The checkpoint. */
export interface GetCheckpointResponse {
  /** Signed note (C2SP signed-note, tlog-checkpoint). */
  readonly checkpoint: string;
  /** Verifier key in the form of signed notes: "name+hash+key". */
  readonly verifierKey: string;
  /** Entries in the log. */
  readonly treeSize: bigint;
  /** Root hash, lower-case hex. */
  readonly rootHash: string;
}

/** Names a dataset. */
export interface GetDatasetRequest {
  /** Name. */
  readonly name: string;
  /** Version; 0 means the newest. */
  readonly version: number;
}

/** The dataset. */
export interface GetDatasetResponse {
  /** The dataset. */
  readonly dataset: Dataset | null;
}

/** Nothing to say. */
export type GetExportListRequest = Readonly<Record<never, never>>;

/** The list in force. */
export interface GetExportListResponse {
  /** Its version. */
  readonly version: number;
  /** SHA-256 of the document, hex. */
  readonly digest: string;
  /** As it was given. */
  readonly document: string;
}

/** Names an image. */
export interface GetImageRequest {
  /** The image. */
  readonly name: string;
}

/** The image. */
export interface GetImageResponse {
  /** The image. */
  readonly image: Image | null;
}

/** Names a job. */
export interface GetJobRequest {
  /** The job. */
  readonly id: string;
}

/** The job. */
export interface GetJobResponse {
  /** The job as it is now. */
  readonly job: Job | null;
}

/** Names a policy. */
export interface GetPolicyRequest {
  /** The dataset. */
  readonly dataset: string;
  /** Version; 0 means the newest. */
  readonly version: number;
  /** Answer as "yaml" (default), "odrl" or "dsp" (offer of the Dataspace Protocol 2025-1). */
  readonly format: string;
}

/** The policy. */
export interface GetPolicyResponse {
  /** The policy. */
  readonly policy: Policy | null;
  /** The ODRL form as JSON-LD, or the offer of the Dataspace Protocol as JSON, when asked for. */
  readonly odrl: string;
}

/** Names a receipt. */
export interface GetReceiptRequest {
  /**
   * Empty: the receipt. "dsse": the entry as an in-toto statement in a DSSE envelope, signed with the log's key, for
   * tools that know no transparency logs. "sigstore": that envelope in a Sigstore bundle.
   */
  readonly form: string;
  /** What. */
  readonly of:
    /** The job: its last receipt. */
    | { readonly kind: 'jobId'; readonly jobId: string }
    /** The position in the log. */
    | { readonly kind: 'logIndex'; readonly logIndex: bigint }
    | null;
}

/** The receipt. */
export interface GetReceiptResponse {
  /** The receipt. */
  readonly receipt: Receipt | null;
}

/** Nothing to say. */
export type GetTranscriptKeyRequest = Readonly<Record<never, never>>;

/** The key. */
export interface GetTranscriptKeyResponse {
  /** Ed25519 public key, 32 raw bytes, base64url. */
  readonly publicKey: string;
}

/** Names an upload. */
export interface GetUploadRequest {
  /** "sha256:…" of the whole object. */
  readonly digest: string;
}

/** How far it is. */
export interface GetUploadResponse {
  /** Bytes stored. */
  readonly stored: bigint;
  /** Whether it is complete and checked. */
  readonly isComplete: boolean;
}

/** A person's word for a grade. */
export interface GradeDatasetRequest {
  /** The dataset. */
  readonly name: string;
  /** Its grade. */
  readonly grade: Grade;
  /** Why; needed for a grade below the proposed one. Kept with the dataset, never in the log. */
  readonly note: string;
}

/** The graded dataset. */
export interface GradeDatasetResponse {
  /** The dataset. */
  readonly dataset: Dataset | null;
  /** Agreements under which nothing can be used from now on, since their rules are not strict enough. */
  readonly blockedAgreements: readonly string[];
  /** Running jobs that were stopped. */
  readonly stoppedJobs: number;
}

/** An order to enlarge a budget. */
export interface GrantBudgetRequest {
  /** The signed order: canonical JSON {amount, atMs, budget, by, id, type}. */
  readonly order: string;
  /** Ed25519 signature over the order by the provider's key, base64url. */
  readonly signature: string;
  /** The dataset. */
  readonly dataset: string;
  /** Whose budget; empty: of all consumers together. */
  readonly consumer: string;
  /** The mode whose budget it is, "differentialPrivacy" or "sandbox"; empty with an empty consumer. */
  readonly mode: string;
  /** What is enlarged. */
  readonly kind: string;
}

/** What the budget is now. */
export interface GrantBudgetResponse {
  /** The name of the budget. */
  readonly budget: string;
  /** All that was ever added to it, in its whole units. */
  readonly toppedUp: bigint;
}

/** A mandate with its signature. */
export interface GrantMandateRequest {
  /** Canonical JSON: type, id, authority, principal, delegate, agreements, notBeforeMs, notAfterMs. */
  readonly content: string;
  /** Signature of the principal over it. */
  readonly signature: JwsSignature | null;
}

/** The mandate. */
export interface GrantMandateResponse {
  /** As it is now. */
  readonly mandate: Mandate | null;
}

/** A declared key of a group. */
export interface GroupKey {
  /** The key. */
  readonly key:
    /** A text. */
    | { readonly kind: 'text'; readonly text: string }
    /** A number. */
    | { readonly kind: 'number'; readonly number: number }
    /** A truth value. */
    | { readonly kind: 'boolean'; readonly boolean: boolean }
    | null;
}

/** A declarative program on ciphertext; see HomomorphicService.Run for the same message. */
export interface HomomorphicProgram {
  /** Name of the closed set: "sum", "mean", "variance", "dot", "linear", "logistic", "groupSums", "countEqual", … */
  readonly name: string;
  /** The dataset computed on. */
  readonly dataset: string;
  /** The columns, in the program's order. */
  readonly columns: readonly string[];
  /** Digests of uploaded ciphertexts, keys or encrypted queries it reads, "sha256:…". */
  readonly inputs: readonly string[];
  /** Named numbers of the program (weights, thresholds). */
  readonly parameters: Readonly<Record<string, number>>;
  /** Weights in the order of the columns. */
  readonly weights: readonly number[];
  /** Group column, where the program has one. */
  readonly groupColumn: string;
}

/** An image. */
export interface Image {
  /** Name, e.g. "javascript". */
  readonly name: string;
  /** "sha256:…" of the manifest, which holds the digest of every file. */
  readonly digest: string;
  /** Kind of runtime: "sql", "javascript", "homomorphic". */
  readonly runtime: string;
  /** Version of the image. */
  readonly version: string;
  /** Methods it can run. */
  readonly methods: readonly string[];
  /** Libraries it holds, "name@version". */
  readonly libraries: readonly string[];
  /** Least isolation level. */
  readonly minimumIsolation: IsolationLevel;
  /** The manifest as JSON. */
  readonly manifest: string;
  /** Whether every file is as the manifest says. */
  readonly isIntact: boolean;
}

/** Work in rounds under one budget: each round's noisy sums make the numbers of the next. */
export interface IterationPlan {
  /** "kMeans", "linearRegression" or "logisticRegression". */
  readonly algorithm: string;
  /** How many rounds. */
  readonly rounds: number;
  /** The centres that k-means starts from. */
  readonly centres: readonly Centre[];
  /** The weights that a regression starts from, bias first; empty means zeros. */
  readonly weights: readonly number[];
  /** Length to which the gradient of one row is clipped. */
  readonly clip: number;
  /** Step along the mean gradient. */
  readonly rate: number;
}

/** A program for the sandbox image `javascript`. */
export interface JavaScriptProgram {
  /** The module text, JavaScript or TypeScript. Empty when `code_digest` names approved code. */
  readonly source: string;
  /** Whether `source` is TypeScript. */
  readonly isTypeScript: boolean;
  /** How the code meets the data. */
  readonly method: SandboxMethod;
  /** The table it reads, as SQL would name it. */
  readonly table: string;
  /** Columns it reads. */
  readonly columns: readonly string[];
  /** Numbers it returns, with declared ranges. */
  readonly outputs: readonly DeclaredOutput[];
  /** Trusted reducer over rows or blocks: "sum", "mean", "variance", "histogram", "covariance", "gradient", "median". */
  readonly reducer: string;
  /** Number of blocks; 0 means recommended. */
  readonly blocks: number;
  /** Rounds under one budget; 0 means 1. */
  readonly rounds: number;
  /** Digest of approved code, "sha256:…". */
  readonly codeDigest: string;
  /** The sandbox image; empty means "javascript". */
  readonly image: string;
  /** Named numbers given to the program. */
  readonly parameters: Readonly<Record<string, number>>;
  /** Jobs whose released results a `post` program reads. */
  readonly inputJobIds: readonly string[];
  /** Libraries of the image that the program uses, by name; none for a row function. */
  readonly libraries: readonly string[];
  /** Rows are computed for each declared key of this column; empty: all rows together. */
  readonly groupColumn: string;
  /** The declared keys, in the order of the result; every one of them is in the result, also when no row has it. */
  readonly groupKeys: readonly GroupKey[];
  /** Columns of the table that an `approved` program returns. */
  readonly result: readonly CodeColumn[];
  /** Rows that an `approved` program may return per key; 0 means 1. */
  readonly maxRowsPerGroup: number;
  /** Time of one block, or of the whole `approved` or `post` program, milliseconds; 0 means the default. */
  readonly timeoutMs: number;
  /** Rounds of noisy sums instead of one; takes the place of `reducer` and `rounds`. */
  readonly iterate: IterationPlan | null;
  /** Privacy loss to spend, in 10⁻⁶ of epsilon; 0 means all that the rule allows for one job. */
  readonly microEpsilon: bigint;
}

/** Everything about one job that its consumer may know. */
export interface Job {
  /** Name of the job. */
  readonly id: string;
  /** Where it is in its life. */
  readonly state: JobState;
  /** The party that submitted it. */
  readonly consumer: string;
  /** Datasets it touches, "name@version". */
  readonly datasets: readonly string[];
  /** The agreements it runs under. */
  readonly agreementIds: readonly string[];
  /** The rule in use. */
  readonly ruleId: string;
  /** The mode of that rule. */
  readonly mode: Mode;
  /** The declared purpose. */
  readonly purpose: string;
  /** When it was taken in, milliseconds since the epoch. */
  readonly submittedAtMs: number;
  /** When it ended, rounded up to the slot in which its answer left; absent while it runs. */
  readonly endedAtMs: number | null;
  /** Why it was denied, withheld, stopped or failed; empty otherwise. */
  readonly reasons: readonly Reason[];
  /** What was kept back; absent when the job has not reached the gate. */
  readonly withheld: Withheld | null;
  /** The evidence; absent until recorded. */
  readonly receipt: Receipt | null;
  /** What it used; absent until recorded. */
  readonly meter: JobMeter | null;
  /** What it took from budgets. */
  readonly budget: readonly BudgetSpend[];
  /** How workers were kept apart. */
  readonly isolation: IsolationLevel;
  /** The guarantee of the release in a sentence. */
  readonly guarantee: string;
  /** Fetches the result once, by this party, over Arrow Flight `DoGet`; absent when nothing is to be fetched. */
  readonly ticket: Uint8Array | null;
  /** Until when the ticket is good, milliseconds since the epoch. */
  readonly ticketExpiresAtMs: number | null;
  /** Columns of the result; empty until known. */
  readonly columns: readonly ResultColumn[];
  /** Rows released; absent until released. */
  readonly rowCount: bigint | null;
  /** Bytes of the released result; absent until released. */
  readonly resultBytes: bigint | null;
  /** Where it is in the pipeline. */
  readonly progress: Progress | null;
  /** Digest of the canonical computation, "sha256:…". */
  readonly computationDigest: string;
  /** Digest of the sandbox image, "sha256:…". */
  readonly imageDigest: string;
  /** Intervals of released noisy numbers; empty for exact results. */
  readonly errors: readonly ColumnError[];
  /** Open disputes about it or its agreements. */
  readonly disputes: readonly string[];
  /** Who submitted it for `consumer` under a mandate; empty when the consumer did. */
  readonly submittedBy: string;
  /**
   * For the consumer itself: SHA-256 over the FlightData messages of the result, one after the other, 64 hexadecimal digits.
   * The log names SHA-256 over `result_salt` and these digits, so that nobody who reads it can try what a result was, and
   * its consumer can show it. Empty until released, and in records of earlier versions.
   */
  readonly resultDigest: string;
  /** 32 random bytes. */
  readonly resultSalt: Uint8Array;
}

/** A job that would be decided otherwise. */
export interface JobDifference {
  /** The job. */
  readonly jobId: string;
  /** Who asked. */
  readonly consumer: string;
  /** Whether the first policy permits it. */
  readonly wasPermitted: boolean;
  /** Whether the second policy permits it. */
  readonly isPermitted: boolean;
  /** Why the policy that denies it does. */
  readonly reasons: readonly Reason[];
}

/** What a job used. Measured so that it tells nothing about rows. */
export interface JobMeter {
  /** Rows of the tables scanned, as coarse as bills tell them; 0 where noise hides their number. */
  readonly rowsScanned: bigint;
  /** Cells released. */
  readonly cellsReleased: bigint;
  /** Bytes released. */
  readonly bytesReleased: bigint;
  /** Milliseconds of wall clock, rounded up to the metering step. */
  readonly elapsedMs: number;
  /** Operations on ciphertext: blocks that the steps of the program take in, each as often as a step does. */
  readonly ciphertextOperations: bigint;
  /** Charge in minor units of the currency times 10⁶; absent when there is no price. */
  readonly chargeMicros: bigint | null;
  /** ISO 4217 code of the charge. */
  readonly currency: string;
}

/** What to compute and under what. */
export interface JobRequest {
  /** The agreements the job runs under, one per dataset touched; empty when the caller has exactly one active agreement. */
  readonly agreementIds: readonly string[];
  /** The `allow` rule to use; empty when only one rule matches. */
  readonly ruleId: string;
  /** What the result is for, a term of the policy's purposes; empty when the policy demands none. */
  readonly purpose: string;
  /**
   * Repeating a request with the same key gives the same job and costs nothing; empty means never the same. At most 128 characters.
   * Another request with the same key is refused; only the deadline may differ.
   */
  readonly idempotencyKey: string;
  /** The job is stopped this many milliseconds after it was taken in; 0 means the server's limit. */
  readonly deadlineMs: number;
  /** A project of the caller (or of who gave the mandate) instead of `agreement_ids`; empty: none. */
  readonly project: string;
  /** A mandate under which the caller acts for somebody else, whose job it is and who gets the result; empty: for itself. */
  readonly mandateId: string;
  /** The computation. */
  readonly computation:
    /** SQL text over the datasets of the agreements. */
    | { readonly kind: 'sql'; readonly sql: SqlQuery }
    /** JavaScript or TypeScript in the jail. */
    | { readonly kind: 'javascript'; readonly javascript: JavaScriptProgram }
    /** A declared program on ciphertext. */
    | { readonly kind: 'homomorphic'; readonly homomorphic: HomomorphicProgram }
    | null;
}

/** One signature in the form of an entry of a JWS General JSON serialisation (RFC 7515 §7.2.1). */
export interface JwsSignature {
  /** Base64url of the protected header, which names the algorithm and the key. */
  readonly protectedHeader: string;
  /** Base64url of the signature over `protected_header "." base64url(payload)`. */
  readonly signature: string;
}

/** Which agreements. */
export interface ListAgreementsRequest {
  /** The page. */
  readonly page: Page | null;
  /** Only these states; empty means all. */
  readonly states: readonly AgreementState[];
  /** Only of this dataset; empty means all. */
  readonly dataset: string;
}

/** Agreements. */
export interface ListAgreementsResponse {
  /** The agreements, newest first. */
  readonly agreements: readonly Agreement[];
  /** Token of the next page; empty at the end. */
  readonly nextPageToken: string;
}

/** Which alerts. */
export interface ListAlertsRequest {
  /** Only those that nobody has acknowledged. */
  readonly openOnly: boolean;
}

/** Alerts. */
export interface ListAlertsResponse {
  /** At most 1000. */
  readonly alerts: readonly Alert[];
}

/** Which budgets. */
export interface ListBudgetsRequest {
  /** The page. */
  readonly page: Page | null;
}

/** Budgets. */
export interface ListBudgetsResponse {
  /** By dataset and consumer. */
  readonly budgets: readonly Budget[];
  /** Token of the next page; empty at the end. */
  readonly nextPageToken: string;
}

/** Which objects. */
export interface ListCiphertextsRequest {
  /** The page. */
  readonly page: Page | null;
  /** Only of this dataset; empty means all. */
  readonly dataset: string;
}

/** Objects. */
export interface ListCiphertextsResponse {
  /** Newest first. */
  readonly objects: readonly CiphertextObject[];
  /** Token of the next page; empty at the end. */
  readonly nextPageToken: string;
}

/** Which code. */
export interface ListCodeRequest {
  /** The page. */
  readonly page: Page | null;
  /** Only these states; empty means all. */
  readonly states: readonly CodeState[];
}

/** Code. */
export interface ListCodeResponse {
  /** Newest first, without sources. */
  readonly codes: readonly Code[];
  /** Token of the next page; empty at the end. */
  readonly nextPageToken: string;
}

/** Which datasets. */
export interface ListDatasetsRequest {
  /** The page. */
  readonly page: Page | null;
}

/** Datasets. */
export interface ListDatasetsResponse {
  /** The datasets, by name. */
  readonly datasets: readonly Dataset[];
  /** Token of the next page; empty at the end. */
  readonly nextPageToken: string;
}

/** Which disputes. */
export interface ListDisputesRequest {
  /** The page. */
  readonly page: Page | null;
  /** Only of this agreement; empty means all. */
  readonly agreementId: string;
}

/** Disputes. */
export interface ListDisputesResponse {
  /** Newest first. */
  readonly disputes: readonly Dispute[];
  /** Token of the next page; empty at the end. */
  readonly nextPageToken: string;
}

/** Which entries. */
export interface ListEntriesRequest {
  /** First index. */
  readonly start: bigint;
  /** Most entries; 0 means the server's default. */
  readonly limit: number;
}

/** Entries. */
export interface ListEntriesResponse {
  /** In log order. */
  readonly entries: readonly EvidenceEntry[];
  /** First index of the next page; absent at the end. */
  readonly nextStart: bigint | null;
}

/** Nothing to say. */
export type ListImagesRequest = Readonly<Record<never, never>>;

/** Images. */
export interface ListImagesResponse {
  /** By name. */
  readonly images: readonly Image[];
}

/** Which jobs. */
export interface ListJobsRequest {
  /** The page. */
  readonly page: Page | null;
  /** Only these states; empty means all. */
  readonly states: readonly JobState[];
  /** Only jobs that touch this dataset; empty means all. */
  readonly dataset: string;
  /** Only jobs of this party (auditors and operators); empty means the caller's own. */
  readonly consumer: string;
}

/** Jobs. */
export interface ListJobsResponse {
  /** The jobs, newest first. */
  readonly jobs: readonly Job[];
  /** Token of the next page; empty at the end. */
  readonly nextPageToken: string;
}

/** Which mandates. */
export interface ListMandatesRequest {
  /** The page. */
  readonly page: Page | null;
}

/** Mandates. */
export interface ListMandatesResponse {
  /** Newest first. */
  readonly mandates: readonly Mandate[];
  /** Token of the next page; empty at the end. */
  readonly nextPageToken: string;
}

/** Which parties. */
export interface ListPartiesRequest {
  /** The page. */
  readonly page: Page | null;
}

/** Parties. */
export interface ListPartiesResponse {
  /** By name. */
  readonly parties: readonly Party[];
  /** Token of the next page; empty at the end. */
  readonly nextPageToken: string;
}

/** Nothing to say. */
export type ListProjectsRequest = Readonly<Record<never, never>>;

/** Projects. */
export interface ListProjectsResponse {
  /** By name. */
  readonly projects: readonly Project[];
}

/** Nothing to say. */
export type ListTablesRequest = Readonly<Record<never, never>>;

/** Tables and what is left. */
export interface ListTablesResponse {
  /** By name. */
  readonly tables: readonly ConsumerTable[];
  /** Bytes that the caller's tables may take together. */
  readonly quotaBytes: bigint;
  /** Tables that the caller may have. */
  readonly quotaTables: number;
}

/** All of it. */
export type ListTrustRequest = Readonly<Record<never, never>>;

/** The trust list. */
export interface ListTrustResponse {
  /** Runtimes that are or were trusted, by name. */
  readonly runtimes: readonly TrustedRuntime[];
}

/** A mandate. */
export interface Mandate {
  /** Name of the mandate. */
  readonly id: string;
  /** Who gives it. */
  readonly principal: string;
  /** Who may act. */
  readonly delegate: string;
  /** Agreements it is for; empty: all of the principal's. */
  readonly agreementIds: readonly string[];
  /** Start, milliseconds since the epoch, inclusive. */
  readonly notBeforeMs: number;
  /** End, milliseconds since the epoch, exclusive. */
  readonly notAfterMs: number;
  /** "active", "revoked" or "expired". */
  readonly state: string;
  /** What was signed: canonical JSON. */
  readonly content: string;
  /** SHA-256 of the content, as the log names it. */
  readonly digest: string;
}

/** A line. */
export interface MeterLine {
  /** The agreement. */
  readonly agreementId: string;
  /** The dataset. */
  readonly dataset: string;
  /** The consumer. */
  readonly consumer: string;
  /** The provider. */
  readonly provider: string;
  /** Jobs counted. */
  readonly jobs: bigint;
  /** Rows scanned: a coarse figure, rounded up per job and table; 0 for noisy jobs. Nobody is told the exact count. */
  readonly rowsScanned: bigint;
  /** Cells released. */
  readonly cellsReleased: bigint;
  /** Bytes released. */
  readonly bytesReleased: bigint;
  /** Operations on ciphertext: blocks that the steps of the program take in, each as often as a step does. */
  readonly ciphertextOperations: bigint;
  /** Privacy loss in micro-epsilon. */
  readonly microEpsilon: bigint;
  /** Charge in millionths of the currency. */
  readonly chargeMicros: bigint;
  /** ISO 4217 code. */
  readonly currency: string;
  /** What of the charge is the provider's, after the operator's share; millionths of the currency. */
  readonly providerMicros: bigint;
  /** Prepaid credit or the postpaid limit that is left, millionths of the currency; absent when nothing limits it. */
  readonly creditLeftMicros: bigint | null;
  /** Whether an open dispute freezes the settlement. */
  readonly isFrozen: boolean;
  /** Up to when the charges are settled, milliseconds since the epoch; 0 means never. */
  readonly settledUntilMs: number;
  /** Jobs that cost nothing because they were free. */
  readonly freeJobs: bigint;
}

/** Terms of an offer. */
export interface OfferAgreementRequest {
  /** The dataset. */
  readonly dataset: string;
  /** The party it is offered to. */
  readonly consumer: string;
  /** Policy version; 0 means the newest. */
  readonly policyVersion: number;
  /** Start, milliseconds since the epoch; absent: now. */
  readonly notBeforeMs: number | null;
  /** End, milliseconds since the epoch; absent: open. */
  readonly notAfterMs: number | null;
  /** Purposes; empty: those of the policy. */
  readonly purposes: readonly string[];
  /** Do not accept narrower counter-offers ahead. */
  readonly onlyAsOffered: boolean;
  /** A price plan in YAML or JSON; empty: what the policy's `pay` duties say. */
  readonly prices: string;
}

/** The draft. */
export interface OfferAgreementResponse {
  /** The agreement with the content to sign. */
  readonly agreement: Agreement | null;
  /** Why there is none. */
  readonly reasons: readonly Reason[];
}

/** An objection. */
export interface OpenDisputeRequest {
  /** The agreement; may be empty when a job is named. */
  readonly agreementId: string;
  /** The job; empty: the agreement as a whole. */
  readonly jobId: string;
  /** What is objected to, at most 4,000 characters. */
  readonly text: string;
  /** Refuse jobs under the agreement meanwhile, and stop those that run. Only the provider or an operator may. */
  readonly holdsJobs: boolean;
}

/** The dispute. */
export interface OpenDisputeResponse {
  /** As it is now. */
  readonly dispute: Dispute | null;
  /** Jobs that were stopped. */
  readonly stoppedJobs: number;
}

/** Whose turn a page is: lists are ordered newest first. */
export interface Page {
  /** Most entries to answer with; 0 means the server's default, larger than the server's limit means the limit. */
  readonly size: number;
  /** The `next_page_token` of the page before; empty for the first page. */
  readonly token: string;
}

/** A value that a caller binds to a named parameter. */
export interface ParameterValue {
  /** Exactly one; none means NULL. */
  readonly value:
    /** Text. */
    | { readonly kind: 'text'; readonly text: string }
    /** A whole number that fits 64 bits. */
    | { readonly kind: 'integer'; readonly integer: bigint }
    /** A number. */
    | { readonly kind: 'number'; readonly number: number }
    /** A truth value. */
    | { readonly kind: 'boolean'; readonly boolean: boolean }
    | null;
}

/** A party. */
export interface Party {
  /** Name, e.g. "acme". */
  readonly name: string;
  /** What it may do. */
  readonly roles: readonly Role[];
  /** Where it is in its admission. */
  readonly state: AdmissionState;
  /** SPIFFE-style name, "spiffe://<authority>/party/<name>". */
  readonly spiffeId: string;
  /** SHA-256 of its current certificate, lower-case hex. */
  readonly credentialFingerprint: string;
  /** When that certificate ends, milliseconds since the epoch. */
  readonly credentialExpiresAtMs: number;
  /** Ed25519 key for signatures: base64url of the 32 raw bytes; empty when none. */
  readonly signingPublicKey: string;
  /** ISO 3166-1 alpha-2 code of where it is; empty when not known, which counts as foreign. */
  readonly jurisdiction: string;
  /** When it was admitted, milliseconds since the epoch. */
  readonly admittedAtMs: number;
  /** Why it is suspended. */
  readonly note: string;
  /** Groups that it belongs to. */
  readonly groups: readonly string[];
  /** The other runtime whose authority certified it; empty: this one did. */
  readonly authority: string;
}

/** A signature and whose it is. */
export interface PartySignature {
  /** The party. */
  readonly party: string;
  /** The signature over `content`. */
  readonly signature: JwsSignature | null;
  /** When it was added, milliseconds since the epoch. */
  readonly signedAtMs: number;
}

/** A policy version. */
export interface Policy {
  /** The dataset it is for. */
  readonly dataset: string;
  /** Version, counted from 1. */
  readonly version: number;
  /** "sha256:…" of the normalised policy: what agreements pin. */
  readonly digest: string;
  /** The document as it was attached. */
  readonly document: string;
  /** The normalised policy as canonical JSON (RFC 8785). */
  readonly canonical: string;
  /** The party that attached it. */
  readonly provider: string;
  /** When it was attached, milliseconds since the epoch. */
  readonly attachedAtMs: number;
  /** What it allows in words, a line each. */
  readonly inWords: readonly string[];
}

/** Outcome of one case. */
export interface PolicyCaseResult {
  /** Name of the case. */
  readonly name: string;
  /** Whether the outcome was as expected. */
  readonly passed: boolean;
  /** What differs; empty when passed. */
  readonly difference: string;
  /** Reasons of the decision. */
  readonly reasons: readonly Reason[];
}

/** A complaint about a place in a document. */
export interface PolicyComplaint {
  /** Line, 1-based. */
  readonly line: number;
  /** Column, 1-based. */
  readonly column: number;
  /** Path in the document, e.g. "allow[0].release.minUnits". */
  readonly path: string;
  /** What is wrong and what would be right. */
  readonly message: string;
  /** Whether the policy is refused because of it; else it is a warning. */
  readonly isError: boolean;
}

/** A policy: a document, or a version of an attached one. */
export interface PolicyRef {
  /** YAML or JSON; empty: `dataset` names an attached policy. */
  readonly document: string;
  /** Name of the file, for complaints. */
  readonly fileName: string;
  /** The dataset. */
  readonly dataset: string;
  /** Version; 0 means the newest. */
  readonly version: number;
}

/** How far a job is. */
export interface Progress {
  /** The step. */
  readonly stage: JobStage;
  /** Parts done, of `total`; coarse steps that do not depend on rows. */
  readonly done: number;
  /** Parts in all; 0 when not known. */
  readonly total: number;
}

/** A set of agreements under one name. */
export interface Project {
  /** Name, unique among the caller's. */
  readonly name: string;
  /** Agreements, at most one for each dataset. */
  readonly agreementIds: readonly string[];
  /** Their datasets, in the same order. */
  readonly datasets: readonly string[];
  /** Their providers, in the same order. */
  readonly providers: readonly string[];
}

/** Why something was denied, withheld or failed. The whole message is safe to show: it never speaks of rows. */
export interface Reason {
  /** A stable code of docs/errors.md, e.g. "column-not-granted". */
  readonly code: string;
  /** What was tried and what stopped it: one lower-case line without a full stop. */
  readonly message: string;
  /** The clause that decides, e.g. "hospital/visits v3 allow[statistics].release.minUnits"; absent when none applies. */
  readonly clause: string | null;
  /** Where in the caller's own text; absent when the place is not known. */
  readonly at: SourcePosition | null;
  /** What would be allowed instead; absent when nothing would. */
  readonly remedy: string | null;
}

/** Signed, offline-verifiable evidence of one decision or release. */
export interface Receipt {
  /** Hash of the leaf in the log, lower-case hex; the name of the receipt. */
  readonly id: string;
  /** Position in the log. */
  readonly logIndex: bigint;
  /** The receipt as C2SP `tlog-proof` text with the entry: what `glovebox evidence verify` reads. */
  readonly document: Uint8Array;
  /** When it was recorded, milliseconds since the epoch. */
  readonly recordedAtMs: number;
}

/** Recognition of a party of another runtime. */
export interface RecogniseRequest {
  /** The introduction that it signed: the JSON text that `party introduce` writes. */
  readonly introduction: string;
  /** What it may do here; at least one, and never operator. */
  readonly roles: readonly Role[];
  /** ISO 3166-1 alpha-2 code of where it is; empty when not known, which counts as foreign. */
  readonly jurisdiction: string;
  /** Groups that it belongs to. */
  readonly groups: readonly string[];
}

/** The party. */
export interface RecogniseResponse {
  /** The party. */
  readonly party: Party | null;
}

/** What is registered. */
export interface RegisterDatasetHeader {
  /** Name of the dataset, e.g. "hospital/visits". */
  readonly name: string;
  /** A sentence for people. */
  readonly description: string;
  /** How sensitive the data is; unspecified: the runtime suggests one. */
  readonly grade: Grade;
}

/** Part of an upload: one header, then for each file one `file` and its `chunk`s, last `end`. */
export interface RegisterDatasetRequest {
  /** The part. */
  readonly part:
    /** First of all. */
    | { readonly kind: 'header'; readonly header: RegisterDatasetHeader }
    /** Starts a file. */
    | { readonly kind: 'file'; readonly file: UploadFile }
    /** Bytes of the file started last, at most 1 MiB. */
    | { readonly kind: 'chunk'; readonly chunk: Uint8Array }
    /** Nothing follows; registration begins. */
    | { readonly kind: 'end'; readonly end: UploadEnd }
    | null;
}

/** Progress or the dataset. */
export interface RegisterDatasetResponse {
  /** Why it was not registered; then nothing else follows and nothing is left behind. */
  readonly reasons: readonly Reason[];
  /** What. */
  readonly event:
    /** How far it is. */
    | { readonly kind: 'progress'; readonly progress: UploadProgress }
    /** The registered dataset; last. */
    | { readonly kind: 'dataset'; readonly dataset: Dataset }
    | null;
}

/** Uploaded columns that become a dataset. */
export interface RegisterEncryptedRequest {
  /** The dataset. */
  readonly dataset: string;
  /** One line for the catalogue. */
  readonly description: string;
  /** Name of its only table. */
  readonly table: string;
  /** Name of the column that held the privacy unit; it is never uploaded. */
  readonly unitColumn: string;
  /** Name of the public group column, when the columns are partitioned by groups; else empty. */
  readonly groupColumn: string;
  /** "sha256:…" of the uploaded unit tags. */
  readonly unitTags: string;
  /** "sha256:…" of the uploaded columns. */
  readonly columns: readonly string[];
  /** Adds columns that other providers contributed to the current version; only the dataset and these are named then. */
  readonly addsContributions: boolean;
  /** The decryptor multiplies these contributed columns with others, too; else dot and covariance over them are refused. */
  readonly multipliesContributions: boolean;
}

/** The dataset. */
export interface RegisterEncryptedResponse {
  /** Its version. */
  readonly version: number;
  /** "sha256:…" of the version: names, counts and digests of all columns. */
  readonly digest: string;
  /** Distinct privacy units, by the runtime's own count of the tags. */
  readonly units: bigint;
  /** Rows. */
  readonly rows: bigint;
  /** Why it was refused; then nothing else is said. */
  readonly reasons: readonly Reason[];
}

/** Rejection. */
export interface RejectCodeRequest {
  /** The digest. */
  readonly digest: string;
  /** Why. */
  readonly note: string;
  /**
   * Signature over the digest, the dataset, the word `rejected` and the note. Without one only the connection says who it was;
   * one that does not fit is refused.
   */
  readonly signature: JwsSignature | null;
}

/** The code. */
export interface RejectCodeResponse {
  /** As it is now. */
  readonly code: Code | null;
  /** Why the rejection was not taken. */
  readonly reasons: readonly Reason[];
}

/** Names a table. */
export interface RemoveTableRequest {
  /** Its name. */
  readonly name: string;
}

/** Done. */
export type RemoveTableResponse = Readonly<Record<never, never>>;

/** Whose credential. */
export interface RenewPartyRequest {
  /** The party; empty means the caller. */
  readonly name: string;
  /** Life in days; 0 means the server's default. */
  readonly days: number;
  /** Every older certificate of the party stops working at once. */
  readonly revokeOld: boolean;
}

/** The new credential. */
export interface RenewPartyResponse {
  /** The party. */
  readonly party: Party | null;
  /** The credential bundle as JSON. */
  readonly credential: string;
  /** Why there is none. */
  readonly reasons: readonly Reason[];
}

/** Which usage. */
export interface ReportMeterRequest {
  /** Start, milliseconds since the epoch, inclusive; 0 means the beginning. */
  readonly fromMs: number;
  /** End, milliseconds since the epoch, exclusive; 0 means now. */
  readonly toMs: number;
  /** Only this agreement; empty means all of the caller. */
  readonly agreementId: string;
  /** Only this consumer (clearing, auditor, provider); empty means all the caller may see. */
  readonly consumer: string;
  /**
   * Also answer a statement: "focus" (or "csv": FOCUS 1.0 columns as CSV), "parquet" (the same columns), or "cloudevents"
   * (the usage events themselves, a CloudEvents 1.0 JSON batch); empty means none.
   */
  readonly format: string;
}

/** Usage. */
export interface ReportMeterResponse {
  /** One per agreement and meter. */
  readonly lines: readonly MeterLine[];
  /** The statement, when asked for. */
  readonly statement: Uint8Array;
  /** Log index up to which the report counts. */
  readonly logIndex: bigint;
}

/** A decision. */
export interface ResolveDisputeRequest {
  /** The dispute. */
  readonly id: string;
  /** How it ends, at most 4,000 characters. */
  readonly resolution: string;
}

/** The dispute. */
export interface ResolveDisputeResponse {
  /** As it is now. */
  readonly dispute: Dispute | null;
}

/** One column of a released result. */
export interface ResultColumn {
  /** Name, unique within the result. */
  readonly name: string;
  /** Type of the values. */
  readonly type: ColumnType;
  /** Decimal digits in all; only for decimal128. */
  readonly precision: number;
  /** Decimal digits after the point; only for decimal128. */
  readonly scale: number;
  /** Whether a value may be missing. */
  readonly nullable: boolean;
}

/** Names an agreement. */
export interface ResumeAgreementRequest {
  /** The agreement. */
  readonly id: string;
}

/** The agreement. */
export interface ResumeAgreementResponse {
  /** As it is now. */
  readonly agreement: Agreement | null;
  /** Why it was not resumed. */
  readonly reasons: readonly Reason[];
}

/** Go on. */
export interface ResumeAllRequest {
  /** Why; goes into evidence. */
  readonly note: string;
  /** What goes on; absent: the switch of everything. Switches of single scopes stay as they are. */
  readonly scope: StopScope | null;
}

/** Going on. */
export interface ResumeAllResponse {
  /** Log index of the entry. */
  readonly logIndex: bigint;
}

/** Names a party. */
export interface ResumePartyRequest {
  /** The party. */
  readonly name: string;
}

/** The party. */
export interface ResumePartyResponse {
  /** As it is now. */
  readonly party: Party | null;
  /** Why it was not resumed. */
  readonly reasons: readonly Reason[];
}

/** One provider's share. */
export interface RevenueShare {
  /** The provider. */
  readonly provider: string;
  /** Minor units of the currency. */
  readonly shareMinor: bigint;
}

/** Names code. */
export interface ReviewCodeRequest {
  /** The digest. */
  readonly digest: string;
}

/** The code. */
export interface ReviewCodeResponse {
  /** With its source. */
  readonly code: Code | null;
  /** Unified difference to the last approved version; empty when there is none. */
  readonly difference: string;
  /** What checks noticed. */
  readonly findings: readonly Reason[];
}

/** Revocation. */
export interface RevokeCodeRequest {
  /** The digest. */
  readonly digest: string;
  /** Why. */
  readonly note: string;
  /**
   * Signature over the digest, the dataset, the word `revoked` and the note. Without one only the connection says who it was;
   * one that does not fit is refused.
   */
  readonly signature: JwsSignature | null;
}

/** The code. */
export interface RevokeCodeResponse {
  /** As it is now. */
  readonly code: Code | null;
  /** Jobs that were stopped. */
  readonly stoppedJobs: number;
  /** Why the revocation was not taken. */
  readonly reasons: readonly Reason[];
}

/** Names a key. */
export interface RevokeKeyRequest {
  /** The digest. */
  readonly digest: string;
}

/** The key. */
export interface RevokeKeyResponse {
  /** As it is now. */
  readonly object: CiphertextObject | null;
  /** Why it was not revoked. */
  readonly reasons: readonly Reason[];
}

/** Names a mandate. */
export interface RevokeMandateRequest {
  /** The mandate. */
  readonly id: string;
}

/** The mandate. */
export interface RevokeMandateResponse {
  /** As it is now. */
  readonly mandate: Mandate | null;
  /** Jobs that were stopped. */
  readonly stoppedJobs: number;
}

/** The end of trust. */
export interface RevokeTrustRequest {
  /** Name of its authority. */
  readonly authority: string;
  /** Why. */
  readonly note: string;
}

/** What ended. */
export interface RevokeTrustResponse {
  /** The runtime. */
  readonly runtime: TrustedRuntime | null;
  /** Its parties that were suspended. */
  readonly suspendedParties: readonly string[];
  /** Running jobs that were stopped. */
  readonly stoppedJobs: number;
}

/** A rule of a policy and where it was written. */
export interface RuleOrigin {
  /** The dataset of the policy. */
  readonly dataset: string;
  /** Version of the policy. */
  readonly version: number;
  /** "sha256:…" of the policy, as the agreement pins it. */
  readonly policyDigest: string;
  /** The agreement that pins it. */
  readonly agreementId: string;
  /** Name of the rule. */
  readonly ruleId: string;
  /** The file that was attached. */
  readonly fileName: string;
  /** Line in it, 1-based; 0 when not known. */
  readonly line: number;
  /** What the rule says, in words. */
  readonly inWords: string;
}

/** A program to run. */
export interface RunHomomorphicRequest {
  /** The job; its computation is a homomorphic program. */
  readonly job: JobRequest | null;
  /** Compact JWS over the canonical statement of the request; empty when not signed. */
  readonly signature: string;
}

/** The job, then the result. */
export interface RunHomomorphicResponse {
  /** What. */
  readonly part:
    /** The job as it is now; first and whenever it changes. */
    | { readonly kind: 'job'; readonly job: Job }
    /** Bytes of the encrypted result. */
    | { readonly kind: 'chunk'; readonly chunk: Uint8Array }
    /** Signed transcript for the key holder's decryptor; last. */
    | { readonly kind: 'transcript'; readonly transcript: Uint8Array }
    | null;
}

/** A set of agreements. */
export interface SaveProjectRequest {
  /** Name: lower-case letters, digits and '-'. */
  readonly name: string;
  /** Agreements of the caller as consumer; empty removes the project. */
  readonly agreementIds: readonly string[];
}

/** The project. */
export interface SaveProjectResponse {
  /** As it is now; absent when it was removed. */
  readonly project: Project | null;
}

/** Who keeps a dataset. */
export interface SetCustodianRequest {
  /** The dataset. */
  readonly dataset: string;
  /** An admitted party with the role custodian and without the role consumer; empty: nobody but its provider from now on. */
  readonly custodian: string;
  /** Why. Kept with the state, never in the log. */
  readonly note: string;
}

/** Who keeps it now. */
export interface SetCustodianResponse {
  /** The dataset. */
  readonly dataset: string;
  /** Its custodian; empty: none. */
  readonly custodian: string;
}

/** Where results are decrypted. */
export interface SetDecryptorRequest {
  /** The dataset. */
  readonly dataset: string;
  /** "host:port"; empty removes it. */
  readonly address: string;
  /** Certificate of the decryptor's own authority, PEM: no other server is taken for it. */
  readonly certificate: string;
}

/** What is configured now. */
export interface SetDecryptorResponse {
  /** "host:port"; empty when there is none. */
  readonly address: string;
  /** Whether it answered just now. */
  readonly isReachable: boolean;
}

/** The list. */
export interface SetExportListRequest {
  /** YAML or JSON, kind ExportList. */
  readonly document: string;
}

/** What became of it. */
export interface SetExportListResponse {
  /** Why it was not put in force; empty when it was. */
  readonly complaints: readonly string[];
  /** Version in force; 0 when none. */
  readonly version: number;
  /** SHA-256 of the document in force, hex. */
  readonly digest: string;
}

/** Which charges. */
export interface SettleRequest {
  /** The agreement. */
  readonly agreementId: string;
  /** Up to when, milliseconds since the epoch, exclusive; 0 means now. */
  readonly untilMs: number;
}

/** What was settled. */
export interface SettleResponse {
  /** From when, milliseconds since the epoch. */
  readonly fromMs: number;
  /** Up to when. */
  readonly untilMs: number;
  /** Jobs in it. */
  readonly jobs: bigint;
  /** Their charge, millionths of the currency. */
  readonly chargeMicros: bigint;
  /** ISO 4217 code; empty when nothing was to be paid. */
  readonly currency: string;
  /** Place of the settlement in the log. */
  readonly logIndex: bigint;
}

/** A signature. */
export interface SignAgreementRequest {
  /** The agreement. */
  readonly id: string;
  /** Signature of the caller over `content`. */
  readonly signature: JwsSignature | null;
}

/** The agreement. */
export interface SignAgreementResponse {
  /** As it is now. */
  readonly agreement: Agreement | null;
  /** Why the signature was not taken. */
  readonly reasons: readonly Reason[];
}

/** What the runtime states about one computation, as it was signed. */
export interface SignedTranscript {
  /** JSON, exactly as signed. */
  readonly text: string;
  /** Ed25519 signature, base64. */
  readonly signature: string;
}

/** A place in a text that the caller sent. */
export interface SourcePosition {
  /** Line, 1-based. */
  readonly line: number;
  /** Column, 1-based, in characters. */
  readonly column: number;
}

/** Which revenue, and how. */
export interface SplitRevenueRequest {
  /** Start, milliseconds since the epoch, inclusive; 0 means the beginning. */
  readonly fromMs: number;
  /** End, milliseconds since the epoch, exclusive; 0 means now. */
  readonly toMs: number;
  /**
   * "charge" (everyone its own price), "jobs", "rows" (coarse figures of what was read), "units" (coarse
   * figures of how many privacy units the datasets hold, for each job) or "shapley".
   */
  readonly by: string;
  /** Only jobs under these agreements; empty means all. */
  readonly agreementIds: readonly string[];
  /** ISO 4217 code; empty when there is only one. */
  readonly currency: string;
}

/** The shares; they add up to the revenue. */
export interface SplitRevenueResponse {
  /** What is split: charges after the operators' shares, minor units of the currency. */
  readonly revenueMinor: bigint;
  /** ISO 4217 code. */
  readonly currency: string;
  /** By provider. */
  readonly shares: readonly RevenueShare[];
}

/** A query. */
export interface SqlQuery {
  /** One SELECT statement. */
  readonly text: string;
  /** Values for `$name` parameters. */
  readonly parameters: Readonly<Record<string, ParameterValue>>;
}

/** One check. */
export interface StatusCheck {
  /** Name, e.g. "user namespaces". */
  readonly name: string;
  /** Whether it is fine. */
  readonly isOk: boolean;
  /** What was found. */
  readonly finding: string;
  /** What to do about it; empty when fine. */
  readonly remedy: string;
}

/** Nothing to say. */
export type StatusRequest = Readonly<Record<never, never>>;

/** How the runtime is. */
export interface StatusResponse {
  /** Version of the runtime. */
  readonly version: string;
  /** Whether it takes jobs. */
  readonly isServing: boolean;
  /** Whether the kill switch is on. */
  readonly isStopped: boolean;
  /** Isolation level of this machine. */
  readonly isolation: IsolationLevel;
  /** Checks of the machine and of the runtime. */
  readonly checks: readonly StatusCheck[];
  /** Jobs waiting. */
  readonly queuedJobs: number;
  /** Jobs running. */
  readonly runningJobs: number;
  /** Workers by kind. */
  readonly workers: readonly WorkerStatus[];
  /** When it started, milliseconds since the epoch. */
  readonly startedAtMs: number;
  /** Entries in the evidence log. */
  readonly logSize: bigint;
  /** Bytes of memory of the gateway. */
  readonly residentBytes: bigint;
  /** Whether it is draining. */
  readonly isDraining: boolean;
  /** Kill switches that are on, e.g. `dataset/visits`. */
  readonly stoppedScopes: readonly string[];
}

/** Stop. */
export interface StopAllRequest {
  /** Why; goes into evidence. */
  readonly note: string;
  /** What is stopped; absent: everything. */
  readonly scope: StopScope | null;
}

/** Stopped. */
export interface StopAllResponse {
  /** Jobs that were stopped. */
  readonly stoppedJobs: number;
  /** Log index after which nothing was released. */
  readonly logIndex: bigint;
}

/** What a kill switch stops. */
export interface StopScope {
  /** Exactly one. */
  readonly what:
    /** Jobs that touch this dataset. */
    | { readonly kind: 'dataset'; readonly dataset: string }
    /** Jobs of this party. */
    | { readonly kind: 'party'; readonly party: string }
    /** Jobs under this agreement. */
    | { readonly kind: 'agreement'; readonly agreement: string }
    | null;
}

/** Code to approve. */
export interface SubmitCodeRequest {
  /** Name that versions share. */
  readonly name: string;
  /** The source. */
  readonly source: string;
  /** Whether it is TypeScript. */
  readonly isTypeScript: boolean;
  /** The dataset it is for. */
  readonly dataset: string;
  /** What it returns. */
  readonly outputs: readonly ResultColumn[];
  /** What it is for, for reviewers. */
  readonly note: string;
  /**
   * The whole program as a job would submit it, method `approved`: source, table, columns, libraries, groups, result. Takes the
   * place of `source`, `is_type_script` and `outputs`.
   */
  readonly program: JavaScriptProgram | null;
}

/** The code. */
export interface SubmitCodeResponse {
  /** As it is now. */
  readonly code: Code | null;
  /** Why it was not taken in. */
  readonly reasons: readonly Reason[];
}

/** Asks for a job. */
export interface SubmitJobRequest {
  /** What to compute. */
  readonly job: JobRequest | null;
  /** Answer when the job has ended instead of at once. */
  readonly wait: boolean;
  /** Do everything that reads no row, and stop there; the same as Explain, but kept as a job. */
  readonly isDryRun: boolean;
  /** Compact JWS (EdDSA) over the canonical JSON statement of the request; empty when the caller does not sign. */
  readonly signature: string;
  /**
   * Together with `wait`: a result of at most 2 MiB comes with the answer, which uses its ticket up. A larger one, and one
   * of a job that is known already, is fetched with its ticket as ever.
   */
  readonly withResult: boolean;
}

/** The job. */
export interface SubmitJobResponse {
  /** The job as it is now. */
  readonly job: Job | null;
  /** Whether the idempotency key named an earlier job. */
  readonly wasKnown: boolean;
  /** The result as `DoGet` would send it, one `FlightData` message each, schema first; empty unless it was asked for and small. */
  readonly result: readonly Uint8Array[];
}

/** Names an agreement. */
export interface SuspendAgreementRequest {
  /** The agreement. */
  readonly id: string;
  /** Why, for the other side. */
  readonly note: string;
}

/** The agreement. */
export interface SuspendAgreementResponse {
  /** As it is now. */
  readonly agreement: Agreement | null;
  /** Jobs that were stopped. */
  readonly stoppedJobs: number;
  /** Why it was not suspended. */
  readonly reasons: readonly Reason[];
}

/** Names a party. */
export interface SuspendPartyRequest {
  /** The party. */
  readonly name: string;
  /** Why. */
  readonly note: string;
}

/** The party. */
export interface SuspendPartyResponse {
  /** As it is now. */
  readonly party: Party | null;
  /** Jobs that were stopped. */
  readonly stoppedJobs: number;
  /** Why it was not suspended. */
  readonly reasons: readonly Reason[];
}

/** A term that differs. */
export interface TermDifference {
  /** Path, e.g. "tables.visits.columns.cost" or "allow.statistics.release.minUnits". */
  readonly path: string;
  /** What the change does. */
  readonly change: TermChange;
  /** The term before, as text; empty when it was not there. */
  readonly before: string;
  /** The term after, as text; empty when it is gone. */
  readonly after: string;
}

/** Names an agreement. */
export interface TerminateAgreementRequest {
  /** The agreement. */
  readonly id: string;
  /** Why, for the other side. */
  readonly note: string;
}

/** The agreement. */
export interface TerminateAgreementResponse {
  /** As it is now. */
  readonly agreement: Agreement | null;
  /** Jobs that were stopped. */
  readonly stoppedJobs: number;
  /** Why it was not terminated. */
  readonly reasons: readonly Reason[];
}

/** Cases to run. */
export interface TestPolicyRequest {
  /** YAML or JSON list of cases {policy, request, expect}. */
  readonly cases: string;
  /** Name of the file, for complaints. */
  readonly fileName: string;
}

/** What came out. */
export interface TestPolicyResponse {
  /** One per case, in order. */
  readonly results: readonly PolicyCaseResult[];
  /** Complaints about the file of cases. */
  readonly complaints: readonly PolicyComplaint[];
}

/** A payment that was received. */
export interface TopUpCreditRequest {
  /** The agreement. */
  readonly agreementId: string;
  /** The signed order: canonical JSON with id, budget, amount, by and atMs. */
  readonly order: string;
  /** Ed25519 signature over it, base64url. */
  readonly signature: string;
}

/** The credit. */
export interface TopUpCreditResponse {
  /** What is left, millionths of the currency. */
  readonly creditLeftMicros: bigint;
  /** ISO 4217 code. */
  readonly currency: string;
}

/** Trust. */
export interface TrustRequest {
  /** The other runtime's card: the JSON text that `trust card` writes. */
  readonly card: string;
  /** The pin that the operator was told elsewhere; empty: it is not compared. */
  readonly keyPin: string;
  /** Why, for the record here; never in the log. */
  readonly note: string;
}

/** The runtime that is trusted now. */
export interface TrustResponse {
  /** The runtime. */
  readonly runtime: TrustedRuntime | null;
}

/** Another runtime, as this one knows it. */
export interface TrustedRuntime {
  /** Name of its authority: trust domain of the URI names that it certifies. */
  readonly authority: string;
  /** SHA-256 of its authority's public key, 64 hex digits: pinned. */
  readonly keyPin: string;
  /** Verifier key of its log. */
  readonly verifierKey: string;
  /** Where it answers. */
  readonly server: string;
  /** Whether it is trusted; false: it was. */
  readonly isTrusted: boolean;
  /** When that was decided, milliseconds since the epoch. */
  readonly sinceMs: number;
  /** Why. */
  readonly note: string;
  /** Its parties that are admitted here. */
  readonly parties: readonly string[];
  /** When trust ends whatever else holds, with the certificate that was trusted; milliseconds since the epoch. */
  readonly endsAtMs: number;
  /** Whether an operator ended it, at `since_ms`; not trusted and not revoked: it ended at `ends_at_ms`. */
  readonly isRevoked: boolean;
}

/** Where a column of a twin comes from. */
export interface TwinColumn {
  /** Its name. */
  readonly name: string;
  /** The job whose noisy counts it is drawn from; empty: what the policy declares, and nothing of the data. */
  readonly jobId: string;
}

/** Asks for a twin. */
export interface TwinDatasetRequest {
  /** Name of the dataset. */
  readonly name: string;
  /** The table; empty when there is one. */
  readonly table: string;
  /** Rows to make; 0 means the server's default. */
  readonly rows: number;
  /** Makes the same twin again. */
  readonly seed: bigint;
  /**
   * Jobs of the caller's own that were released under a differentialPrivacy rule over the dataset's present version and
   * count the values of one column each: that column of the twin is drawn from the noisy counts. At most 32.
   */
  readonly marginalJobIds: readonly string[];
}

/** Part of an Arrow IPC stream; the first part has the columns and no bytes. */
export interface TwinDatasetResponse {
  /** Bytes. */
  readonly chunk: Uint8Array;
  /** Why a named job cannot be used; then nothing else follows. */
  readonly reasons: readonly Reason[];
  /** Where the columns come from; in the first part only. */
  readonly columns: readonly TwinColumn[];
}

/** Part of an upload: one header, then chunks, last the end. */
export interface UploadCiphertextRequest {
  /** The part. */
  readonly part:
    /** First. */
    | { readonly kind: 'header'; readonly header: CiphertextHeader }
    /** At most 1 MiB. */
    | { readonly kind: 'chunk'; readonly chunk: Uint8Array }
    /** Nothing follows. */
    | { readonly kind: 'end'; readonly end: CiphertextEnd }
    | null;
}

/** Progress or the object. */
export interface UploadCiphertextResponse {
  /** Bytes stored so far. */
  readonly stored: bigint;
  /** The object; only in the last message. */
  readonly object: CiphertextObject | null;
  /** Why it was refused; then nothing else follows. */
  readonly reasons: readonly Reason[];
}

/** End of an upload. */
export interface UploadEnd {
  /** "sha256:…" of all chunks of all files in order; empty when the caller does not say. */
  readonly digest: string;
}

/** One file. */
export interface UploadFile {
  /** File name without folders; its end tells the format when `format` is empty. */
  readonly name: string;
  /** The table it belongs to; empty: the file name without its ending. Several files may make one table. */
  readonly table: string;
  /** "parquet", "csv", "arrow", "arrows", "duckdb"; empty: from the name. */
  readonly format: string;
  /** Size in bytes, for progress; 0 when not known. */
  readonly size: bigint;
  /** Table inside a DuckDB file. */
  readonly sourceTable: string;
}

/** How far an upload or a check is. */
export interface UploadProgress {
  /** What is done now, e.g. "receiving", "reading", "writing", "checking". */
  readonly step: string;
  /** Bytes or rows done. */
  readonly done: bigint;
  /** Bytes or rows in all; 0 when not known. */
  readonly total: bigint;
  /** The file or table in hand. */
  readonly subject: string;
}

/** What is uploaded. */
export interface UploadTableHeader {
  /** SQL name: lower-case letters, digits and `_`, beginning with a letter, at most 63. */
  readonly name: string;
  /** Days until it is deleted, 1 to 365; 0: 30. */
  readonly days: number;
}

/** Part of an upload: one header, one file, its chunks, the end. */
export interface UploadTableRequest {
  /** The part. */
  readonly part:
    /** First of all. */
    | { readonly kind: 'header'; readonly header: UploadTableHeader }
    /** Starts the file: CSV, Parquet or Arrow IPC. */
    | { readonly kind: 'file'; readonly file: UploadFile }
    /** Bytes of the file, at most 1 MiB. */
    | { readonly kind: 'chunk'; readonly chunk: Uint8Array }
    /** Nothing follows. */
    | { readonly kind: 'end'; readonly end: UploadEnd }
    | null;
}

/** The uploaded table. */
export interface UploadTableResponse {
  /** The table; last. */
  readonly table: ConsumerTable | null;
}

/** Names a dataset. */
export interface VerifyDatasetRequest {
  /** Name. */
  readonly name: string;
  /** Version; 0 means the newest. */
  readonly version: number;
}

/** Progress or the verdict. */
export interface VerifyDatasetResponse {
  /** What. */
  readonly event:
    /** How far it is. */
    | { readonly kind: 'progress'; readonly progress: UploadProgress }
    /** The verdict; last. */
    | { readonly kind: 'verdict'; readonly verdict: DatasetVerdict }
    | null;
}

/** A receipt. */
export interface VerifyReceiptRequest {
  /** The receipt document. */
  readonly document: Uint8Array;
}

/** The verdict. */
export interface VerifyReceiptResponse {
  /** Whether it is genuine, and of this log or that of a runtime that is trusted now. */
  readonly isValid: boolean;
  /** The checks in order, in words. */
  readonly checks: readonly string[];
  /** Why not. */
  readonly reasons: readonly Reason[];
  /** Whether the signature and the proof hold; genuine and not valid: of the log of a runtime that is trusted no more. */
  readonly isGenuine: boolean;
  /** The other runtime on the trust list whose log it is of; empty: this one, or none. */
  readonly authority: string;
  /** When trust in that runtime ended, milliseconds since the epoch; 0: it has not. */
  readonly trustEndedAtMs: number;
}

/** Names a job. */
export interface WatchJobRequest {
  /** The job. */
  readonly id: string;
}

/** A change. */
export interface WatchJobResponse {
  /** The job after the change. */
  readonly job: Job | null;
}

/** Nothing to say. */
export type WhoAmIRequest = Readonly<Record<never, never>>;

/** Who the caller is. */
export interface WhoAmIResponse {
  /** The party. */
  readonly party: Party | null;
  /** Name of the authority. */
  readonly authority: string;
  /** Version of the runtime. */
  readonly runtimeVersion: string;
  /** Isolation level of this machine. */
  readonly isolation: IsolationLevel;
  /** Whether the connection is a loopback connection without TLS, which proves nothing. */
  readonly isInsecure: boolean;
}

/** Names a column that the caller contributed. */
export interface WithdrawColumnRequest {
  /** "sha256:…". */
  readonly digest: string;
}

/** The column. */
export interface WithdrawColumnResponse {
  /** As it is now. */
  readonly object: CiphertextObject | null;
}

/** What the release gate kept back. */
export interface Withheld {
  /** Cells that were kept back; absent when even their number would tell too much. */
  readonly cells: bigint | null;
  /** Rows that were kept back; absent when even their number would tell too much. */
  readonly rows: bigint | null;
  /** Why, each with its code. */
  readonly reasons: readonly Reason[];
}

/** Workers of a kind. */
export interface WorkerStatus {
  /** Name of the image. */
  readonly image: string;
  /** Ready. */
  readonly idle: number;
  /** At work. */
  readonly busy: number;
  /** Killed or dead since start. */
  readonly lost: number;
}
