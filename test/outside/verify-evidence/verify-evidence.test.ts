import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { filesOf, logOf, newSigner, receiptOf, type SmallLog } from '../../evidence/world.ts';

const folder = mkdtempSync(join(tmpdir(), 'glovebox-outside-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** The verifier built from golang.org/x/mod, or why it cannot be built here. */
const verifier = buildVerifier();
const skip = verifier.kind === 'missing' ? verifier.reason : false;
if (skip !== false) console.log(`skipped: ${skip}`);

for (const size of [1, 255, 256, 257, 70_000]) {
  test(`Go's own log code accepts our log of ${size} entries, its history and its receipts`, { skip }, () => {
    // Go looks at the tree only, so the large log has entries that were not signed one by one.
    const plain = (index: number): Uint8Array => Buffer.from(`{"entry":${index}}`);
    const log = size > 1000 ? logOf(size, newSigner(), plain) : logOf(size);
    const output = judge(writeLog(`log-${size}`, log), receiptFiles(log));
    assert.match(output.text, new RegExp(`^OK hospital\\.example/evidence size ${size} receipts `));
  });
}

test(
  'Go refuses what we refuse: a changed entry, a changed tile, a changed checkpoint, a borrowed receipt',
  { skip },
  () => {
    const log = logOf(300);
    const path = writeLog('good', log);
    for (const file of ['tile/entries/000', 'tile/entries/001.p/44', 'tile/0/000', 'tile/1/000.p/1', 'checkpoint']) {
      const bad = join(folder, `bad-${file.replaceAll('/', '-')}`);
      cpSync(path, bad, { recursive: true });
      const bytes = readFileSync(join(bad, file));
      bytes[30] = (bytes[30] ?? 0) ^ 1;
      writeFileSync(join(bad, file), bytes);
      assert.equal(judge(bad, []).status, 1, file);
    }
    const borrowed = join(folder, 'borrowed.tlog-proof');
    writeFileSync(borrowed, receiptOf(log, 7).replace('\nindex 7\n', '\nindex 8\n'));
    assert.equal(judge(path, [borrowed]).status, 1);
  },
);

function judge(path: string, receipts: readonly string[]): { readonly status: number | null; readonly text: string } {
  assert.ok(verifier.kind === 'built');
  const { status, stdout } = spawnSync(verifier.program, [path, ...receipts], { encoding: 'utf8' });
  return { status, text: stdout };
}

function writeLog(name: string, log: SmallLog): string {
  const path = join(folder, name);
  for (const file of filesOf(log)) {
    mkdirSync(dirname(join(path, file.path)), { recursive: true });
    writeFileSync(join(path, file.path), file.bytes);
  }
  const size = log.entries.length;
  const earlier = [1, 2, 255, 256, size - 1].filter((one) => one > 0 && one < size);
  const history = earlier.map((one) => ({
    Size: one,
    Root: base64(log.tree.root(one)),
    Path: log.tree.consistencyProof(one).map((digest) => base64(digest)),
  }));
  writeFileSync(join(path, 'consistency.json'), JSON.stringify(history));
  return path;
}

function receiptFiles(log: SmallLog): string[] {
  const places = [0, 1, 255, 256, log.entries.length - 1].filter((index) => index < log.entries.length);
  return places.map((index) => {
    const file = join(folder, `${log.entries.length}-${index}.tlog-proof`);
    writeFileSync(file, receiptOf(log, index));
    return file;
  });
}

/** Go's modules come from the proxy, or from Debian's golang-golang-x-mod-dev when there is no network. */
function buildVerifier(): { kind: 'built'; program: string } | { kind: 'missing'; reason: string } {
  const go = ['go', '/usr/local/go/bin/go', '/usr/lib/go/bin/go'].find(
    (one) => spawnSync(one, ['version']).status === 0,
  );
  if (go === undefined)
    return { kind: 'missing', reason: 'Go is not installed (Debian: golang-go golang-golang-x-mod-dev)' };
  const program = join(folder, 'verify');
  const source = import.meta.dirname;
  try {
    execFileSync(go, ['build', '-o', program, '.'], { cwd: source, stdio: 'pipe', timeout: 120_000 });
    return { kind: 'built', program };
  } catch (error) {
    if (!existsSync('/usr/share/gocode/src/golang.org/x/mod')) {
      const reason = error instanceof Error ? error.message.split('\n')[0] : String(error);
      return { kind: 'missing', reason: `golang.org/x/mod is neither reachable nor in /usr/share/gocode: ${reason}` };
    }
  }
  const gopath = join(folder, 'gopath');
  mkdirSync(join(gopath, 'src', 'verify'), { recursive: true });
  cpSync(join(source, 'main.go'), join(gopath, 'src', 'verify', 'main.go'));
  const env = { ...process.env, GO111MODULE: 'off', GOPATH: `${gopath}:/usr/share/gocode` };
  execFileSync(go, ['build', '-o', program, 'verify'], { env, stdio: 'pipe', timeout: 120_000 });
  return { kind: 'built', program };
}

function base64(digest: Uint8Array): string {
  return Buffer.from(digest).toString('base64');
}
