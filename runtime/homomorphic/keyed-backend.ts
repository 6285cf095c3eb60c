import type { Backend } from './backend.ts';
import { openNodeSealBackend } from './node-seal-backend.ts';
import type { ProfileId } from './profiles.ts';

/** Keys that a backend works with, as `PublicBundle` and `SecretBundle` hold them. */
export interface BackendKeys {
  readonly secretKeys?: readonly { readonly profile: ProfileId; readonly secretKey: Uint8Array }[];
  readonly publicKeys?: readonly { readonly profile: ProfileId; readonly publicKey: Uint8Array }[];
  readonly relinearisationKeys?: readonly {
    readonly profile: ProfileId;
    readonly relinearisationKey: Uint8Array | null;
  }[];
}

/**
 * A backend of its own with these keys. A profile's keys are loaded when it is opened first: a context takes up to seconds
 * to make, a column or a job needs one or two of them, and a key that is not needed is in no library's memory. Opening
 * throws `bad-key` for one that is not of its profile.
 */
export async function openKeyedBackend(keys: BackendKeys): Promise<Backend> {
  const backend = await openNodeSealBackend();
  const keyed = new Set<ProfileId>();
  const of = <T extends { readonly profile: ProfileId }>(list: readonly T[] | undefined, id: ProfileId): readonly T[] =>
    (list ?? []).filter(({ profile }) => profile === id);
  return {
    get isUsable() {
      return backend.isUsable;
    },
    open(profile) {
      const context = backend.open(profile);
      if (keyed.has(profile.id)) return context;
      for (const { secretKey } of of(keys.secretKeys, profile.id)) context.useSecretKey(secretKey);
      for (const { publicKey } of of(keys.publicKeys, profile.id)) context.usePublicKey(publicKey);
      for (const { relinearisationKey } of of(keys.relinearisationKeys, profile.id))
        if (relinearisationKey !== null) context.useRelinearisationKey(relinearisationKey);
      keyed.add(profile.id);
      return context;
    },
  };
}
