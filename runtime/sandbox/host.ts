/**
 * What one machine offers to start workers with: its programs, a stage, images, filters, uids and groups. The pool and
 * the isolation probe both start workers through here, so that the probe tests exactly what jobs will run in.
 */
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { access, constants, open, unlink, type FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { findCgroupHome, makeGroup, type CgroupHome, type WorkerGroup } from './cgroup.ts';
import { hugePageFiles } from './huge-pages.ts';
import { loadImage, type SandboxImage } from './image.ts';
import { findPrograms, jailCommand, workerEnvironment, type JailPrograms, type Wall } from './jail.ts';
import { filterDigest, seccompFilter, type SyscallProfile } from './seccomp.ts';
import { workerFds } from './spawn-worker.ts';
import { Stage, type Mount, type StagedMounts } from './stage.ts';
import { workerIds, type IdRange } from './worker-ids.ts';
import { WorkerProcess } from './worker-process.ts';

export interface HostOptions {
  /** folder that holds `runtime`, `sandbox-images` and `node_modules` */
  readonly root: string;
  /** a further folder of images, looked at after `sandbox-images` */
  readonly extraImages?: string;
  /** search path for bwrap and prlimit; default: the process's own PATH, then the standard folders */
  readonly path?: string;
  /** folder to make the stage in */
  readonly stageParent?: string;
  /** outer uids that workers may get when the gateway is root */
  readonly uids?: IdRange;
  readonly startTimeoutMs?: number;
}

interface Programs {
  readonly bwrap: string | undefined;
  readonly prlimit: string | undefined;
  readonly perl: string | undefined;
}

export interface StartWorker {
  readonly image: SandboxImage;
  readonly tier: string;
  readonly binds: StagedMounts['binds'];
  readonly wall: Wall;
}

export interface StartedWorker {
  readonly process: WorkerProcess;
  /** the gateway's writable end of fd 5, when the image asks for one; close it after `process.closed` */
  readonly scratch: FileHandle | undefined;
}

/** A start takes a third of a second; on a machine with ten times the work that it can do, many at once take long. */
const startTimeoutMs = 60_000;
/** Memory of node and bubblewrap themselves: the watch from outside speaks first, the group is the hard stop behind it. */
const groupBaseMiB = 256;

export class Host {
  /** workers get a uid of their own */
  readonly dropsUid: boolean;
  readonly stage: Stage;
  readonly cgroups: CgroupHome;
  readonly #options: HostOptions;
  readonly #programs: Programs;
  readonly #images = new Map<string, Promise<SandboxImage>>();
  readonly #programsOf = new Map<string, Promise<JailPrograms>>();
  readonly #filters = new Map<SyscallProfile, Promise<{ path: string; digest: string } | undefined>>();
  readonly #hugePages = new Map<'staged', Promise<StagedMounts['binds']>>();
  readonly #freeUids: number[];
  readonly #tag = randomBytes(4).toString('hex');
  #groups = 0;
  readonly #gid: number | undefined;

  constructor(parts: {
    readonly options: HostOptions;
    readonly stage: Stage;
    readonly programs: Programs;
    /** ids that workers get; undefined keeps the gateway's own */
    readonly ids: IdRange | undefined;
    readonly cgroups: CgroupHome;
  }) {
    this.cgroups = parts.cgroups;
    this.#options = parts.options;
    this.stage = parts.stage;
    this.#programs = parts.programs;
    const { first, count } = parts.ids ?? { first: 0, count: 0 };
    this.#gid = parts.ids?.first;
    this.dropsUid = parts.ids !== undefined;
    // Start anywhere in the range: limits on processes count per uid, and another gateway may use the same range.
    const start = randomBytes(4).readUInt32LE() % Math.max(1, count);
    this.#freeUids = Array.from({ length: count }, (_, index) => first + ((start + index) % count));
  }

  /** Finds the programs and makes the stage. Throws when there is no folder to stage in. */
  static async open(options: HostOptions): Promise<Host> {
    const path = options.path ?? `${process.env['PATH'] ?? ''}:/usr/bin:/bin:/usr/sbin:/sbin`;
    const programs = {
      bwrap: await findProgram('bwrap', path),
      prlimit: await findProgram('prlimit', path),
      perl: await findProgram('perl', path),
    };
    const ids = await workerIds(options.uids);
    const stage = await Stage.open({
      gid: ids?.first,
      ...(options.stageParent === undefined ? {} : { parent: options.stageParent }),
    });
    return new Host({ options, stage, programs, ids, cgroups: await findCgroupHome() });
  }

  get bwrap(): string | undefined {
    return this.#programs.bwrap;
  }

  get perl(): string | undefined {
    return this.#programs.perl;
  }

  get prlimit(): string | undefined {
    return this.#programs.prlimit;
  }

  /** How many workers can have a uid of their own at one time; Infinity when they share ours. */
  get uidCount(): number {
    return this.dropsUid ? this.#freeUids.length : Infinity;
  }

  /** Loads and verifies an image once. A failure is not remembered. */
  image(name: string): Promise<SandboxImage> {
    return remember(this.#images, name, () => loadImage(this.#options.root, name, this.#options.extraImages));
  }

  /** The filter of a profile as a file, with its digest; undefined where there is no filter for this machine. */
  filter(profile: SyscallProfile): Promise<{ readonly path: string; readonly digest: string } | undefined> {
    return remember(this.#filters, profile, async () => {
      const bytes = seccompFilter(profile);
      if (bytes === undefined) return undefined;
      return { path: await this.stage.smallFile(`${profile}.bpf`, bytes), digest: filterDigest(bytes) };
    });
  }

  /** Makes a mount set reachable for workers. */
  mounts(mounts: readonly Mount[]): Promise<StagedMounts> {
    return this.stage.mounts(mounts);
  }

  /** Starts a worker; await `process.ready` next. Throws when it cannot even be tried. */
  async start(request: StartWorker): Promise<StartedWorker> {
    const { image, wall } = request;
    const isNamespaced = wall === 'bubblewrap';
    const appFolder = await this.stage.image(image);
    const programs = await this.#programsFor(image);
    const filter = wall === 'process' ? undefined : await this.filter(image.manifest.syscalls);
    // Twice, so that a descriptor which somebody holds for a moment only is not named: in the worker its number is node's own.
    const before = strayDescriptors();
    await turn();
    const stillOpen = new Set(before);
    const strayFds = strayDescriptors().filter((fd) => stillOpen.has(fd));
    let uid: number | undefined;
    let scratch: Scratch | undefined;
    let group: WorkerGroup | undefined;
    try {
      scratch = image.manifest.scratch ? await openScratch() : undefined;
      group = await this.#groupFor(image);
      uid = this.#gid === undefined ? undefined : this.#freeUids.shift();
      if (this.#gid !== undefined && uid === undefined) throw new Error('no free uid for a worker');
      const line = jailCommand({
        programs,
        wall,
        manifest: image.manifest,
        tier: request.tier,
        appFolder,
        entryGuestPath: image.entryGuestPath,
        binds: request.binds,
        hugePages: isNamespaced && image.manifest.hugePages === true ? await this.#hugePageBinds() : [],
        hasOwnUid: uid !== undefined,
        strayFds,
        filterFd: filter === undefined ? undefined : workerFds.filter(scratch !== undefined),
        filterPath: filter?.path,
      });
      const process = new WorkerProcess({
        line,
        env: isNamespaced ? {} : workerEnvironment(image.manifest, strayFds),
        ids: uid === undefined || this.#gid === undefined ? undefined : { uid, gid: this.#gid },
        filterPath: isNamespaced ? filter?.path : undefined,
        scratchFd: scratch?.reader.fd,
        startTimeoutMs: this.#options.startTimeoutMs ?? startTimeoutMs,
        isNamespaced,
        cpuLimitSeconds: image.manifest.limits.lifetimeCpuSeconds,
        group,
      });
      void process.closed.then(() => process.uid !== undefined && this.#freeUids.push(process.uid));
      return { process, scratch: scratch?.writer };
    } catch (cause) {
      if (uid !== undefined) this.#freeUids.push(uid);
      await group?.remove();
      await scratch?.writer.close();
      throw cause;
    } finally {
      await scratch?.reader.close();
    }
  }

  async #groupFor(image: SandboxImage): Promise<WorkerGroup | undefined> {
    if (this.cgroups.kind === 'none') return undefined;
    const { memoryMiB, threads } = image.manifest.limits;
    const bounds = { memoryMiB: memoryMiB + groupBaseMiB, tasks: threads + 8 };
    this.#groups += 1;
    return makeGroup(this.cgroups, `glovebox-${process.pid}-${this.#tag}-${this.#groups}`, bounds);
  }

  /** Copies of what tells about huge pages, staged once. */
  #hugePageBinds(): Promise<StagedMounts['binds']> {
    return remember(this.#hugePages, 'staged', async () => {
      const binds: { from: string; to: string }[] = [];
      for (const { name, guestPath, text } of await hugePageFiles()) {
        binds.push({ from: await this.stage.smallFile(`huge-pages-${name}`, Buffer.from(text)), to: guestPath });
      }
      return binds;
    });
  }

  #programsFor(image: SandboxImage): Promise<JailPrograms> {
    return remember(this.#programsOf, image.digest, async () => {
      const addons = image.files.flatMap(({ source }) =>
        source.kind === 'file' && /\.(node|so)(\.|$)/.test(source.path) ? [source.path] : [],
      );
      const found = await findPrograms({ ...this.#programs, node: process.execPath, addons });
      return { ...found, node: await this.stage.program(found.node, 'node') };
    });
  }

  /** Removes the stage; only after every worker is gone. */
  close(): Promise<void> {
    return this.stage.close();
  }
}

