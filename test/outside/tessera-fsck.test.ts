import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { formatVerifierKey } from '../../runtime/evidence/note.ts';
import { filesOf, logOf, newSigner, ORIGIN } from '../evidence/world.ts';

/**
 * `fsck` of transparency-dev/tessera reads a whole log and recomputes every tile. It takes minutes to build, so it is run
 * where it is there: in `GLOVEBOX_FSCK`, or where `go install` puts it.
 */
const INSTALL = 'go install github.com/transparency-dev/tessera/cmd/fsck@v1.0.4';
const program = findProgram();
const skip = program === undefined ? `tessera's fsck is not here, so nothing was checked by it: ${INSTALL}` : false;
if (skip !== false) console.log(`skipped: ${skip}`);
const folder = mkdtempSync(join(tmpdir(), 'glovebox-fsck-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** `GLOVEBOX_FSCK_ENTRIES=70000` is the size that was run by hand. */
const large = Number(process.env['GLOVEBOX_FSCK_ENTRIES'] ?? 1000);

for (const size of [1, 256, 257, large])
  test(`tessera's fsck accepts our log of ${size} entries`, { skip }, () => {
    const text = judge(writeLog(size));
    assert.ok(text.includes(`Successfully fsck'd log with size ${size} `), text.slice(0, 2000));
  });

test('tessera’s fsck refuses a log of which a byte was changed', { skip }, () => {
  const path = writeLog(300);
  // In what it reads last: after a wrong tile before it, fsck v1.0.4 says nothing and never ends.
  for (const file of ['tile/entries/001.p/44', 'tile/1/000.p/1', 'checkpoint']) {
    const bad = join(folder, `bad-${file.replaceAll('/', '-')}`);
    cpSync(path, bad, { recursive: true });
    const bytes = readFileSync(join(bad, file));
    bytes[30] = (bytes[30] ?? 0) ^ 1;
    writeFileSync(join(bad, file), bytes);
    const text = judge(bad);
    assert.ok(text.includes('fsck failed:') && !text.includes('Successfully'), `${file}: ${text.slice(0, 2000)}`);
  }
});

function writeLog(size: number): string {
  const path = join(folder, `log-${size}`);
  const log = logOf(size, newSigner());
  for (const file of filesOf(log)) {
    mkdirSync(dirname(join(path, file.path)), { recursive: true });
    writeFileSync(join(path, file.path), file.bytes);
  }
  writeFileSync(join(path, 'verifier-key'), formatVerifierKey(log.signer.verifier));
  return path;
}

/** What it says: its exit code is 0 either way. */
function judge(path: string): string {
  assert.ok(program !== undefined);
  const key = join(path, 'verifier-key');
  const args = [`--storage_url=file://${path}/`, `--public_key=${key}`, `--origin=${ORIGIN}`, '--ui=false'];
  const { stdout, stderr } = spawnSync(program, args, { encoding: 'utf8', timeout: 60_000 });
  return stdout + stderr;
}

function findProgram(): string | undefined {
  const given = process.env['GLOVEBOX_FSCK'];
  if (given !== undefined) return given;
  const { status, stdout } = spawnSync('go', ['env', 'GOPATH'], { encoding: 'utf8' });
  const built = join(stdout?.trim() ?? '', 'bin', 'fsck');
  // Only by its whole path: on Linux, `fsck` alone checks disks.
  return status === 0 && existsSync(built) ? built : undefined;
}
