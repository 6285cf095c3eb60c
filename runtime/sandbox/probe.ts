/**
 * Finds out what isolation this machine really gives, by running the real jail with a worker that tries to break the
 * rules. A level is what was seen to hold, never what was asked for.
 */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { release } from 'node:os';
import { promisify } from 'node:util';
import type { CgroupKind } from './cgroup.ts';
import { frameType, jsonPayload, parseJsonPayload } from './channel.ts';
import { canConfine } from './confine.ts';
import type { Host } from './host.ts';
import type { Wall } from './jail.ts';
import type { IsolationLevel } from './manifest.ts';
import { adviceFor } from './probe/advice.ts';
import { outerUid } from './worker-ids.ts';
import { WorkerFault } from './worker-end.ts';
import type { WorkerProcess } from './worker-process.ts';

export interface Finding {
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
}

export interface IsolationReport {
  readonly level: IsolationLevel;
  /** what workers are started with */
  readonly mechanism: Wall | 'none';
  /** the level is the operator's word, not ours */
  readonly isDeclared: boolean;
  readonly findings: readonly Finding[];
  readonly bwrapVersion: string | undefined;
  readonly kernel: string;
  /** control groups that workers get beside their rlimits */
  readonly cgroup: CgroupKind;
  readonly filterDigest: string | undefined;
  /** what to do for a better level; empty when nothing is missing */
  readonly advice: readonly string[];
}

// Much more than the probe takes on a machine with other work: running out of time reads as a weak jail.
const probeLimits = { wallMs: 60_000, cpuMs: 10_000, memoryMiB: 512, outputBytes: 64 * 1024 } as const;

/** Probes the host. Never throws for a weak machine: the report says what is missing. */
export async function probeIsolation(
  host: Host,
  options: { readonly declaredLevel?: 'vm' } = {},
): Promise<IsolationReport> {
  const filter = await host.filter('node');
  const about = {
    bwrapVersion: await versionOf(host.bwrap),
    kernel: release(),
    cgroup: host.cgroups.kind,
    filterDigest: filter?.digest,
  };
  const jail = host.bwrap === undefined ? [missing('bubblewrap', 'no bwrap on PATH')] : [];
  if (host.prlimit === undefined) jail.push(missing('prlimit', 'no prlimit on PATH'));
  if (filter === undefined) jail.push(missing('filter', `no system call table for ${process.arch}`));
  const findings = jail.length > 0 ? jail : await probeJail(host);
  const isNamespaced = findings.every(({ ok }) => ok);
  const advice = isNamespaced ? [] : await adviceFor(findings);
  const level = await (async (): Promise<{
    level: IsolationLevel;
    mechanism: IsolationReport['mechanism'];
    more: readonly Finding[];
  }> => {
    if (isNamespaced) return { level: 'namespaced', mechanism: 'bubblewrap', more: [] };
    const own = await probeConfined(host, filter !== undefined);
    if (own.every(({ ok }) => ok)) return { level: 'confined', mechanism: 'confined', more: own };
    const more = await probeProcess(host);
    return more.every(({ ok }) => ok)
      ? { level: 'process', mechanism: 'process', more: [...own, ...more] }
      : { level: 'none', mechanism: 'none', more: [...own, ...more] };
  })();
  const isDeclared = options.declaredLevel === 'vm' && level.level !== 'none';
  return {
    level: isDeclared ? 'vm' : level.level,
    mechanism: level.mechanism,
    isDeclared,
    findings: [...findings, ...level.more],
    ...about,
    advice,
  };
}

async function probeJail(host: Host): Promise<Finding[]> {
  const findings: Finding[] = [];
  const note = (name: string, ok: boolean, detail = ''): void => void findings.push({ name, ok, detail });
  await withWorker(host, { wall: 'bubblewrap' }, note, async (worker) => {
    note('starts', true);
    const smoke = await ask(worker, 'smoke');
    note('computes', smoke['sum'] === 499_999_500_000);
    note(
      'environment is empty',
      sameWords(smoke['env'], ['LD_LIBRARY_PATH', 'PWD', 'UV_THREADPOOL_SIZE', 'UV_USE_IO_URING']),
    );
    note('own process namespace', smoke['pid'] === 1);
    const files = await ask(worker, 'files');
    const absent = ['etc', 'proc', 'dev', 'home', 'host'].filter((name) => files[name] !== false);
    note('host files are absent', absent.length === 0, absent.join(' '));
    note('writes fail', sameWords(await ask(worker, 'write'), []));
    note('host secrets are unreadable', sameWords(await ask(worker, 'secrets'), []));
    await checkFromOutside(host, worker, note);
    const socket = await ask(worker, 'socket').then(
      () => 'it went through',
      (error: unknown) => (error instanceof WorkerFault ? error.reason : String(error)),
    );
    note('a socket ends the worker', socket === 'VIOLATION', socket);
  });
  return findings;
}

