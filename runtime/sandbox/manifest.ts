/** The manifest of a sandbox image (`sandbox-images/NAME/image.json`): parsing, canonical form, signature. */
import { createHash, createPublicKey, sign, verify, type KeyObject } from 'node:crypto';
import canonicalize from 'canonicalize';
import { z } from 'zod';

/** How strongly a worker is kept apart from the host, best first. */
export const isolationLevels = ['vm', 'namespaced', 'confined', 'process', 'none'] as const;
export type IsolationLevel = (typeof isolationLevels)[number];

/** Says whether a level is at least as strong as a demanded one. */
export function isAtLeast(level: IsolationLevel, demanded: IsolationLevel): boolean {
  return isolationLevels.indexOf(level) <= isolationLevels.indexOf(demanded);
}

export const manifestSchemaName = 'glovebox/sandbox-image/1';

const relativePath = z
  .string()
  .max(400)
  .regex(/^(?!\/)(?!.*(^|\/)\.\.?(\/|$))[\w@./+-]+$/, 'is not a plain relative path');
const nodeFlag = z
  .string()
  .max(100)
  .regex(/^--[a-z0-9-]+(=[\w.-]+)?$/, 'is not a node flag');
const positive = z.int().positive();

const signatureSchema = z.strictObject({
  alg: z.literal('ed25519'),
  /** base64 of the raw 32-byte public key */
  key: z.string().max(64),
  /** base64 of the 64-byte signature over the image's digest text */
  sig: z.string().max(128),
});

const manifestSchema = z.strictObject({
  schema: z.literal(manifestSchemaName),
  name: z.string().regex(/^[a-z][a-z0-9-]{0,40}$/),
  version: z.string().max(40),
  description: z.string().max(400).optional(),
  /** Worker program, relative to the installation's root; the closure of its relative imports goes with it. */
  entry: relativePath,
  /** The entry and what it imports go into one file, which starts faster. */
  isLinked: z.boolean().optional(),
  /** npm packages that the worker may load, with what they depend on. */
  packages: z
    .array(z.string().regex(/^(@[\w.-]+\/)?[\w.-]+$/))
    .max(40)
    .default([]),
  /** Files of the image's own folder, pinned: a changed file is refused. Found beside the entry at the same relative path. */
  files: z
    .array(z.strictObject({ path: relativePath, sha256: z.string().regex(/^[0-9a-f]{64}$/) }))
    .max(200)
    .default([]),
  syscalls: z.enum(['node', 'sql']).default('node'),
  nodeFlags: z.array(nodeFlag).max(20).default([]),
  /** The worker makes V8 isolates beside node's own: where node's snapshot would not fit them, it starts without it (jail.ts). */
  makesIsolates: z.boolean().optional(),
  /** Named sets of further node flags, e.g. which compilers run. */
  tiers: z.record(z.string().regex(/^[a-z]+$/), z.array(nodeFlag).max(20)).default({ standard: [] }),
  defaultTier: z.string().default('standard'),
  /** Jobs one process may serve. 1 for consumer code: a used worker never meets another job. */
  jobsPerWorker: positive.max(100_000),
  /** Workers that one job uses one after the other: so many are kept ready for the next. Default 1. */
  workersPerJob: positive.max(8).optional(),
  /** True: each worker gets its own read-only tmpfs file as fd 5, which the gateway fills (`LeasedWorker.writeScratch`). */
  scratch: z.boolean().default(false),
  limits: z.strictObject({
    memoryMiB: positive.max(1_048_576),
    /** V8 isolates alive at one time beside node's own; each reserves 527 MiB of address space that counts as data. */
    isolates: z.int().nonnegative().max(64).default(0),
    wallMs: positive.max(86_400_000),
    cpuMs: positive.max(86_400_000),
    /** CPU seconds over the whole life of the process (RLIMIT_CPU), a last resort. */
    lifetimeCpuSeconds: positive.max(1_000_000).default(3600),
    outputBytes: positive,
    /** libuv pool threads; the add-ons of the image decide. */
    poolThreads: positive.max(64).default(1),
    /** Processes and threads of the worker's uid (RLIMIT_NPROC). */
    threads: positive.max(4096).default(64),
    /** open descriptors (RLIMIT_NOFILE) */
    descriptors: positive.max(4096).default(64),
  }),
  /** Large buffers of the worker lie in huge pages, where its jail is a namespace and the machine has them (huge-pages.ts). */
  hugePages: z.boolean().optional(),
  /** Anything the worker or the mode reads about the image; opaque here. */
  settings: z.record(z.string(), z.unknown()).default({}),
  minimumIsolation: z.enum(isolationLevels).default('namespaced'),
  signature: signatureSchema.optional(),
});

export type ImageManifest = z.infer<typeof manifestSchema>;

/** Parses a manifest; throws with `file path: message` lines for a person. */
export function parseManifest(text: string, file: string): ImageManifest {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new Error(`${file}: is not JSON: ${(cause as Error).message}`, { cause });
  }
  const parsed = manifestSchema.safeParse(json);
  if (!parsed.success) {
    const lines = parsed.error.issues.map((issue) => `${file} ${issue.path.join('.') || '(top)'}: ${issue.message}`);
    throw new Error(lines.join('\n'));
  }
  if (parsed.data.tiers[parsed.data.defaultTier] === undefined) {
    throw new Error(`${file} defaultTier: \`${parsed.data.defaultTier}\` is not in tiers`);
  }
  return parsed.data;
}

/** `sha256:<hex>` over the canonical JSON (RFC 8785) of the manifest without its signature, and all files' digests. */
export function imageDigest(
  manifest: ImageManifest,
  files: readonly { readonly guestPath: string; readonly sha256: string }[],
): string {
  const { signature: _, ...signed } = manifest;
  const listed = files
    .map(({ guestPath, sha256 }) => ({ guestPath, sha256 }))
    .toSorted((a, b) => (a.guestPath < b.guestPath ? -1 : 1));
  return `sha256:${createHash('sha256')
    .update(canonicalize({ manifest: signed, files: listed })!)
    .digest('hex')}`;
}

export type SignatureState =
  | { readonly kind: 'unsigned' }
  | { readonly kind: 'signed' | 'invalid'; readonly key: string };

/** Says whether the manifest's signature is a valid Ed25519 signature (RFC 8032) over the digest text. */
export function signatureStateOf(manifest: ImageManifest, digest: string): SignatureState {
  const signature = manifest.signature;
  if (signature === undefined) return { kind: 'unsigned' };
  const isValid = ((): boolean => {
    try {
      const key = createPublicKey({
        key: { kty: 'OKP', crv: 'Ed25519', x: Buffer.from(signature.key, 'base64').toString('base64url') },
        format: 'jwk',
      });
      return verify(null, Buffer.from(digest), key, Buffer.from(signature.sig, 'base64'));
    } catch {
      return false;
    }
  })();
  return { kind: isValid ? 'signed' : 'invalid', key: signature.key };
}

/** Makes the signature field of a manifest for a digest, with an Ed25519 private key. */
export function signDigest(digest: string, privateKey: KeyObject): NonNullable<ImageManifest['signature']> {
  const jwk = createPublicKey(privateKey).export({ format: 'jwk' });
  return {
    alg: 'ed25519',
    key: Buffer.from(jwk.x ?? '', 'base64url').toString('base64'),
    sig: sign(null, Buffer.from(digest), privateKey).toString('base64'),
  };
}
