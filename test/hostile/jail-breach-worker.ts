/**
 * Assume-breach: the guest has left its isolate and runs as ordinary Node code inside the jail, with every module of Node
 * at hand. Each attempt answers with what it got; `null` is nothing. What the filter kills never answers.
 */
import * as childProcess from 'node:child_process';
import * as cluster from 'node:cluster';
import * as dgram from 'node:dgram';
import * as dns from 'node:dns';
import * as fs from 'node:fs';
import * as http from 'node:http';
import * as inspector from 'node:inspector';
import * as net from 'node:net';
import * as os from 'node:os';
import * as workerThreads from 'node:worker_threads';
import { frameType, parseJsonPayload } from '../../runtime/sandbox/channel.ts';
import { WorkerChannel } from '../../runtime/sandbox/worker-channel.ts';

const later = (ms: number): Promise<null> => new Promise((resolve) => setTimeout(() => resolve(null), ms));

function first<T>(tries: readonly T[], attempt: (one: T) => unknown): unknown {
  for (const one of tries) {
    try {
      const got = attempt(one);
      if (got !== undefined && got !== null && got !== false)
        return { one, got: JSON.stringify(got)?.slice(0, 200) ?? typeof got };
    } catch {
      // refused, as it should be
    }
  }
  return null;
}

const hugePages = '/sys/kernel/mm/transparent_hugepage';

function everyFile(folder: string): readonly string[] {
  if (!fs.existsSync(folder)) return [];
  return fs.readdirSync(folder, { withFileTypes: true, recursive: true }).flatMap((entry) => {
    return entry.isDirectory() ? [] : [`${entry.parentPath}/${entry.name}`];
  });
}

