/**
 * The system call filter of a jailed worker: a classic BPF program (an array of `struct sock_filter`, little endian)
 * that bubblewrap installs before it executes node. Generated here so that no compiler and no libseccomp is needed.
 * Default is KILL_PROCESS: a call that nobody listed ends the worker with SIGSYS (exit code 159 seen from outside).
 */
import { createHash } from 'node:crypto';
import { x64Calls, type CallName } from './seccomp-calls.ts';

/** One rule table per kind of worker: what it needs beyond node itself. */
export type SyscallProfile = 'node' | 'sql';

const opcode = { LD: 0x20, JEQ: 0x15, JGE: 0x35, AND: 0x54, RET: 0x06 } as const;
const auditArch = { x64: 0xc000003e } as const;
const seccompData = { nr: 0, arch: 4, argument: (index: number): number => 16 + 8 * index } as const;
const maxInstructions = 4096;
const maxRuleBody = 250; // jump offsets are 8 bits
const x32Bit = 0x40000000;

const errno = { EPERM: 1, ENOTTY: 25, ENOSYS: 38, ENOTSOCK: 88 } as const;
const action = {
  ALLOW: 0x7fff0000,
  KILL: 0x80000000,
  refuse: (code: number): number => 0x00050000 | code,
} as const;

/** Low 32 bits of an argument, masked, must be one of the values. The arguments checked here are all 32-bit. */
interface Condition {
  readonly argument: number;
  readonly mask?: number;
  readonly oneOf: readonly number[];
}

interface Rule {
  readonly call: CallName;
  readonly act: number;
  readonly when?: readonly Condition[];
  readonly otherwise?: number;
}

type Instruction = readonly [code: number, ifTrue: number, ifFalse: number, value: number];

// Tried in order, so the calls of a running query come first.
const hot = words('futex read write madvise epoll_pwait mmap munmap mprotect clock_nanosleep getpid');

// What Node 24 and its add-ons call from execve to exit. execve must stay: bubblewrap installs the filter and then
// executes node; what it can execute is only what is bound. openat sees only the files that are bound.
const plain =
  words(`close fstat lseek brk rt_sigaction rt_sigprocmask rt_sigreturn pread64 readv writev access sched_yield
  mremap poll nanosleep exit uname getcwd readlink getrusage sysinfo getuid getgid geteuid getegid getppid capget
  sigaltstack arch_prctl gettid sched_getaffinity getdents64 set_tid_address restart_syscall clock_gettime clock_getres
  exit_group epoll_ctl openat newfstatat readlinkat set_robust_list eventfd2 epoll_create1 pipe2 prlimit64 getcpu
  getrandom membarrier statx rseq execve dup dup2 dup3 gettimeofday pkey_alloc pkey_free pkey_mprotect sched_getattr
  sched_getparam sched_getscheduler epoll_wait stat open close_range tgkill`);

// Killed by name, so that they stay killed should a profile ever get a milder default.
const killed =
  words(`ptrace bpf perf_event_open userfaultfd process_vm_readv process_vm_writev kexec_file_load init_module
  finit_module mount umount2 pivot_root chroot unshare setns keyctl add_key request_key open_by_handle_at
  name_to_handle_at open_tree move_mount fsopen fsmount pidfd_getfd execveat socket connect bind listen sendto recvfrom
  sendmsg recvmsg socketpair fork vfork setuid setgid setresuid setgroups reboot swapon syslog kcmp mknod mknodat`);

const fcntlCommands = { node: [0, 1, 2, 3, 4, 1030], locks: [5, 6, 7, 36, 37, 38] } as const;
const cloneThread = 0x00010000;
const cloneNewNamespaces = 0x7e020000;

