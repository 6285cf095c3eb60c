import assert from 'node:assert/strict';
import { test } from 'node:test';
import { doctorText, warningsOf } from '../../runtime/cli/doctor.ts';
import type { IsolationReport } from '../../runtime/sandbox/probe.ts';

const strong: IsolationReport = {
  level: 'namespaced',
  mechanism: 'bubblewrap',
  isDeclared: false,
  findings: [{ name: 'starts', ok: true, detail: '' }],
  bwrapVersion: '0.8.0',
  kernel: '6.1.0',
  cgroup: 'v2',
  filterDigest: 'sha256:ab',
  advice: [],
};
const images = [
  { name: 'javascript', minimumIsolation: 'confined' },
  { name: 'sql', minimumIsolation: 'process' },
] as const;
const SWAPS = 'Filename\tType\tSize\tUsed\tPriority\n';

test('the doctor says what a strong machine gives, and that nothing is missing', () => {
  const text = doctorText(strong, images, warningsOf(strong, SWAPS));
  assert.match(text, /^isolation level: namespaced \(bubblewrap\)$/m);
  assert.match(text, /kernel 6\.1\.0, bubblewrap 0\.8\.0, control groups v2, system call filter sha256:ab/);
  assert.match(text, /^javascript +confined +yes$/m);
  assert.doesNotMatch(text, /missing|warning|NO/);
});

test('the doctor says of a weak machine what fails, which images do not run, and how to get better levels', () => {
  const weak: IsolationReport = {
    ...strong,
    level: 'process',
    mechanism: 'process',
    findings: [
      { name: 'bubblewrap', ok: false, detail: 'no bwrap on PATH' },
      { name: 'confined: own uid', ok: false, detail: 'workers share the uid of the runtime' },
    ],
    bwrapVersion: undefined,
    cgroup: 'none',
    advice: ['install bubblewrap'],
  };
  const text = doctorText(weak, images, warningsOf(weak, `${SWAPS}/dev/sda2 partition 8 0 -2\n`));
  assert.match(text, /no consumer code/);
  assert.match(text, /bubblewrap missing/);
  assert.match(text, /^missing: bubblewrap: no bwrap on PATH$/m);
  assert.match(text, /^missing: confined: own uid: workers share/m);
  assert.match(text, /^javascript +confined +NO$/m);
  assert.match(text, /^sql +process +yes$/m);
  assert.match(text, /^for namespaced or confined:\n {2}install bubblewrap$/m);
  assert.match(text, /^warning: workers are limited by rlimits/m);
  assert.match(text, /^warning: swap is on/m);
});

test('where no worker starts the doctor promises no image', () => {
  const none: IsolationReport = { ...strong, level: 'none', mechanism: 'none', advice: ['run it elsewhere'] };
  const text = doctorText(none, [{ name: 'probe', minimumIsolation: 'none' }, ...images], warningsOf(none, ''));
  assert.doesNotMatch(text, /^(probe|javascript|sql) .* yes$/m);
  assert.match(text, /nothing runs/);
});
