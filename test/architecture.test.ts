import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, it } from 'node:test';

const ROOT = join(import.meta.dirname, '..');

/**
 * Who may import whom: core ← job ← adapters ← composition root ← command line. `node` stands for every built-in
 * module. To change a line is a design decision: say why in the commit.
 */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  // Core: plain functions over plain data. No built-in but the hashing and signing of node:crypto, no package.
  policy: [],
  release: ['policy'],
  query: ['policy', 'release', 'node:crypto'],
  evidence: ['node:crypto'],
  ledger: [],
  risk: [],
  metering: [],
  identity: ['policy', 'node:crypto'],
  contract: ['evidence', 'node:crypto'],
  // The application: what happens to a job. Everything of the world comes in through needs.ts.
  job: ['policy', 'query', 'release', 'ledger', 'metering', 'evidence', 'contract', 'identity'],
  // Adapters: each wraps one piece of the world, and packages stay inside the part that wraps them.
  // Price plans are files too.
  'policy-file': ['policy', 'metering', 'node', 'yaml', 'zod', '@bufbuild/cel'],
  // Descriptions of sandboxed code, for the command line.
  'program-file': ['gen', 'yaml'],
  store: ['evidence', 'ledger', 'node'],
  sandbox: ['node', 'acorn', 'canonicalize', 'zod'],
  'sandbox/javascript': ['sandbox', 'release', 'gen', 'node', 'acorn', 'isolated-vm'],
  dataset: [
    'policy',
    'query',
    'release',
    'sandbox',
    'node',
    '@duckdb/node-api',
    '@duckdb/node-bindings',
    'apache-arrow',
    'canonicalize',
  ],
  homomorphic: ['sandbox', 'node', 'node-seal', 'wabt'],
  gen: ['identity', 'rpc'],
  rpc: [
    'policy',
    'release',
    'identity',
    'gen',
    'node',
    '@grpc/grpc-js',
    '@peculiar/x509',
    'apache-arrow',
    'canonicalize',
    'protobufjs',
    'reflect-metadata',
  ],
  // The key holder's own process: it shares formats with the runtime, and no state.
  decryptor: ['gen', 'homomorphic', 'identity', 'release', 'rpc', 'node', '@grpc/grpc-js'],
  client: [
    'decryptor',
    'contract',
    'evidence',
    'homomorphic',
    'identity',
    // A reviewer's client works the digest of code out itself before it signs.
    'sandbox/javascript',
    'gen',
    'rpc',
    'node',
    '@grpc/grpc-js',
    'apache-arrow',
    'protobufjs',
    'ledger',
  ],
  // The gateway joins core, job and adapters; it knows neither tsyringe nor the command line.
  gateway: [
    'policy',
    'query',
    'release',
    'contract',
    'ledger',
    'risk',
    'evidence',
    'metering',
    'identity',
    'job',
    'policy-file',
    'dataset',
    'sandbox',
    'sandbox/javascript',
    'homomorphic',
    'store',
    'gen',
    'rpc',
    'node',
    // To key holders' decryptors; everything else goes through rpc.
    '@grpc/grpc-js',
  ],
  // Reads what an operator sets; the values themselves belong to the parts.
  configuration: ['gateway', 'rpc', 'sandbox', 'node', 'yaml'],
  backup: ['store', 'node'],
  metrics: ['gateway', 'store', 'node', 'prom-client'],
  'container.ts': ['gateway', 'sandbox', 'store', 'node', 'tsyringe', 'reflect-metadata'],
  cli: [
    // `bench` only: measurements live beside the runtime, not in it.
    'backup',
    'benchmarks',
    'client',
    'configuration',
    'metrics',
    'container.ts',
    // A key holder's own rows are read in its own command.
    'dataset',
    'decryptor',
    'gateway',
    'policy',
    'policy-file',
    'program-file',
    'evidence',
    'identity',
    'homomorphic',
    'sandbox',
    'rpc',
    'gen',
    'node',
    '@grpc/grpc-js',
    'apache-arrow',
    'commander',
    'pino',
    'yaml',
  ],
};

/**
 * The rooms of gateway/ and which others each may enter. All of them know what stands beside them in gateway/ itself (records,
 * needs), and gateway.ts, which joins them, knows all.
 */
