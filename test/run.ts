import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';

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
const files = globSync(patterns.length > 0 ? patterns : ['test/**/*.test.ts'], {
  cwd: root,
  exclude: ['**/node_modules/**'],
}).toSorted();
if (files.length === 0) {
  console.error(`no test matches ${patterns.join(' ')}`);
  process.exit(2);
}
const tests: Step = {
  name: 'tests',
  command: process.execPath,
  args: [
    '--disable-warning=ExperimentalWarning',
    '--test',
    // Against a hang only: a file of a minute takes ten on a machine that has other work.
    '--test-timeout=900000',
    // Every world starts processes of its own, so two at once keep a machine of two cores busy.
    `--test-concurrency=${Math.min(8, Math.max(2, availableParallelism()))}`,
    ...files,
  ],
};

for (const { name, command, args } of patterns.length > 0 ? [tests] : [...checks, tests]) {
  console.log(`# ${name}`);
  const { status, signal } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
  if (status !== 0) {
    console.error(`${name} failed${signal === null ? '' : ` (${signal})`}`);
    process.exit(status ?? 1);
  }
}
