// The software bill of materials of a release, CycloneDX 1.5 as JSON: `node packaging/sbom.mjs > glovebox.cdx.json`.
//
// Made from the lockfiles alone, so that the same sources give the same bytes (no time, no random number). `npm sbom`
// lists what npm installs for production; this lists also what we ship in other ways: the libraries that are built into
// sandbox-images/javascript/dist, and the Node.js that the launcher brings.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { argv, stdout } from 'node:process';
import { fileURLToPath } from 'node:url';

const HERE = dirname(fileURLToPath(import.meta.url));

/** The document for a checkout. */
export function sbomOf(root) {
  const manifest = readJson(join(root, 'package.json'));
  const lock = readJson(join(root, 'package-lock.json')).packages;
  const toolchain = readJson(join(root, '.toolchain/node/package-lock.json')).packages;
  const built = builtIn(root, lock);
  const paths = Object.keys(lock).filter((path) => path !== '' && (lock[path].dev !== true || built.has(path)));
  const components = [
    ...paths.map((path) => component(path, lock[path], built.has(path) && lock[path].dev === true)),
    ...Object.keys(toolchain)
      .filter((path) => path !== '')
      .map((path) => component(path, toolchain[path], false)),
  ];
  const own = `pkg:npm/${manifest.name}@${manifest.version}`;
  const direct = [
    ...Object.keys(manifest.dependencies).map((name) => find(lock, '', name)),
    ...roots(root).map((name) => find(lock, '', name)),
  ].filter((path) => path !== undefined);
  const dependsOn = (paths_, from) => [...new Set(paths_.map((path) => refOf(path, from[path])))].sort(byName);
  return {
    $schema: 'http://cyclonedx.org/schema/bom-1.5.schema.json',
    bomFormat: 'CycloneDX',
    specVersion: '1.5',
    version: 1,
    metadata: {
      component: {
        'bom-ref': own,
        type: 'application',
        name: manifest.name,
        version: manifest.version,
        description: manifest.description,
        purl: own,
        licenses: [{ license: { id: manifest.license } }],
      },
    },
    components: unique(components),
    dependencies: [
      {
        ref: own,
        dependsOn: [
          ...dependsOn(direct, lock),
          ...dependsOn(
            Object.keys(toolchain).filter((path) => path !== ''),
            toolchain,
          ),
        ],
      },
      ...unique(
        paths.map((path) => ({
          'bom-ref': refOf(path, lock[path]),
          dependsOn: dependsOn(
            Object.keys({
              ...lock[path].dependencies,
              ...lock[path].optionalDependencies,
              ...lock[path].peerDependencies,
            })
              .map((name) => find(lock, path, name))
              .filter((one) => one !== undefined && paths.includes(one)),
            lock,
          ),
        })),
      ).map(({ 'bom-ref': ref, dependsOn: on }) => ({ ref, dependsOn: on })),
    ],
  };
}

/** Libraries that are built into the image: its files are named for them. */
function roots(root) {
  const folder = join(root, 'sandbox-images/javascript/dist');
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => name.endsWith('.js'))
    .map((name) => name.slice(0, -3))
    .sort(byName);
}

/** Those libraries with everything that they need, by path in the lockfile. */
function builtIn(root, lock) {
  const found = new Set();
  const add = (path) => {
    if (path === undefined || found.has(path)) return;
    found.add(path);
    for (const name of Object.keys(lock[path].dependencies ?? {})) add(find(lock, path, name));
  };
  for (const name of roots(root)) {
    const path = find(lock, '', name);
    if (path === undefined) throw new Error(`sandbox-images/javascript/dist/${name}.js: the lockfile has no ${name}`);
    add(path);
  }
  return found;
}

/** Where Node.js would find a package from a place in the tree. */
function find(lock, from, name) {
  for (
    let at = from;
    ;
    at = at.includes('node_modules/') ? at.slice(0, at.lastIndexOf('node_modules/')).replace(/\/$/, '') : ''
  ) {
    const path = `${at === '' ? '' : `${at}/`}node_modules/${name}`;
    if (lock[path] !== undefined) return path;
    if (at === '') return undefined;
  }
}

function component(path, { version, integrity, license, optional }, isBuiltIn) {
  const name = nameOf(path);
  const [, base64] = /^sha512-(.+)$/.exec(integrity ?? '') ?? [];
  if (base64 === undefined) throw new Error(`${path}: the lockfile has no SHA-512 of it`);
  const ref = refOf(path, { version });
  return {
    'bom-ref': ref,
    type: 'library',
    name,
    version,
    scope: optional === true ? 'optional' : 'required',
    hashes: [{ alg: 'SHA-512', content: Buffer.from(base64, 'base64').toString('hex') }],
    ...(license === undefined
      ? {}
      : { licenses: [/ (OR|AND|WITH) /.test(license) ? { expression: license } : { license: { id: license } }] }),
    purl: ref,
    ...(isBuiltIn ? { properties: [{ name: 'glovebox:builtInto', value: 'sandbox-images/javascript' }] } : {}),
  };
}

const nameOf = (path) => path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
const refOf = (path, { version }) => `pkg:npm/${nameOf(path).replace(/^@/, '%40')}@${version}`;

/** One of each; the same version can stand at several places of a tree. */
function unique(list) {
  const byRef = new Map();
  for (const one of list) if (!byRef.has(one['bom-ref'])) byRef.set(one['bom-ref'], one);
  return [...byRef.values()].sort((a, b) => byName(a['bom-ref'], b['bom-ref']));
}

function byName(a, b) {
  return a < b ? -1 : 1;
}

function readJson(file) {
  return JSON.parse(readFileSync(file, 'utf8'));
}

if (argv[1] === fileURLToPath(import.meta.url)) stdout.write(`${JSON.stringify(sbomOf(join(HERE, '..')), null, 1)}\n`);
