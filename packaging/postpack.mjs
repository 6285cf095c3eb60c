// Run by npm after it packed: puts the manifest back that prepack.mjs had exchanged.
import { existsSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { argv } from 'node:process';
import { fileURLToPath } from 'node:url';

/** Undoes prepack in a folder; does nothing where nothing was packed. */
export function restore(root) {
  const original = join(root, 'packed/package.json.txt');
  if (existsSync(original)) renameSync(original, join(root, 'package.json'));
  rmSync(join(root, 'packed'), { recursive: true, force: true });
}

if (argv[1] === fileURLToPath(import.meta.url)) restore(join(dirname(fileURLToPath(import.meta.url)), '..'));