/** Returns the rules of a profile in the order in which the filter tries them. */
export function rulesOf(profile: SyscallProfile): readonly Rule[] {
  const allow = (call: CallName): Rule => ({ call, act: action.ALLOW });
  // DuckDB locks a database file even when it is attached read-only.
  const fcntl = profile === 'sql' ? [...fcntlCommands.node, ...fcntlCommands.locks] : fcntlCommands.node;
  return [
    ...hot.map(allow),
    ...plain.map(allow),
    // The arguments of clone3 are behind a pointer that a filter cannot follow; glibc falls back to clone.
    { call: 'clone3', act: action.refuse(errno.ENOSYS) },
    {
      call: 'clone',
      act: action.ALLOW,
      when: [
        { argument: 0, mask: cloneThread, oneOf: [cloneThread] },
        { argument: 0, mask: cloneNewNamespaces, oneOf: [0] },
      ],
      otherwise: action.KILL,
    },
    {
      call: 'prctl', // GET/SET_DUMPABLE, SET/GET_NAME, SET/GET_NO_NEW_PRIVS, SET_VMA
      act: action.ALLOW,
      when: [{ argument: 0, oneOf: [15, 16, 0x53564d41, 4, 3, 38, 39] }],
      otherwise: action.refuse(errno.EPERM),
    },
    {
      call: 'fcntl',
      act: action.ALLOW,
      when: [{ argument: 1, oneOf: fcntl }],
      otherwise: action.refuse(errno.EPERM),
    },
    {
      call: 'ioctl', // TCGETS, FIONBIO, FIOCLEX, FIONCLEX, TIOCGWINSZ
      act: action.ALLOW,
      when: [{ argument: 1, oneOf: [0x5401, 0x5421, 0x5451, 0x5450, 0x5413] }],
      otherwise: action.refuse(errno.ENOTTY),
    },
    // libuv asks what kind of socket fd 3 and fd 4 are (SOL_SOCKET, SO_TYPE) before it polls them.
    {
      call: 'getsockopt',
      act: action.ALLOW,
      when: [
        { argument: 1, oneOf: [1] },
        { argument: 2, oneOf: [3] },
      ],
      otherwise: action.refuse(errno.EPERM),
    },
    { call: 'getsockname', act: action.ALLOW },
    { call: 'kill', act: action.refuse(errno.EPERM) },
    ...killed.map((call): Rule => ({ call, act: action.KILL })),
    ...words('io_uring_setup io_uring_enter io_uring_register').map((call): Rule => ({
      call,
      act: action.refuse(errno.ENOSYS),
    })),
  ];
}

/** Returns the filter of a profile as the bytes bubblewrap's `--seccomp` wants, or undefined for an unknown machine. */
export function seccompFilter(profile: SyscallProfile, architecture: string = process.arch): Buffer | undefined {
  // Only the x64 table was ever run against a kernel. Another machine gets no namespaced level rather than a guess.
  if (architecture !== 'x64') return undefined;
  return assemble(rulesOf(profile));
}

/** Returns `sha256:<hex>` of a filter's bytes: what goes into evidence and into the golden test. */
export function filterDigest(filter: Uint8Array): string {
  return `sha256:${createHash('sha256').update(filter).digest('hex')}`;
}

function assemble(rules: readonly Rule[]): Buffer {
  const program: Instruction[] = [
    [opcode.LD, 0, 0, seccompData.arch],
    [opcode.JEQ, 1, 0, auditArch.x64],
    [opcode.RET, 0, 0, action.KILL],
    [opcode.LD, 0, 0, seccompData.nr],
    [opcode.JGE, 0, 1, x32Bit], // the x32 calling convention has its own numbers: none of them is ours
    [opcode.RET, 0, 0, action.KILL],
    ...rules.flatMap(assembleRule),
    [opcode.RET, 0, 0, action.KILL],
  ];
  if (program.length > maxInstructions) throw new Error(`seccomp program has ${program.length} instructions`);
  const bytes = Buffer.alloc(program.length * 8);
  for (const [index, [code, ifTrue, ifFalse, value]] of program.entries()) {
    bytes.writeUInt16LE(code, index * 8);
    bytes.writeUInt8(ifTrue, index * 8 + 2);
    bytes.writeUInt8(ifFalse, index * 8 + 3);
    bytes.writeUInt32LE(value >>> 0, index * 8 + 4);
  }
  return bytes;
}

function assembleRule(rule: Rule): readonly Instruction[] {
  const nr = x64Calls[rule.call];
  if (rule.when === undefined) {
    return [
      [opcode.JEQ, 0, 1, nr],
      [opcode.RET, 0, 0, rule.act],
    ];
  }
  // Built from the end, so that every jump to "otherwise" knows its distance. The accumulator is lost on the way,
  // but every path of the body returns.
  let body: Instruction[] = [
    [opcode.RET, 0, 0, rule.act],
    [opcode.RET, 0, 0, rule.otherwise ?? action.KILL],
  ];
  for (const condition of rule.when.toReversed()) {
    const tests = condition.oneOf.map((value, index): Instruction => {
      const after = condition.oneOf.length - 1 - index;
      const toOtherwise = after === 0 ? body.length - 1 : 0;
      return [opcode.JEQ, after, toOtherwise, value];
    });
    const mask: Instruction[] = condition.mask === undefined ? [] : [[opcode.AND, 0, 0, condition.mask]];
    body = [[opcode.LD, 0, 0, seccompData.argument(condition.argument)], ...mask, ...tests, ...body];
  }
  if (body.length > maxRuleBody) throw new Error(`seccomp rule for ${rule.call} is too long`);
  return [[opcode.JEQ, 0, body.length, nr], ...body];
}

function words(text: string): readonly CallName[] {
  return text.trim().split(/\s+/) as CallName[];
}
