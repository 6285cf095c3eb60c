import type { Admission, PartyRole } from '../identity/party.ts';
import type { ProposedGrade } from '../policy/grade-pack.ts';
import { type Grade, NO_CODE_LIMITS, NO_CONDITIONS, type Release, type UsagePolicy } from '../policy/model.ts';

/** Bodies of the records that the gateway keeps in the store; all plain JSON. */

export type PartyBody = {
  readonly roles: readonly PartyRole[];
  readonly groups: readonly string[];
  readonly spiffeId: string;
  readonly fingerprint: string;
  readonly credentialExpiresAtMs: number;
  readonly signingPublicKey: string;
  readonly jurisdiction: string | null;
  readonly note: string;
  /** The other runtime whose authority certified it; absent: this one did. */
  readonly authority?: string;
};
export type PartyState = Admission;

/** Another runtime whose parties and receipts are recognised. Its id is its authority's name. */
export type TrustBody = {
  /** PEM. */
  readonly certificate: string;
  /** SHA-256 of its public key. */
  readonly keyPin: string;
  readonly verifierKey: string;
  readonly server: string;
  readonly note: string;
};

/** A mandate as it was signed; the record's state says whether it was revoked. */
export type MandateBody = {
  readonly content: string;
  readonly protectedHeader: string;
  readonly signature: string;
  /** The key that verified it, 32 raw bytes in base64url. */
  readonly publicKey: string;
};

/** A set of a consumer's agreements under one name. */
export type ProjectBody = { readonly name: string; readonly agreements: readonly string[] };

/** A table that a consumer brought; its bytes lie in files of the runtime's own. */
export type ConsumerTableBody = {
  readonly name: string;
  /** Its name on disk, and the version there. */
  readonly stored: string;
  readonly version: number;
  /** Digest of the stored version's manifest. */
  readonly manifest: string;
  /** SHA-256 of the stored table, 64 hexadecimal digits: what evidence and questions name. */
  readonly digest: string;
  readonly bytes: number;
  readonly rows: number;
  readonly columns: readonly { readonly name: string; readonly type: string; readonly isKey: boolean }[];
  readonly uploadedAtMs: number;
  readonly expiresAtMs: number;
};

export type DisputeBody = {
  readonly agreement: string;
  readonly job: string;
  readonly openedBy: string;
  readonly text: string;
  readonly holdsJobs: boolean;
  readonly resolvedAtMs: number | null;
  readonly resolvedBy: string;
  readonly resolution: string;
};

export type CredentialBody = { readonly party: string; readonly expiresAtMs: number };

export type PolicyBody = {
  readonly dataset: string;
  readonly version: number;
  readonly digest: string;
  readonly document: string;
  readonly fileName: string;
  readonly provider: string;
  /** The parsed policy as JSON text: kept whole, so that a later parser cannot read the document another way. */
  readonly policy: string;
};

/** Parsed once for each record: every job asks for the policies of its party's agreements. */
const parsedPolicies = new WeakMap<PolicyBody, UsagePolicy>();

export function policyOf(body: PolicyBody): UsagePolicy {
  let policy = parsedPolicies.get(body);
  if (policy === undefined) parsedPolicies.set(body, (policy = parsed(body)));
  return policy;
}

function parsed(body: PolicyBody): UsagePolicy {
  const policy = JSON.parse(body.policy) as UsagePolicy;
  return {
    ...policy,
    defaults: { ...NO_CONDITIONS, ...policy.defaults },
    allow: policy.allow.map((rule) => ({
      ...rule,
      when: { ...NO_CONDITIONS, ...rule.when },
      release: withLaterTerms(rule.release),
    })),
    deny: policy.deny.map((rule) => ({ ...rule, when: { ...NO_CONDITIONS, ...rule.when } })),
  };
}

/** Terms that policies of earlier versions did not have yet, as what they meant then. */
function withLaterTerms(release: Release): Release {
  if (release.mode === 'differentialPrivacy')
    return { ...({ microEpsilonDataset: null, accounting: 'pure', deltaTotal: null } as const), ...release };
  const sandbox = { microEpsilonDataset: null, accounting: 'pure' } as const;
  if (release.mode === 'sandbox') return { ...sandbox, ...release, limits: { ...NO_CODE_LIMITS, ...release.limits } };
  if (release.mode === 'approvedCode') return { ...release, limits: { ...NO_CODE_LIMITS, ...release.limits } };
  return release;
}

export type { AgreementState } from '../contract/lifecycle.ts';

