import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmodSync, closeSync, existsSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { findPrograms, jailCommand, type JailPrograms } from '../../runtime/sandbox/jail.ts';
import { parseManifest } from '../../runtime/sandbox/manifest.ts';
import { seccompFilter } from '../../runtime/sandbox/seccomp.ts';
import { startTestPool } from '../sandbox/test-pool.ts';
import { type RawCall, rawCalls } from './raw-calls.ts';

/**
 * Assume-breach without Node: the guest is native code, and makes its own system calls. Perl takes Node's place on the very
 * command line of a worker, with the very filter; it needs no module to make a call by its number.
 */
const FILTER_FD = 6;
const OUT_FD = 4;
const folder = mkdtempSync(join(tmpdir(), 'glovebox-raw-'));
const bwrap = ['/usr/bin/bwrap', '/bin/bwrap'].find(existsSync);
const perl = '/usr/bin/perl';
let programs: JailPrograms;
let skipReason: string | undefined;
const manifest = parseManifest(
  JSON.stringify({
    schema: 'glovebox/sandbox-image/1',
    name: 'raw',
    version: '1',
    entry: 'x.pl',
    jobsPerWorker: 1,
    limits: { memoryMiB: 64, wallMs: 1000, cpuMs: 1000, outputBytes: 1000 },
  }),
  'raw',
);

before(async () => {
  const pool = await startTestPool({ maxWorkers: 1, warmPerKey: 0 });
  ({ skipReason } = pool);
  await pool.close();
  if (bwrap === undefined || !existsSync(perl) || process.arch !== 'x64') skipReason ??= 'needs bwrap, perl and x86-64';
  chmodSync(folder, 0o755);
  const filter = seccompFilter('node');
  if (filter === undefined) skipReason ??= 'no filter for this machine';
  else writeFileSync(join(folder, 'filter.bpf'), filter, { mode: 0o644 });
  if (skipReason !== undefined) return;
  programs = await findPrograms({ bwrap, prlimit: undefined, perl: undefined, node: perl, addons: [] });
});
after(() => rmSync(folder, { recursive: true }));

/** What became of one script: how the process ended and what it wrote. */
function run(name: string, script: string): Promise<{ readonly code: number | null; readonly text: string }> {
  writeFileSync(join(folder, `${name}.pl`), script, { mode: 0o644 });
  const filter = openSync(join(folder, 'filter.bpf'), 'r');
  const { command, args } = jailCommand({
    programs,
    wall: 'bubblewrap',
    manifest,
    tier: 'standard',
    appFolder: folder,
    entryGuestPath: `${name}.pl`,
    binds: [],
    hugePages: [],
    hasOwnUid: false,
    strayFds: [],
    filterFd: FILTER_FD,
    filterPath: undefined,
  });
  const ids = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {};
  const child = spawn(command, args, {
    ...ids,
    env: {},
    stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe', 'ignore', filter],
  });
  closeSync(filter);
  let text = '';
  child.stdio[OUT_FD]?.on('data', (bytes: Buffer) => (text += bytes.toString('latin1')));
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, text }));
  });
}

/** Says what it is about to do, so that a process that never came so far is no success. */
const scriptOf = ({ nr, args }: RawCall): string =>
  `open(my $out, '>&=', ${OUT_FD}); syswrite($out, 'trying '); my @a = (${args}); my $got = syscall(${nr}, @a); my $why = $! + 0; syswrite($out, $got == -1 ? "refused $why" : "GOT $got");`;

const KILLED = 128 + 31;

for (const [what, calls] of Object.entries(rawCalls)) {
  test(`native code in the jail gets nothing of ${what}: ${calls.length} system calls`, async (t) => {
    if (skipReason !== undefined) return t.skip(skipReason);
    const queue = calls.map((call, i) => ({ call, i }));
    const wrong: string[] = [];
    const take = async (): Promise<void> => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
        const { call, i } = next;
        const { code, text } = await run(`${what.replaceAll(/\W/g, '')}${i}`, scriptOf(call));
        const end =
          code === KILLED && text === 'trying ' ? 'killed' : /^trying refused [1-9]/.test(text) ? 'refused' : 'GOT';
        if (end !== call.end) wrong.push(`${call.name}: ${code} ${text}`);
      }
    };
    await Promise.all([take(), take()]);
    assert.deepEqual(wrong, []);
  });
}

test('the same process may do what it is there for', async (t) => {
  if (skipReason !== undefined) return t.skip(skipReason);
  const script = `open(my $out, '>&=', ${OUT_FD}); my $pid = syscall(39); syswrite($out, "pid $pid");`;
  assert.deepEqual(await run('honest', script), { code: 0, text: 'pid 1' });
});
