import assert from 'node:assert/strict';
import { test } from 'node:test';
import { x64Calls, type CallName } from '../../runtime/sandbox/seccomp-calls.ts';
import { filterDigest, seccompFilter, type SyscallProfile } from '../../runtime/sandbox/seccomp.ts';

const ALLOW = 0x7fff0000;
const KILL = 0x80000000;
const refused = (errno: number): number => 0x00050000 + errno;

/** Runs the program as the kernel does, on one system call. */
function judge(profile: SyscallProfile, nr: number, args: readonly number[] = [], arch = 0xc000003e): number {
  const program = seccompFilter(profile, 'x64')!;
  const data = Buffer.alloc(64);
  data.writeUInt32LE(nr >>> 0, 0);
  data.writeUInt32LE(arch, 4);
  for (const [index, value] of args.entries()) data.writeUInt32LE(value >>> 0, 16 + 8 * index);
  let accumulator = 0;
  for (let at = 0; at < program.length / 8; at += 1) {
    const [code, ifTrue, ifFalse, k] = [
      program.readUInt16LE(at * 8),
      program.readUInt8(at * 8 + 2),
      program.readUInt8(at * 8 + 3),
      program.readUInt32LE(at * 8 + 4),
    ];
    if (code === 0x20) accumulator = data.readUInt32LE(k);
    else if (code === 0x15) at += accumulator === k ? ifTrue : ifFalse;
    else if (code === 0x35) at += accumulator >= k ? ifTrue : ifFalse;
    else if (code === 0x54) accumulator = (accumulator & k) >>> 0;
    else if (code === 0x06) return k;
    else assert.fail(`instruction ${code}`);
  }
  return assert.fail('the program ran off its end');
}

const call = (profile: SyscallProfile, name: CallName, ...args: readonly number[]): number =>
  judge(profile, x64Calls[name], args);

test('the filters are byte for byte the reviewed ones', () => {
  // A changed digest is a changed jail: look at the difference of the rules before you write the new one here.
  assert.deepEqual(
    (['node', 'sql'] as const).map((profile) => filterDigest(seccompFilter(profile, 'x64')!)),
    [
      'sha256:71ee08b2f75074121bb6bdc0c806d070a11d5b29efd7b796844633793c7955b0',
      'sha256:5a1ad780719b60cffd6f876b94e916cd3b8147c6856221d036db6603f408b018',
    ],
  );
});

test('a machine without a reviewed table gets no filter rather than a guess', () => {
  assert.equal(seccompFilter('node', 'arm64'), undefined);
});

test('every system call that nobody listed kills, in every calling convention', () => {
  const listed = new Set<number>(Object.values(x64Calls));
  for (let nr = 0; nr < 600; nr += 1) {
    if (!listed.has(nr)) assert.equal(judge('sql', nr), KILL, `call ${nr}`);
    assert.equal(judge('sql', nr + 0x40000000), KILL, `x32 call ${nr}`);
    assert.equal(judge('sql', nr, [], 0x40000003), KILL, `i386 call ${nr}`);
  }
});

test('what reaches other processes, the network, namespaces or the kernel is killed or refused', () => {
  for (const name of [
    'socket',
    'connect',
    'sendmsg',
    'fork',
    'vfork',
    'ptrace',
    'mount',
    'unshare',
    'setns',
    'bpf',
    'keyctl',
    'setuid',
    'execveat',
    'process_vm_readv',
    'userfaultfd',
    'perf_event_open',
  ] as const) {
    assert.equal(call('sql', name), KILL, name);
  }
  assert.equal(call('node', 'kill'), refused(1));
  for (const name of ['clone3', 'io_uring_setup', 'io_uring_enter', 'io_uring_register'] as const)
    assert.equal(call('node', name), refused(38), name);
});

test('clone makes threads only', () => {
  const pthread = 0x3d0f00;
  assert.equal(call('node', 'clone', pthread), ALLOW);
  assert.equal(call('node', 'clone', 0x11), KILL, 'fork by clone');
  for (const namespace of [0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000, 0x00020000]) {
    assert.equal(call('node', 'clone', (pthread | namespace) >>> 0), KILL, namespace.toString(16));
  }
});

test('only the listed commands of prctl, fcntl, ioctl and getsockopt pass', () => {
  assert.equal(call('node', 'prctl', 38), ALLOW);
  assert.equal(call('node', 'prctl', 22), refused(1), 'PR_SET_SECCOMP');
  assert.equal(call('node', 'ioctl', 0, 0x5421), ALLOW);
  assert.equal(call('node', 'ioctl', 0, 0x5412), refused(25), 'TIOCSTI');
  assert.equal(call('node', 'getsockopt', 3, 1, 3), ALLOW);
  assert.equal(call('node', 'getsockopt', 3, 1, 17), refused(1), 'SO_PEERCRED');
  assert.equal(call('node', 'getsockopt', 3, 6, 3), refused(1));
  for (const command of [5, 6, 7, 36, 37, 38]) {
    assert.equal(call('sql', 'fcntl', 0, command), ALLOW);
    assert.equal(call('node', 'fcntl', 0, command), refused(1));
  }
  for (const command of [8, 10, 1025, 1031, 1033])
    assert.equal(call('sql', 'fcntl', 0, command), refused(1), `fcntl ${command}`);
});
