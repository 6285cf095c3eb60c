import { DatabaseSync } from 'node:sqlite';
import { openCheckpoint } from '../evidence/checkpoint.ts';
import { StoreFault } from './fault.ts';
import { loadSigningKey, sealKeyOf, signerOf } from './keys.ts';
import { digestOfAll, readSeal } from './rows.ts';

/**
 * Checks a copy of the state that nobody has open: its seal, every row, and its size against its signed checkpoint.
 * Throws a StoreFault when it is not a whole state of the owner of the key. The copy then needs no file beside it.
 */
export function checkCopiedState(
  file: string,
  keyFile: string,
): { readonly logSize: number; readonly checkpoint: string; readonly latestMs: number } {
  const privateKey = loadSigningKey(keyFile, false);
  const database = new DatabaseSync(file, { allowExtension: false });
  try {
    database.exec('pragma trusted_schema = off; pragma journal_mode = delete;');
    const sealKey = sealKeyOf(privateKey);
    const seal = readSeal(database, sealKey);
    const entries = Number(database.prepare('select count(*) as n from evidence').get()?.['n']);
    const checkpoint = openCheckpoint(seal?.checkpoint ?? '', signerOf(privateKey, undefined).verifier);
    const isWhole =
      seal !== undefined && seal.digest === digestOfAll(database, sealKey) && checkpoint?.size === entries;
    if (!isWhole) throw new StoreFault('state-tampered', `'${file}' is not a whole copy of the state`);
    return { logSize: entries, checkpoint: seal.checkpoint, latestMs: seal.latestMs };
  } catch (error) {
    if (error instanceof StoreFault) throw error;
    throw new StoreFault('state-tampered', `'${file}' cannot be read as state: ${(error as Error).message}`, {
      cause: error,
    });
  } finally {
    database.close();
  }
}