const attempts: Readonly<Record<string, () => unknown>> = {
  readHostFiles: () =>
    first(
      [
        '/etc/passwd',
        '/etc/shadow',
        '/etc/hosts',
        '/etc/resolv.conf',
        '/proc/1/environ',
        '/proc/self/environ',
        '/proc/self/maps',
        '/proc/1/cwd/etc/passwd',
        '/proc/version',
        '/sys/kernel/hostname',
        '/dev/mem',
        '/dev/urandom',
        '/home/user/.bashrc',
        '/home',
        '/var/lib',
        '/run',
        '/tmp',
        '/usr/bin/env',
        '/bin/sh',
        '../../../../etc/passwd',
        '/app/../../etc/passwd',
        '/n/../etc/passwd',
      ],
      (path) => fs.readFileSync(path) ?? true,
    ),
  listAnything: () => {
    const seen: string[] = [];
    const walk = (path: string): void => {
      let names: string[];
      try {
        names = fs.readdirSync(path);
      } catch {
        return;
      }
      for (const name of names) {
        const inner = path === '/' ? `/${name}` : `${path}/${name}`;
        seen.push(inner);
        if (seen.length < 2000) walk(inner);
      }
    };
    walk('/');
    return (
      seen
        .filter(
          (path) =>
            !/^\/(app(\/|$)|n(\/(node|lib(\/[\w.+-]+)?))?$|lib64(\/ld-linux-x86-64\.so\.2)?$|lib(\/|$)|data(\/|$))/.test(
              path,
            ),
        )
        // Two copied files about huge pages, and the folders on the way to them: `systemFiles` looks at them.
        .filter((path) => !`${hugePages}/enabled`.startsWith(path) && path !== `${hugePages}/hpage_pmd_size`)
        .join() || null
    );
  },
  write: () =>
    first(['/x', '/app/x', '/app/test/x', '/n/x', '/n/node', '/data/x', '/tmp/x', '/dev/shm/x', '/lib64/x'], (path) => {
      fs.writeFileSync(path, 'x');
      return path;
    }),
  // An image with huge pages has copies of two files about them where the host's kernel would be, and no more of it.
  systemFiles: () => {
    const known = ['enabled', 'hpage_pmd_size'].map((name) => `${hugePages}/${name}`);
    const seen = everyFile('/sys');
    const written = first(known, (path) => (fs.writeFileSync(path, 'always'), path));
    const more = seen.filter((path) => !known.includes(path));
    // The kernel's own tree is another file system than the jail's.
    const isKernels = seen.some((path) => fs.statSync(path).size === 4096);
    return written ?? (more.join() || (isKernels ? 'the kernel’s own' : null));
  },
  appendToItself: () =>
    first(['/app/runtime/sandbox/channel.mjs', '/n/node'], (path) => (fs.appendFileSync(path, 'x'), path)),
  setTimes: () => first(['/app', '/n/node'], (path) => (fs.utimesSync(path, 0, 0), path)),
  inheritedDescriptors: () => {
    const open: number[] = [];
    for (let fd = 0; fd < 1024; fd += 1) {
      try {
        fs.fstatSync(fd);
        open.push(fd);
      } catch {
        // closed
      }
    }
    // Files, folders (other than the jail's own root) and descriptors too high for node itself were left open by somebody.
    const root = fs.statSync('/');
    const files = open.filter((fd) => {
      const found = fs.fstatSync(fd);
      const isRoot = found.dev === root.dev && found.ino === root.ino;
      return fd > 2 && (fd >= 64 || found.isFile() || found.isBlockDevice() || (found.isDirectory() && !isRoot));
    });
    return files.join() || null;
  },
  environment: () => {
    const known = new Set(['GLIBC_TUNABLES', 'LD_LIBRARY_PATH', 'PWD', 'UV_THREADPOOL_SIZE', 'UV_USE_IO_URING']);
    return (
      Object.keys(process.env)
        .filter((name) => !known.has(name))
        .join() || null
    );
  },
  signalParent: () => first([0, -1, process.ppid, 2, 100], (pid) => process.kill(pid, 'SIGTERM')),
  signalProbe: () => first([2, 3, 10, 100, 1000, 10_000], (pid) => process.kill(pid, 0)),
  hostFacts: () => {
    const names = {
      host: os.hostname(),
      interfaces: Object.keys(os.networkInterfaces()).filter((name) => name !== 'lo'),
    };
    return names.host === 'worker' && names.interfaces.length === 0 ? null : JSON.stringify(names);
  },
  userFacts: () => first([0], () => (os.userInfo().username === '' ? null : os.userInfo().username)),
  loadAddon: () =>
    first(['/n/node', '/n/lib/libc.so.6'], (path) => (process.dlopen({ exports: {} } as NodeJS.Module, path), path)),
  openDebugger: async () => {
    inspector.open(0, '127.0.0.1');
    await later(300);
    return inspector.url() ?? null;
  },
  tcp: () =>
    new Promise((resolve) =>
      net
        .connect(80, '1.1.1.1')
        .on('connect', () => resolve('connected'))
        .on('error', () => resolve(null)),
    ),
  tcpLocal: () =>
    new Promise((resolve) =>
      net
        .connect(22, '127.0.0.1')
        .on('connect', () => resolve('connected'))
        .on('error', () => resolve(null)),
    ),
  tcpListen: () =>
    new Promise((resolve) =>
      net
        .createServer()
        .on('error', () => resolve(null))
        .listen(0, () => resolve('listening')),
    ),
  unixSocket: () =>
    new Promise((resolve) =>
      net
        .connect('/run/docker.sock')
        .on('connect', () => resolve('connected'))
        .on('error', () => resolve(null)),
    ),
  abstractSocket: () =>
    new Promise((resolve) =>
      net
        .connect('\0dbus')
        .on('connect', () => resolve('connected'))
        .on('error', () => resolve(null)),
    ),
  udp: () =>
    new Promise((resolve) =>
      dgram
        .createSocket('udp4')
        .on('error', () => resolve(null))
        .send('x', 53, '1.1.1.1', () => resolve('sent')),
    ),
  dns: () =>
    new Promise((resolve) => dns.lookup('example.com', (error) => resolve(error === null ? 'resolved' : null))),
  dnsOverUdp: () =>
    new Promise((resolve) => dns.resolve4('example.com', (error) => resolve(error === null ? 'resolved' : null))),
  http: () =>
    new Promise((resolve) =>
      http.get('http://169.254.169.254/', () => resolve('answered')).on('error', () => resolve(null)),
    ),
  fetch: () =>
    fetch('http://1.1.1.1/').then(
      () => 'answered',
      () => null,
    ),
  spawnShell: () => first(['/bin/sh', '/n/node'], (path) => childProcess.spawnSync(path, ['-e', '1']).pid || null),
  forkNode: () =>
    new Promise((resolve) =>
      childProcess
        .fork('/app/runtime/sandbox/channel.mjs')
        .on('error', () => resolve(null))
        .on('spawn', () => resolve('forked')),
    ),
  cluster: () => (cluster.default.fork(), later(300).then(() => 'forked')),
  setUid: () => first([0], (id) => (process.setuid?.(id), 'root')),
  setGroups: () => first([0], (id) => (process.setgroups?.([id]), 'group')),
  watchFiles: () => first(['/app', '/'], (path) => fs.watch(path).close() ?? 'watching'),
  makeLink: () => first(['/app/link', '/link'], (path) => (fs.symlinkSync('/etc', path), path)),
  makeFolder: () => first(['/app/dir', '/dir'], (path) => fs.mkdirSync(path, { recursive: true })),
  changeOwner: () => first(['/app', '/n/node'], (path) => (fs.chownSync(path, 0, 0), path)),
  changeMode: () => first(['/app', '/n/node'], (path) => (fs.chmodSync(path, 0o777), path)),
  coreDump: () => (process.report.writeReport('/x.json'), fs.existsSync('/x.json') ? 'written' : null),
  threadsSeeTheSame: async () => {
    const thread = new workerThreads.Worker(
      `const fs = require('node:fs'); require('node:worker_threads').parentPort.postMessage(fs.existsSync('/etc/passwd') || fs.existsSync('/proc'))`,
      { eval: true },
    );
    const saw = await new Promise((resolve) => thread.on('message', resolve).on('error', () => resolve(false)));
    return saw === true ? 'saw the host' : null;
  },
  niceness: () => first([-20, -5], (level) => (os.setPriority(level), level)),
  threadBomb: async () => {
    const started: workerThreads.Worker[] = [];
    for (let i = 0; i < 200; i += 1) {
      const thread = new workerThreads.Worker('setInterval(() => {}, 1000)', { eval: true });
      thread.on('error', () => {});
      started.push(thread);
    }
    await later(3000);
    return started.length >= 200 && os.loadavg().length < 0 ? 'unbounded' : null;
  },
  memoryBomb: () => {
    const kept: Buffer[] = [];
    for (;;) kept.push(Buffer.alloc(32 * 1024 * 1024, 1));
  },
  descriptorBomb: () => {
    const open: number[] = [];
    try {
      for (;;) open.push(fs.openSync('/n/node', 'r'));
    } catch {
      return open.length > 200 ? `${open.length} descriptors` : null;
    }
  },
};

const channel = new WorkerChannel();
await channel.ready();
for await (const frame of channel.frames()) {
  if (frame.type !== frameType.JOB) continue;
  const names = parseJsonPayload(frame.payload)['attempts'] as readonly string[];
  if (names[0] === 'LIST') {
    await channel.sendJson(frameType.RESULT, { names: Object.keys(attempts) });
    continue;
  }
  for (const name of names) {
    let got: unknown;
    try {
      got = await attempts[name]?.();
    } catch {
      got = null;
    }
    await channel.sendJson(frameType.PROGRESS, { name, got: got ?? null });
  }
  await channel.sendJson(frameType.RESULT, {});
}
