/**
 * What one machine offers to start workers with: its programs, a stage, images, filters, uids and groups. The pool and
 * the isolation probe both start workers through here, so that the probe tests exactly what jobs will run in.
 */
import { randomBytes } from 'node:crypto';
import { access, constants, open, unlink, type FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { loadImage, type SandboxImage } from './image.ts';
import { findPrograms, jailCommand, workerEnvironment, type JailPrograms } from './jail.ts';
import { filterDigest, seccompFilter, type SyscallProfile } from './seccomp.ts';
import { Stage, type Mount, type StagedMounts } from './stage.ts';
import { workerFds, WorkerProcess } from './worker-process.ts';

export interface HostOptions {
  /** folder that holds `runtime`, `sandbox-images` and `node_modules` */
  readonly root: string;
  /** search path for bwrap and prlimit; default: the process's own PATH, then the standard folders */
  readonly path?: string;
  /** folder to make the stage in */
  readonly stageParent?: string;
  /** outer uids that workers may get when the gateway is root */
  readonly uids?: { readonly first: number; readonly count: number };
  readonly startTimeoutMs?: number;
}

export interface StartWorker {
  readonly image: SandboxImage;
  readonly tier: string;
  readonly binds: StagedMounts['binds'];
  readonly isNamespaced: boolean;
}

export interface StartedWorker {
  readonly process: WorkerProcess;
  /** the gateway's writable end of fd 5, when the image asks for one; close it after `process.closed` */
  readonly scratch: FileHandle | undefined;
}

// 60706…61183 is the range that systemd's table of uids leaves unused by anybody.
const defaultUids = { first: 60_706, count: 478 } as const;
const startTimeoutMs = 20_000;

export class Host {
  readonly isRoot: boolean;
  readonly stage: Stage;
  readonly #options: HostOptions;
  readonly #programs: { readonly bwrap: string | undefined; readonly prlimit: string | undefined };
  readonly #images = new Map<string, Promise<SandboxImage>>();
  readonly #programsOf = new Map<string, Promise<JailPrograms>>();
  readonly #filters = new Map<SyscallProfile, Promise<{ path: string; digest: string } | undefined>>();
  readonly #freeUids: number[];
  readonly #gid: number | undefined;

  constructor(parts: {
    readonly options: HostOptions;
    readonly stage: Stage;
    readonly programs: { readonly bwrap: string | undefined; readonly prlimit: string | undefined };
    readonly gid: number | undefined;
  }) {
    this.#options = parts.options;
    this.stage = parts.stage;
    this.#programs = parts.programs;
    this.#gid = parts.gid;
    this.isRoot = parts.gid !== undefined;
    const { first, count } = parts.options.uids ?? defaultUids;
    // Start anywhere in the range: limits on processes count per uid, and another gateway may use the same range.
    const start = randomBytes(4).readUInt32LE() % count;
    this.#freeUids = Array.from({ length: count }, (_, index) => first + ((start + index) % count));
  }

  /** Finds the programs and makes the stage. Throws when there is no folder to stage in. */
  static async open(options: HostOptions): Promise<Host> {
    const isRoot = process.getuid?.() === 0;
    const path = options.path ?? `${process.env['PATH'] ?? ''}:/usr/bin:/bin:/usr/sbin:/sbin`;
    const programs = { bwrap: await findProgram('bwrap', path), prlimit: await findProgram('prlimit', path) };
    const gid = isRoot ? (options.uids ?? defaultUids).first : undefined;
    const stage = await Stage.open({
      gid,
      ...(options.stageParent === undefined ? {} : { parent: options.stageParent }),
    });
    return new Host({ options, stage, programs, gid });
  }

  get bwrap(): string | undefined {
    return this.#programs.bwrap;
  }

  get prlimit(): string | undefined {
    return this.#programs.prlimit;
  }

  /** How many workers can have a uid of their own at one time; Infinity when not root. */
  get uidCount(): number {
    return this.isRoot ? this.#freeUids.length : Infinity;
  }

  /** Loads and verifies an image once. A failure is not remembered. */
  image(name: string): Promise<SandboxImage> {
    return remember(this.#images, name, () => loadImage(this.#options.root, name));
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
    const { image, isNamespaced } = request;
    const appFolder = await this.stage.image(image);
    const programs = await this.#programsFor(image);
    const filter = isNamespaced ? await this.filter(image.manifest.syscalls) : undefined;
    const scratch = image.manifest.scratch ? await openScratch() : undefined;
    const uid = this.#gid === undefined ? undefined : this.#freeUids.shift();
    try {
      if (this.#gid !== undefined && uid === undefined) throw new Error('no free uid for a worker');
      const line = jailCommand({
        programs,
        isNamespaced,
        manifest: image.manifest,
        tier: request.tier,
        appFolder,
        entryGuestPath: image.entryGuestPath,
        binds: request.binds,
        filterFd: filter === undefined ? undefined : workerFds.filter(scratch !== undefined),
      });
      const process = new WorkerProcess({
        line,
        env: isNamespaced ? {} : workerEnvironment(image.manifest),
        ids: uid === undefined || this.#gid === undefined ? undefined : { uid, gid: this.#gid },
        filterPath: filter?.path,
        scratchFd: scratch?.reader.fd,
        startTimeoutMs: this.#options.startTimeoutMs ?? startTimeoutMs,
        isNamespaced,
        cpuLimitSeconds: image.manifest.limits.lifetimeCpuSeconds,
      });
      void process.closed.then(() => uid !== undefined && this.#freeUids.push(uid));
      return { process, scratch: scratch?.writer };
    } catch (cause) {
      if (uid !== undefined) this.#freeUids.push(uid);
      await scratch?.writer.close();
      throw cause;
    } finally {
      await scratch?.reader.close();
    }
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

/** An unlinked memory file per worker: Node can neither map memory nor hand a later descriptor to a child. */
async function openScratch(): Promise<{ readonly writer: FileHandle; readonly reader: FileHandle }> {
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
