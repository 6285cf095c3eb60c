import { DatasetError } from '../../dataset/dataset-error.ts';
import { StampedContents } from '../../dataset/file-stamp.ts';
import { manifestFile, readManifest } from '../../dataset/ingest.ts';
import type { DatasetManifest } from '../../dataset/metadata.ts';
import type { Store } from '../../store/store.ts';
import { encryptedManifest } from '../homomorphic/encrypted-dataset.ts';
import { type CiphertextBody, type DatasetBody, objectId } from '../records.ts';

/** What is known of datasets without opening them: their manifests, read anew when their files change. */
export class Manifests {
  readonly #store: Store;
  readonly #data: string;
  readonly #read = new StampedContents<DatasetManifest>();

  /** `data`: the folder of registered datasets. */
  constructor(store: Store, data: string) {
    this.#store = store;
    this.#data = data;
  }

  /** The manifest of an encrypted dataset, made of its record; null when it is not encrypted, or not registered. */
  encrypted(dataset: string): DatasetManifest | null {
    const record = this.#store.peek<DatasetBody>('dataset', dataset);
    if (record?.body.encrypted === undefined) return null;
    const { owner } = record;
    return encryptedManifest(
      dataset,
      record.body,
      (digest, contributor) =>
        this.#store.peek<CiphertextBody>('ciphertext', objectId(contributor ?? owner, digest))?.body,
    );
  }

  /** Throws DatasetError `not-found` for a version that was never registered, `changed` for one whose manifest is gone or damaged. */
  async of(dataset: string, version: number): Promise<DatasetManifest> {
    return (
      this.encrypted(dataset) ??
      (await this.#read
        .get(manifestFile(this.#data, dataset, version), () => readManifest(this.#data, dataset, version))
        .catch((cause: unknown) => {
          const registered = this.#store.peek<DatasetBody>('dataset', dataset)?.body.version ?? 0;
          if (!(cause instanceof DatasetError) || cause.code !== 'not-found' || version > registered) throw cause;
          throw new DatasetError('changed', `dataset \`${dataset}\` version ${version}: its files are gone`, { cause });
        }))
    );
  }

  /** The manifest of the present version; throws when the dataset is not registered. */
  async latest(dataset: string): Promise<DatasetManifest> {
    const record = this.#store.peek<DatasetBody>('dataset', dataset);
    if (record === undefined) throw new Error(`dataset ${dataset} is not registered`);
    return this.of(dataset, record.body.version);
  }
}
