import type { KeyObject } from 'node:crypto';
import type { WorkerPool } from '../../sandbox/pool.ts';
import type { SqlEngine } from '../../job/sql-engine.ts';
import type { GatewayNeeds } from '../needs.ts';
import type { CiphertextFiles } from './ciphertext-files.ts';
import type { DecryptorLinks } from './decryptor-link.ts';

/** What encrypted computation works with, beside what every service has. */
export interface HomomorphicEngineNeeds extends GatewayNeeds {
  readonly pool: WorkerPool;
  readonly files: CiphertextFiles;
  readonly decryptors: DecryptorLinks;
  /** Ed25519; signs transcripts. */
  readonly transcriptKey: KeyObject;
  readonly image: string;
  /** Opens plaintext datasets, and runs our own SQL over them. */
  readonly sql: Pick<SqlEngine, 'open' | 'run'>;
}
