/**
 * The command line of a jail. bubblewrap's protection is "entirely determined by the arguments" (its README), so every
 * one is spelled out here and none comes from outside.
 */
import { realpath } from 'node:fs/promises';
import { strayDescriptorsVariable } from './channel.ts';
import { confineScript } from './confine.ts';
import { sharedLibrariesOf } from './elf.ts';
import { hugePageEnvironment } from './huge-pages.ts';
import type { ImageManifest } from './manifest.ts';

/** Programs and libraries that every worker of this host runs on. */
export interface JailPrograms {
  readonly bwrap: string | undefined;
  readonly prlimit: string | undefined;
  readonly perl: string | undefined;
  readonly node: string;
  readonly loader: string | undefined;
  /** soname → path */
  readonly libraries: ReadonlyMap<string, string>;
}

/**
 * What stands between a worker and the machine: bubblewrap's namespaces; what a process gives up by itself; or only a process
 * of its own, without environment, limited, but not hidden from the host.
 */
export type Wall = 'bubblewrap' | 'confined' | 'process';

export interface JailSpec {
  readonly programs: JailPrograms;
  readonly wall: Wall;
  readonly manifest: ImageManifest;
  readonly tier: string;
  /** staged image folder, the worker's `/app` */
  readonly appFolder: string;
  readonly entryGuestPath: string;
  readonly binds: readonly { readonly from: string; readonly to: string }[];
  /** what an image with `hugePages` finds out about them; empty where there are none */
  readonly hugePages: readonly { readonly from: string; readonly to: string }[];
  /** the worker has a uid of its own */
  readonly hasOwnUid: boolean;
  /** descriptors that would reach the worker by accident, for it to close */
  readonly strayFds: readonly number[];
  /** inherited descriptor of the filter program; for bubblewrap */
  readonly filterFd: number | undefined;
  /** the same as a file; for a process that confines itself */
  readonly filterPath: string | undefined;
}

export interface CommandLine {
  readonly command: string;
  readonly args: readonly string[];
}

const mebibyte = 1024 * 1024;

/**
 * Address space in MiB that counts as data (RLIMIT_DATA) before the worker has any: V8 reserves a 512 MiB code range
 * for node and for every isolate unless it runs without a JIT. Measured as VmData on Node 24.
 */
export const dataBaseMiB = { jit: 640, jitPerIsolate: 540, jitless: 96, jitlessPerIsolate: 8 } as const;

/** Names of the environment of a worker; nothing else is in it. */
export function workerEnvironment(
  manifest: ImageManifest,
  strayFds: readonly number[],
): Readonly<Record<string, string>> {
  return {
    UV_USE_IO_URING: '0',
    UV_THREADPOOL_SIZE: String(manifest.limits.poolThreads),
    ...(strayFds.length === 0 ? {} : { [strayDescriptorsVariable]: strayFds.join() }),
  };
}

/** Returns the program and its arguments; run it with `env: {}`, the uid already dropped and fds 3 and 4 as pipes. */
export function jailCommand(spec: JailSpec): CommandLine {
  const inner = spec.wall === 'bubblewrap' ? bubblewrap(spec) : spec.wall === 'confined' ? confined(spec) : plain(spec);
  const [command, ...args] = [...limits(spec), ...inner];
  return { command: command!, args };
}

/** Returns the flags of a worker's node: for isolates of its own where they need one, the image's, the tier's. */
export function nodeFlags(
  { manifest, tier }: Pick<JailSpec, 'manifest' | 'tier'>,
  build: NodeBuild = process.config.variables,
): readonly string[] {
  const forIsolates = manifest.makesIsolates === true && !sharesReadOnlyHeap(build) ? ['--no-node-snapshot'] : [];
  return [...forIsolates, ...manifest.nodeFlags, ...(manifest.tiers[tier] ?? [])];
}

/** How a node was configured; workers run on the same one. */
type NodeBuild = Readonly<Record<string, unknown>>;

/**
 * All isolates of a process share V8's read-only heap, which the first brings along: node's own out of node's snapshot, the
 * others out of V8's. isolated-vm therefore asks for `--no-node-snapshot`, which makes node compile itself at each start, most
 * of what a start takes. A node configured with `v8_enable_extensible_ro_snapshot=0`, as releases of 24 are, cannot put
 * anything of its own into that heap, so that both have the same one; any other is started without its snapshot.
 */