export type AgreementBody = {
  readonly provider: string;
  readonly consumer: string;
  readonly dataset: string;
  readonly policyVersion: number;
  readonly policyDigest: string;
  /** Id of the record that holds the pinned policy: an attached version, or the document of a counter-offer. */
  readonly policyRecord: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number | null;
  readonly purposes: readonly string[];
  /** Canonical JSON: what both parties sign. Never changes. */
  readonly content: string;
  readonly signatures: readonly {
    readonly party: string;
    readonly keyId: string;
    readonly protectedHeader: string;
    readonly signature: string;
    /** The key that verified it, 32 raw bytes in base64url: credentials are renewed, signatures stay. */
    readonly publicKey: string;
    readonly signedAtMs: number;
  }[];
  readonly note: string;
  readonly counters: string;
  readonly suspendedBy: string;
  readonly proposedBy: string;
  /** Parties whose signature over the countered offer stands for these narrower terms. */
  readonly acceptedAhead: readonly string[];
  readonly round: number;
  readonly widens: readonly string[];
  /** The agreed price plan, canonical JSON; absent when the policy's own prices hold, and in earlier versions. */
  readonly prices?: string;
};

/** When the last signature came under any of these agreements; null when there is none. */
export const agreedAtOf = (agreements: readonly Pick<AgreementBody, 'signatures'>[]): number | null =>
  agreements
    .flatMap(({ signatures }) => signatures.map(({ signedAtMs }) => signedAtMs))
    .reduce((latest: number | null, at) => Math.max(latest ?? at, at), null);

/** Coarse figures of a table, as bills may tell them: rows, and different values of each column. */
export type KeyFigures = {
  readonly table: string;
  readonly rows: number;
  readonly values: { readonly [column: string]: number };
};

/** The newest version of a dataset; older versions stay on disk for jobs that pinned them. */
export type DatasetBody = {
  readonly version: number;
  /** `sha256:…` of the manifest: names, schemas, row counts and digests of all files. */
  readonly digest: string;
  readonly description: string;
  readonly grade: Grade | null;
  /** How the provider's word for the grade came, having been shown the proposals; absent: it has not. */
  readonly gradeConfirmed?: { readonly by: string; readonly atMs: number; readonly note: string };
  /** Grades that recognition proposes for columns, above `internal`; absent in earlier versions. */
  readonly proposedGrades?: readonly ProposedGrade[];
  readonly registeredAtMs: number;
  /** What metadata recognition found, for the provider: `table.column: what`. */
  readonly findings: readonly string[];
  /** Coarse figures by which revenue can be split; absent in earlier versions. */
  readonly keyFigures?: readonly KeyFigures[];
  /** Only when its columns are ciphertext. */
  readonly encrypted?: EncryptedBody;
};

/** An uploaded key, column, query or file of unit tags; its bytes lie in a file named by owner and digest. */
export type CiphertextBody = {
  readonly kind: 'publicKey' | 'column' | 'query' | 'unitTags';
  readonly digest: string;
  readonly profile: string;
  readonly dataset: string;
  readonly column: string;
  readonly values: number;
  readonly size: number;
  /** Name of the key pair that it belongs to or is encrypted under. */
  readonly keyId: string;
  /** For columns: header and totals as uploaded and as stored, as the jailed worker found them; JSON text. */
  readonly facts: string;
  /** For a column under another provider's key: whose key, and what its owner lets it be used for. */
  readonly contribution?: ContributionBody;
};

/** A column that one provider lets another compute on, under the other's key. */
export type ContributionBody = {
  /** The key holder, to whose dataset it is contributed. */
  readonly to: string;
  readonly programs: readonly string[];
  readonly minUnits: number;
  /** Counted by the runtime from its owner's unit tags. */
  readonly units: number;
  readonly groupUnits: readonly number[];
};

/** What makes a dataset one of ciphertext. */
export type EncryptedBody = {
  readonly table: string;
  readonly unitColumn: string;
  readonly groupColumn: string;
  readonly keyId: string;
  readonly rows: number;
  readonly units: number;
  readonly groupUnits: readonly number[];
  /** Digests of the uploaded columns, by column; `owner` when it is not the dataset's. */
  readonly columns: readonly {
    readonly column: string;
    readonly digest: string;
    /** Who contributed it; absent: the owner of the dataset. */
    readonly owner?: string;
    /** Whether the decryptor lets a contributed column into products; absent: nobody said, the decryptor decides. */
    readonly mayMultiply?: boolean;
  }[];
};

/** Where a dataset's results are decrypted. */
export type DecryptorBody = { readonly address: string; readonly certificate: string };

/** Name of an uploaded object in the store. */
export const objectId = (owner: string, digest: string): string => `${owner}/${digest}`;