const ROOMS: Readonly<Record<string, readonly string[]>> = {
  alerts: [],
  parties: [],
  results: [],
  javascript: [],
  evidence: ['parties'],
  policies: ['alerts'],
  homomorphic: ['parties', 'policies'],
  datasets: ['homomorphic', 'policies', 'results'],
  agreements: ['datasets', 'parties', 'policies'],
  accounts: ['agreements', 'evidence'],
  jobs: ['accounts', 'agreements', 'alerts', 'datasets', 'javascript', 'parties', 'policies', 'results'],
  code: ['datasets', 'homomorphic', 'javascript', 'jobs', 'policies'],
};

/** SQL stands inside of SQL: its reader and its compiler call themselves by way of several files. Nothing else does. */
const RECURSIVE = ['runtime/query/parse/', 'runtime/query/compile/'];

const CORE = ['policy', 'release', 'query', 'evidence', 'ledger', 'metering', 'identity', 'contract', 'job'];

interface Import {
  readonly file: string;
  readonly part: string;
  readonly target: string;
}

const FILES = globSync('runtime/**/*.ts', { cwd: ROOT }).toSorted();
const IMPORTS = FILES.flatMap(importsOf);

describe('the architecture', () => {
  it('every part of runtime/ has a line in the table', () => {
    const parts = new Set(FILES.map(partOf));
    assert.deepEqual(
      [...parts].filter((part) => MAY_IMPORT[part] === undefined),
      [],
    );
    assert.deepEqual(
      Object.keys(MAY_IMPORT).filter((part) => !parts.has(part)),
      [],
    );
  });

  it('no part imports what its line does not name, be it a type, a value or later', () => {
    const broken = IMPORTS.filter(({ part, target }) => {
      const allowed = MAY_IMPORT[part] ?? [];
      return part !== target && !allowed.includes(target) && !(target.startsWith('node:') && allowed.includes('node'));
    });
    assert.deepEqual(
      broken.map(({ file, target }) => `${file} → ${target}`),
      [],
    );
  });

  it('a room of the gateway enters no other than its line names', () => {
    const rooms = FILES.map(roomOf).filter((room) => room !== undefined);
    assert.deepEqual([...new Set(rooms)].toSorted(), Object.keys(ROOMS).toSorted());
    const entered = FILES.flatMap((file) => {
      const room = roomOf(file);
      if (room === undefined) return [];
      const others = filesNamedBy(file).flatMap((target) => roomOf(target) ?? []);
      return others
        .filter((other) => other !== room && ROOMS[room]?.includes(other) !== true)
        .map((other) => `${file} → ${other}`);
    });
    assert.deepEqual(entered, []);
  });

  it('no file needs itself by way of others, but where SQL stands inside of SQL', () => {
    assert.deepEqual(
      circlesOf(new Map(FILES.map((file) => [file, filesNamedBy(file)]))).filter(
        (circle) => !RECURSIVE.some((folder) => circle.every((file) => file.startsWith(folder))),
      ),
      [],
    );
    const circle = new Map([
      ['a', ['b', 'd']],
      ['b', ['c']],
      ['c', ['a']],
      ['d', []],
    ]);
    assert.deepEqual(circlesOf(circle), [['a', 'b', 'c']]);
  });

  it('what is imported can be read off the text: no computed import, no require', () => {
    const computed = FILES.filter((file) => /\bimport\(\s*[^'"\s]|(?<![.\w])require\(\s*['"`]/.test(codeOf(file)));
    assert.deepEqual(computed, []);
  });

  it('the core reads no clock, no random source, no environment, and starts nothing', () => {
    const world =
      /\bDate\.now\b|\bnew Date\(\)|\bMath\.random\b|\bperformance\.|\bprocess\.|\bglobalThis\b|\bset(?:Timeout|Interval|Immediate)\b|\bfetch\(|\bWorker\(|(?<!\.)\brandom(?:Bytes|UUID|Int|FillSync|Fill)\(|\bgetRandomValues\b|\bgenerateKeyPair/;
    const impure = FILES.filter((file) => CORE.includes(partOf(file)))
      .map((file) => ({ file, found: world.exec(codeOf(file))?.[0] }))
      .filter(({ found }) => found !== undefined);
    assert.deepEqual(impure, []);
  });

  it('only the composition root knows tsyringe, and only the command line writes to the console', () => {
    assert.deepEqual(
      [...new Set(IMPORTS.filter(({ target }) => target === 'tsyringe').map(({ file }) => file))],
      ['runtime/container.ts'],
    );
    // Developers run this one by hand.
    const tools = ['runtime/sandbox/build-images.ts'];
    const isQuiet = (file: string): boolean => !file.startsWith('runtime/cli/') && !tools.includes(file);
    const talkers = FILES.filter((file) => isQuiet(file) && /\bconsole\./.test(codeOf(file)));
    assert.deepEqual(talkers, []);
  });

  it('every property test takes the one seed', () => {
    const importers = globSync('test/**/*.ts', { cwd: ROOT }).filter((file) =>
      /from 'fast-check'/.test(readFileSync(join(ROOT, file), 'utf8')),
    );
    assert.deepEqual(
      importers.filter((file) => file !== 'test/architecture.test.ts'),
      ['test/property.ts'],
    );
  });

  it('the table would notice: a forbidden import in any form is found', () => {
    for (const line of [
      "import { readFileSync } from 'node:fs';",
      "import type { Store } from '../store/store.ts';",
      "export { type Store } from '../store/store.ts';",
      "import '../store/store.ts';",
      "const late = await import('../store/store.ts');",
      "type Late = import('../store/store.ts').Store;",
    ]) {
      const found = targetsIn(line, 'runtime/policy/new.ts');
      assert.ok(found.includes('store') || found.includes('node:fs'), line);
    }
  });
});

function importsOf(file: string): readonly Import[] {
  const part = partOf(file);
  return targetsIn(codeOf(file), file).map((target) => ({ file, part, target }));
}

/** What a text imports, in any form. */
function specifiersIn(code: string): readonly string[] {
  const found = code.matchAll(/(?:(?<!['"`])\bfrom\s+|\bimport\s*\(\s*|\bimport\s+)(['"])([^'"\n]+)\1/g);
  return [...found].map(([, , specifier = '']) => specifier);
}

/** Files of this tree that a file imports. */
function filesNamedBy(file: string): readonly string[] {
  return specifiersIn(codeOf(file)).flatMap((one) =>
    one.startsWith('.') ? [normalize(join(dirname(file), one))] : [],
  );
}

/** The room of gateway/ that a file lies in; undefined: in none. */
const roomOf = (file: string): string | undefined => /^runtime\/gateway\/([^/]+)\//.exec(file)?.[1];

/** Sets of files that need each other, each sorted (strongly connected components of more than one). */
function circlesOf(imports: ReadonlyMap<string, readonly string[]>): readonly (readonly string[])[] {
  const reached = new Map([...imports.keys()].map((file) => [file, reachedFrom(file, imports)]));
  const circles = [...imports.keys()].map((file) =>
    [...(reached.get(file) ?? [])].filter((other) => reached.get(other)?.has(file) === true).toSorted(),
  );
  return [...new Map(circles.filter(({ length }) => length > 0).map((circle) => [circle.join(), circle])).values()];
}

function reachedFrom(start: string, imports: ReadonlyMap<string, readonly string[]>): ReadonlySet<string> {
  const found = new Set<string>();
  const open = [start];
  for (let file = open.pop(); file !== undefined; file = open.pop()) {
    for (const next of imports.get(file) ?? []) {
      if (!found.has(next)) open.push(next);
      found.add(next);
    }
  }
  return found;
}

/** Parts, packages and built-ins that a text names in imports of any form. */
function targetsIn(code: string, file: string): readonly string[] {
  return specifiersIn(code).map((specifier) => {
    if (specifier.startsWith('.')) return partOf(normalize(join(dirname(file), specifier)));
    if (specifier.startsWith('node:')) return specifier;
    return specifier
      .split('/')
      .slice(0, specifier.startsWith('@') ? 2 : 1)
      .join('/');
  });
}

function partOf(file: string): string {
  // What lies outside of runtime/ is one part by the name of its folder.
  if (!file.startsWith('runtime/')) return file.split('/')[0] ?? file;
  const [, first = '', second = ''] = file.split('/');
  return first === 'sandbox' && second === 'javascript' ? 'sandbox/javascript' : first;
}

/** Without comments, which may speak of anything. */
function codeOf(file: string): string {
  return readFileSync(join(ROOT, file), 'utf8')
    .replaceAll(/\/\*[\s\S]*?\*\//g, '')
    .replaceAll(/^\s*\/\/.*$/gm, '');
}