function sharesReadOnlyHeap(build: NodeBuild): boolean {
  const isExtensible = build['v8_enable_extensible_ro_snapshot'];
  return isExtensible === 0 || isExtensible === false;
}

function limits(spec: JailSpec): readonly string[] {
  if (spec.programs.prlimit === undefined) return [];
  const { limits: wanted } = spec.manifest;
  const isJitless = nodeFlags(spec).includes('--jitless');
  const base = isJitless
    ? dataBaseMiB.jitless + dataBaseMiB.jitlessPerIsolate * wanted.isolates
    : dataBaseMiB.jit + dataBaseMiB.jitPerIsolate * wanted.isolates;
  return [
    spec.programs.prlimit,
    `--data=${(base + wanted.memoryMiB) * mebibyte}`,
    '--core=0', // a core file holds raw rows
    `--nofile=${wanted.descriptors}`,
    '--fsize=0',
    '--memlock=0',
    // Counts every process and thread of the uid: with a shared one it would count the gateway and the whole session.
    ...(spec.hasOwnUid ? [`--nproc=${wanted.threads}`] : []),
    `--cpu=${wanted.lifetimeCpuSeconds}`,
    '--',
  ];
}

function bubblewrap(spec: JailSpec): readonly string[] {
  const { programs } = spec;
  if (programs.bwrap === undefined || spec.filterFd === undefined) throw new Error('no bubblewrap or no filter');
  const bind = (from: string, to: string): readonly string[] => ['--ro-bind', from, to];
  return [
    programs.bwrap,
    // Never --unshare-all: it contains the "-try" forms and falls back silently.
    '--unshare-user',
    '--unshare-ipc',
    '--unshare-pid',
    '--unshare-net',
    '--unshare-uts',
    '--unshare-cgroup-try',
    // No nested user namespace, in which a guest would hold every capability; the second flag checks the first.
    '--disable-userns',
    '--assert-userns-disabled',
    '--die-with-parent',
    '--new-session',
    '--as-pid-1',
    '--clearenv',
    '--cap-drop',
    'ALL',
    '--hostname',
    'worker',
    ...Object.entries({
      ...workerEnvironment(spec.manifest, spec.strayFds),
      LD_LIBRARY_PATH: '/n/lib',
      ...(spec.hugePages.length > 0 ? hugePageEnvironment : {}),
    }).flatMap(([name, value]) => ['--setenv', name, value]),
    ...bind(programs.node, '/n/node'),
    ...(programs.loader === undefined ? [] : bind(programs.loader, programs.loader)),
    ...[...programs.libraries].flatMap(([name, path]) => bind(path, `/n/lib/${name}`)),
    ...bind(spec.appFolder, '/app'),
    ...[...spec.binds, ...spec.hugePages].flatMap(({ from, to }) => bind(from, to)),
    '--remount-ro',
    '/', // the root that bubblewrap makes is writable otherwise
    '--chdir',
    '/app',
    '--seccomp',
    String(spec.filterFd),
    '--',
    '/n/node',
    ...nodeFlags(spec),
    `/app/${spec.entryGuestPath}`,
  ];
}

function confined(spec: JailSpec): readonly string[] {
  const { programs, filterPath } = spec;
  if (programs.perl === undefined || filterPath === undefined) throw new Error('no perl or no filter');
  const readable = [
    programs.node,
    ...(programs.loader === undefined ? [] : [programs.loader]),
    ...programs.libraries.values(),
    spec.appFolder,
    ...spec.binds.map(({ from }) => from),
  ];
  const [node, ...args] = plain(spec);
  // The host's OpenSSL configuration cannot be read, and node ends where it is forbidden; a missing one is none.
  return [programs.perl, '-e', confineScript, filterPath, ...readable, '--', node!, '--openssl-config=/none', ...args];
}

function plain(spec: JailSpec): readonly string[] {
  return [spec.programs.node, ...nodeFlags(spec), `${spec.appFolder}/${spec.entryGuestPath}`];
}

/** Returns node and every library that it and the add-ons of an image need. */
export async function findPrograms(options: {
  readonly bwrap: string | undefined;
  readonly prlimit: string | undefined;
  readonly perl: string | undefined;
  readonly node: string;
  readonly addons: readonly string[];
}): Promise<JailPrograms> {
  const node = await realpath(options.node);
  const { loader, byName } = await sharedLibrariesOf([node, ...options.addons]);
  return { bwrap: options.bwrap, prlimit: options.prlimit, perl: options.perl, node, loader, libraries: byName };
}
