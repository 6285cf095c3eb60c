import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';

/**
 * `./glovebox test`: everything a change must pass, in the order in which it fails fastest. With file patterns as
 * arguments only those tests run. Ends with the test runner's own summary.
 */
const root = join(import.meta.dirname, '..');
const tool = (name: string): string => join(root, 'node_modules', '.bin', name);
const patterns = process.argv.slice(2);
// As the launcher does: without it every process of a test strips and compiles all of its sources anew.
process.env['NODE_COMPILE_CACHE'] ??= join(root, '.toolchain', 'compile-cache');

interface Step {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
}
const checks: readonly Step[] = [
  { name: 'types', command: tool('tsc'), args: ['--noEmit'] },
  { name: 'lint', command: tool('oxlint'), args: ['--type-aware', '--deny-warnings', '.'] },
  { name: 'format', command: tool('oxfmt'), args: ['--check', '.'] },
];
const found = globSync(patterns.length > 0 ? patterns : ['test/**/*.test.ts'], {
  cwd: root,
  exclude: ['**/node_modules/**'],
}).toSorted();
if (found.length === 0) {
  console.error(`no test matches ${patterns.join(' ')}`);
  process.exit(2);
}

/** What takes longest begins first, so that at the end nobody waits for one file alone. */
const LONGEST: readonly string[] = [
  'query/short-ways',
  'faults/killed-gateway',
  'query/redteam/differencing',
  'end-to-end/homomorphic-query',
  'end-to-end/homomorphic-cli',
  'query/redteam/margins',
  'query/redteam/reach',
  'query/redteam/redteam',
  'query/redteam/fuzz',
  'query/redteam/brought-tables',
  'end-to-end/homomorphic-cli-programs',
  'end-to-end/homomorphic-programs',
  'gateway/consumer-tables',
  'hostile/javascript-containment',
  'javascript/jobs',
  'end-to-end/contracts-cli',
  'attacks/honest',
  'attacks/leaks',
  'faults/load',
  'faults/random-kills',
  'faults/many-connections',
  'packaging/package',
].map((name) => `test/${name}.test.ts`);
if (patterns.length === 0 && !LONGEST.every((file) => found.includes(file))) {
  console.error(
    `test/run.ts names files that are not there: ${LONGEST.filter((file) => !found.includes(file)).join(', ')}`,
  );
  process.exit(2);
}
const files = [...LONGEST.filter((file) => found.includes(file)), ...found.filter((file) => !LONGEST.includes(file))];

if (patterns.length === 0) {
  for (const { name, command, args } of checks) {
    console.log(`# ${name}`);
    const { status, signal } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
    if (status !== 0) fail(name, status, signal);
  }
}
console.log('# tests');
// Not `node --test`, which sorts the files by name.
let failed = 0;
run({
  files: files.map((file) => resolve(root, file)),
  cwd: root,
  execArgv: ['--disable-warning=ExperimentalWarning'],
  // Against a hang only: a file of a minute takes ten on a machine that has other work.
  timeout: 900_000,
  // Every world starts processes of its own, so two at once keep a machine of two cores busy.
  concurrency: Math.min(8, Math.max(2, availableParallelism())),
})
  .on('test:fail', ({ todo }) => {
    if (todo === undefined || todo === false) failed += 1;
  })
  .compose(new spec())
  .on('end', () => {
    if (failed > 0) fail('tests', 1, null);
  })
  .pipe(process.stdout);

/** Ends once everything was printed. */
function fail(name: string, status: number | null, signal: NodeJS.Signals | null): void {
  console.error(`${name} failed${signal === null ? '' : ` (${signal})`}`);
  process.exitCode = status ?? 1;
  if (name !== 'tests') process.exit();
}