async function checkFromOutside(
  host: Host,
  worker: WorkerProcess,
  note: (name: string, ok: boolean, detail?: string) => void,
  options: { readonly isBounded: boolean } = { isBounded: true },
): Promise<void> {
  const pid = await worker.innerPid();
  const status = pid === undefined ? '' : await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  const field = (name: string): string => new RegExp(`^${name}:\\s*(\\S+)`, 'm').exec(status)?.[1] ?? '?';
  await noteUid(host, Number(field('Uid')), note);
  note(
    'no capabilities',
    // Without new privileges what is in the bounding set alone can never be had.
    /^0+$/.test(field('CapEff')) &&
      /^0+$/.test(field('CapPrm')) &&
      (!options.isBounded || /^0+$/.test(field('CapBnd'))),
    `${field('CapEff')} ${field('CapBnd')}`,
  );
  note('no new privileges', field('NoNewPrivs') === '1');
  note('system call filter is on', field('Seccomp') === '2');
}

/** A breakout must not land on root, neither here nor outside a user namespace that we may be in. */
async function noteUid(
  host: Host,
  uid: number,
  note: (name: string, ok: boolean, detail?: string) => void,
): Promise<void> {
  const isOurs = uid === process.getuid?.();
  const outer = await outerUid(uid);
  const ok = Number.isInteger(uid) && outer !== undefined && outer !== 0 && isOurs !== host.dropsUid;
  note('outer uid is not root', ok, `${uid}${outer === uid ? '' : ` (${outer ?? 'nobody'} outside)`}`);
}

/** What a process can give up by itself; every claim is tried, and a uid of its own is part of it. */
async function probeConfined(host: Host, hasFilter: boolean): Promise<readonly Finding[]> {
  const lacks = [
    ...(host.perl === undefined ? [missing('confined: perl', 'no perl on PATH')] : []),
    ...(host.prlimit === undefined ? [missing('confined: prlimit', 'no prlimit on PATH')] : []),
    ...(host.dropsUid ? [] : [missing('confined: own uid', 'workers share the uid of the runtime')]),
    ...(hasFilter && canConfine ? [] : [missing('confined: filter', `no system call table for ${process.arch}`)]),
  ];
  if (lacks.length > 0) return lacks;
  const findings: Finding[] = [];
  const note = (name: string, ok: boolean, detail = ''): void =>
    void findings.push({ name: `confined: ${name}`, ok, detail });
  await withWorker(host, { wall: 'confined' }, note, async (worker) => {
    note('starts', true);
    const smoke = await ask(worker, 'smoke');
    note('computes', smoke['sum'] === 499_999_500_000);
    note('environment is empty', sameWords(smoke['env'], ['UV_THREADPOOL_SIZE', 'UV_USE_IO_URING']));
    const { root } = await ask(worker, 'files');
    note('folders cannot be listed', sameWords(root, []));
    note('writes fail', sameWords(await ask(worker, 'write'), []));
    note('host files are unreadable', sameWords(await ask(worker, 'secrets'), []));
    await checkFromOutside(host, worker, note, { isBounded: false });
    const socket = await ask(worker, 'socket').then(
      () => 'it went through',
      (error: unknown) => (error instanceof WorkerFault ? error.reason : String(error)),
    );
    note('a socket ends the worker', socket === 'VIOLATION', socket);
  });
  return findings;
}

async function probeProcess(host: Host): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  const note = (name: string, ok: boolean, detail = ''): void =>
    void findings.push({ name: `process: ${name}`, ok, detail });
  await withWorker(host, { wall: 'process' }, note, async (worker) => {
    note('starts', true);
    const smoke = await ask(worker, 'smoke');
    note('computes', smoke['sum'] === 499_999_500_000);
    note('environment is empty', sameWords(smoke['env'], ['UV_THREADPOOL_SIZE', 'UV_USE_IO_URING']));
    await noteUid(host, Number(smoke['uid']), note);
  });
  return findings;
}

async function withWorker(
  host: Host,
  options: { readonly wall: Wall },
  note: (name: string, ok: boolean, detail?: string) => void,
  use: (worker: WorkerProcess) => Promise<void>,
): Promise<void> {
  let worker: WorkerProcess | undefined;
  try {
    const image = await host.image('probe');
    ({ process: worker } = await host.start({ image, tier: image.manifest.defaultTier, binds: [], ...options }));
    await worker.ready;
    worker.beginJob(probeLimits);
    await use(worker);
  } catch (error) {
    note('runs to the end', false, (error as Error).message);
  } finally {
    await worker?.kill('RETIRED');
  }
}

async function ask(worker: WorkerProcess, attempt: string): Promise<Readonly<Record<string, unknown>>> {
  await worker.send(frameType.JOB, jsonPayload({ attempt }));
  const frame = await worker.next();
  const answer = parseJsonPayload(frame.payload)['answer'];
  return typeof answer === 'object' && answer !== null ? (answer as Readonly<Record<string, unknown>>) : {};
}

function sameWords(value: unknown, wanted: readonly string[]): boolean {
  return JSON.stringify(value) === JSON.stringify(wanted);
}

function missing(name: string, detail: string): Finding {
  return { name, ok: false, detail };
}

async function versionOf(program: string | undefined): Promise<string | undefined> {
  if (program === undefined) return undefined;
  const run = promisify(execFile);
  const text = await run(program, ['--version'], { timeout: 5000, env: {} }).then(
    (done) => done.stdout,
    () => '',
  );
  return /\d+(\.\d+)+/.exec(text)?.[0];
}