/** Our descriptors above 2 that a child inherits: Node opens its own with CLOEXEC, these came from elsewhere. */
function strayDescriptors(): readonly number[] {
  const closeOnExec = 0o2000000;
  // One after the other: read at once, the descriptors of several starts would see and multiply each other.
  return readdirSync('/proc/self/fdinfo').flatMap((name) => {
    const flags = /^flags:\s*([0-7]+)/m.exec(infoOf(name))?.[1];
    const isInherited = flags !== undefined && (Number.parseInt(flags, 8) & closeOnExec) === 0;
    return isInherited && Number(name) > 2 ? [Number(name)] : [];
  });
}

function infoOf(name: string): string {
  try {
    return readFileSync(`/proc/self/fdinfo/${name}`, 'utf8');
  } catch {
    return ''; // closed meanwhile
  }
}

async function findProgram(name: string, path: string): Promise<string | undefined> {
  for (const dir of path.split(':').filter(isAbsolute)) {
    const candidate = join(dir, name);
    if (
      await access(candidate, constants.X_OK).then(
        () => true,
        () => false,
      )
    )
      return candidate;
  }
  return undefined;
}

interface Scratch {
  readonly writer: FileHandle;
  readonly reader: FileHandle;
}

/** An unlinked memory file per worker: Node can neither map memory nor hand a later descriptor to a child. */
async function openScratch(): Promise<Scratch> {
  const isShared = await access('/dev/shm', constants.W_OK).then(
    () => true,
    () => false,
  );
  const path = join(isShared ? '/dev/shm' : tmpdir(), `glovebox-${randomBytes(12).toString('hex')}`);
  const writer = await open(path, 'wx+', 0o600);
  try {
    return { writer, reader: await open(path, 'r') }; // a second, read-only open: the child cannot write through it
  } catch (cause) {
    await writer.close();
    throw cause;
  } finally {
    await unlink(path);
  }
}

/** Computes a value once per key; a failure is forgotten, so that a repaired image can be tried again. */
function remember<K, V>(cache: Map<K, Promise<V>>, key: K, make: () => Promise<V>): Promise<V> {
  let value = cache.get(key);
  if (value === undefined) {
    value = make();
    cache.set(key, value);
    value.catch(() => cache.delete(key));
  }
  return value;
}
