import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { DemoReport } from '../../runtime/cli/demo/report.ts';
import { outputOf, ROOT } from './runtime.ts';

describe('glovebox demo', () => {
  it('shows what it promises, says so with its exit code, and leaves nothing behind', async () => {
    const temporary = mkdtempSync(join(tmpdir(), 'glovebox-temporary-'));
    try {
      const main = join(ROOT, 'runtime', 'cli', 'main.ts');
      const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', main, 'demo', '--json'], {
        stdio: ['ignore', 'pipe', 'pipe'],
        env: { ...process.env, TMPDIR: temporary },
      });
      const { exit, stdout, stderr } = await outputOf(child);
      const report = JSON.parse(stdout) as DemoReport;
      assert.equal(exit, 0, stderr);
      assert.equal(report.isAsPromised, true);
      const [treatment] = report.answers;
      // The figures of Moertel et al. for the three arms, which nobody here computed.
      assert.deepEqual(
        treatment?.rows.map(([arm, patients]) => [arm, patients]),
        [
          ['Lev', 310],
          ['Lev+5FU', 304],
          ['Obs', 315],
        ],
      );
      assert.ok(report.answers.filter(({ groupsWithheld }) => groupsWithheld > 0).length >= 2);
      assert.ok(
        report.answers.every(({ isExact, rows, columns }) => isExact && (rows[0]?.length ?? columns.length) > 0),
      );
      assert.ok(
        report.attacks.length >= 5 && report.attacks.every(({ isRefused, message }) => isRefused && message !== ''),
      );
      assert.match(report.receipt.tamperedRefused ?? '', /entry|signed/);
      assert.ok(report.steps.every(({ ms }) => ms > 0));
      assert.deepEqual(readdirSync(temporary), []);
    } finally {
      rmSync(temporary, { recursive: true, force: true });
    }
  });
});
