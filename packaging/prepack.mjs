// Run by npm before it packs; plain JavaScript without packages, because it must run on any Node.js from 20 on and in a
// checkout where nothing is installed yet.
//
// The package that is published depends on nothing: its command is the launcher, which brings the right Node.js and the
// locked packages by itself (docs/operator.md, "Install"). Were the dependencies listed, npm would build and load them
// for whatever Node.js runs npm, without our lockfile. So the manifest is packed without them, and the real manifest
// and the lockfiles travel beside it, in `packed/`. postpack.mjs puts everything back.
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { restore } from './postpack.mjs';
import { sbomOf } from './sbom.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
restore(root); // what a packing that was killed had left

const packed = join(root, 'packed');
mkdirSync(packed);
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
cpSync(join(root, 'package.json'), join(packed, 'package.json.txt'));
cpSync(join(root, 'package-lock.json'), join(packed, 'package-lock.json.txt'));
cpSync(join(root, '.toolchain/node/package.json'), join(packed, 'node-package.json.txt'));
cpSync(join(root, '.toolchain/node/package-lock.json'), join(packed, 'node-package-lock.json.txt'));
writeFileSync(join(packed, 'sbom.cdx.json'), `${JSON.stringify(sbomOf(root), null, 1)}\n`);
// Names the folder that the launcher unpacks to, so that two different packages never share one.
writeFileSync(join(packed, 'digest'), `${manifest.version}-${digestOf(root, manifest.files)}\n`);

const { dependencies: _1, devDependencies: _2, allowScripts: _3, scripts, ...kept } = manifest;
const outer = { ...kept, scripts: { postpack: scripts.postpack }, engines: { node: '>=20' } };
writeFileSync(join(root, 'package.json.new'), `${JSON.stringify(outer, null, 2)}\n`);
renameSync(join(root, 'package.json.new'), join(root, 'package.json'));

/** SHA-256 over names and contents of all that is packed, the first 12 hexadecimal digits. */
function digestOf(folder, names) {
  const hash = createHash('sha256');
  const add = (path) => {
    if (!existsSync(path)) return;
    if (statSync(path).isDirectory()) {
      for (const name of readdirSync(path).sort(byName)) if (name !== 'node_modules') add(join(path, name));
      return;
    }
    const content = readFileSync(path);
    hash.update(`${relative(folder, path)}\n${content.length}\n`).update(content);
  };
  for (const name of [...names, 'LICENSE'].sort(byName)) add(join(folder, name));
  return hash.digest('hex').slice(0, 12);
}

function byName(a, b) {
  return a < b ? -1 : 1;
}
