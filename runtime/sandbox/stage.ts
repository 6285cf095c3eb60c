/**
 * The stage: a folder in which a worker with a dropped uid can reach what it may read, and nothing else lies.
 * A checkout in a 0700 home or a data directory made by `mktemp -d` cannot be bound for another uid, so files are
 * hard-linked here (copied across file systems). Layout, when the gateway runs as root:
 *   STAGE 0711 root / images/<digest> 0755, files 0444 / data 0750 root:<worker gid> / <mount set> 0750, files
 * readable for that group.
 * Not root: workers run as the gateway's own uid, the stage is 0700, and data is used in place.
 */
import { constants, statSync } from 'node:fs';
import {
  access,
  chmod,
  chown,
  copyFile,
  link,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, isAbsolute, join, normalize } from 'node:path';
import type { SandboxImage } from './image.ts';

/** A file or folder of immutable data and where a worker sees it. `guestPath` lies below `/data/`. */
export interface Mount {
  readonly hostPath: string;
  readonly guestPath: string;
}

/** A mount set made reachable for workers. */
export interface StagedMounts {
  readonly binds: readonly { readonly from: string; readonly to: string }[];
  /** Removes the links; only after every worker of the set is gone. */
  release(): Promise<void>;
}

export const stageLimits = { mounts: 64, filesPerMount: 4096, guestPathBytes: 300 } as const;

const prefix = 'glovebox-stage-';

export class Stage {
  readonly root: string;
  readonly #gid: number | undefined;
  readonly #images = new Map<string, Promise<string>>();
  #sets = 0;

  constructor(root: string, gid: number | undefined) {
    this.root = root;
    this.#gid = gid;
  }

  /** Makes a stage and removes what dead gateways left. `gid` is the workers' group, undefined when not root. */
  static async open(options: { readonly parent?: string; readonly gid: number | undefined }): Promise<Stage> {
    const parents =
      options.parent !== undefined
        ? [options.parent]
        : options.gid !== undefined
          ? ['/var/lib/glovebox', tmpdir()]
          : [tmpdir()];
    const failures: string[] = [];
    for (const parent of parents) {
      try {
        await mkdir(parent, { recursive: true, mode: 0o755 });
        if (options.gid !== undefined && !(await isReachableByOthers(parent))) {
          throw new Error('other users cannot reach it');
        }
        await sweep(parent);
        const root = await mkdtemp(join(parent, `${prefix}${process.pid}-`));
        await chmod(root, options.gid === undefined ? 0o700 : 0o711);
        const data = join(root, 'data');
        await mkdir(data, { mode: 0o700 });
        if (options.gid !== undefined) {
          await chown(data, 0, options.gid);
          await chmod(data, 0o750);
        }
        return new Stage(root, options.gid);
      } catch (cause) {
        failures.push(`${parent}: ${(cause as Error).message}`);
      }
    }
    throw new Error(`no folder to stage worker files in: ${failures.join('; ')}`);
  }

  /** Stages an image once per digest and returns the folder that becomes the worker's `/app`. */
  image(image: SandboxImage): Promise<string> {
    let staged = this.#images.get(image.digest);
    if (staged === undefined) {
      staged = this.#stageImage(image);
      this.#images.set(image.digest, staged);
      staged.catch(async () => {
        // Half of an image is no image: the next worker tries again from nothing.
        await rm(this.#imageFolder(image), { recursive: true, force: true });
        this.#images.delete(image.digest);
      });
    }
    return staged;
  }

  #imageFolder(image: SandboxImage): string {
    return join(this.root, 'images', image.digest.replace(':', '-'));
  }

  async #stageImage(image: SandboxImage): Promise<string> {
    const app = join(this.#imageFolder(image), 'app');
    const folders = new Set<string>();
    for (const file of image.files) {
      const target = join(app, file.guestPath);
      if (!folders.has(dirname(target))) {
        await mkdir(dirname(target), { recursive: true, mode: 0o755 });
        folders.add(dirname(target));
      }
      if (file.source.kind === 'text') await writeFile(target, file.source.text, { mode: 0o444, flag: 'wx' });
      else await placeReadable(file.source.path, target);
    }
    return app;
  }

  /** Makes a program (the node binary) reachable for the workers' uid and returns its path. */
  async program(path: string, name: string): Promise<string> {
    if (this.#gid === undefined || (await isReachableByOthers(path))) return path;
    const target = join(this.root, name);
    await placeReadable(path, target);
    await chmod(target, 0o555);
    return target;
  }

  /** Writes a small readable file (a filter program) and returns its path. */
  async smallFile(name: string, bytes: Uint8Array): Promise<string> {
    const path = join(this.root, name);
    await writeFile(path, bytes, { mode: 0o444 });
    return path;
  }

  /** Makes a mount set reachable. Throws when a mount is wrong or its file cannot be read. */
  async mounts(mounts: readonly Mount[]): Promise<StagedMounts> {
    checkMounts(mounts);
    const folder = join(this.root, 'data', String((this.#sets += 1)));
    const gid = this.#gid;
    try {
      const binds: { from: string; to: string }[] = [];
      for (const [index, mount] of mounts.entries()) {
        // What lies in a folder was not looked at one by one: folders are always staged for a dropped uid.
        const isFile = (await stat(mount.hostPath)).isFile();
        const isReachable = gid === undefined || (isFile && (await isReachableByOthers(mount.hostPath)));
        const from = isReachable ? mount.hostPath : join(folder, String(index));
        if (!isReachable) {
          await mkdir(folder, { recursive: true, mode: 0o750 });
          await chown(folder, 0, gid);
          await placeData(mount.hostPath, from, gid, { files: 0 });
        }
        binds.push({ from, to: mount.guestPath });
      }
      return { binds, release: () => rm(folder, { recursive: true, force: true }) };
    } catch (cause) {
      await rm(folder, { recursive: true, force: true });
      throw cause;
    }
  }

  /** Removes the stage. */
  async close(): Promise<void> {
    await rm(this.root, { recursive: true, force: true });
  }
}

function checkMounts(mounts: readonly Mount[]): void {
  if (mounts.length > stageLimits.mounts) throw new Error(`${mounts.length} mounts, limit is ${stageLimits.mounts}`);
  const seen: string[] = [];
  for (const { guestPath, hostPath } of mounts) {
    const isPlain = /^\/data\/[\w.+-]+(\/[\w.+-]+)*$/.test(guestPath) && normalize(guestPath) === guestPath;
    if (!isPlain || guestPath.length > stageLimits.guestPathBytes)
      throw new Error(`guest path \`${guestPath}\` is not a plain path below /data`);
    if (!isAbsolute(hostPath)) throw new Error(`host path \`${hostPath}\` is not absolute`);
    if (
      seen.some(
        (other) => other === guestPath || other.startsWith(`${guestPath}/`) || guestPath.startsWith(`${other}/`),
      )
    ) {
      throw new Error(`guest path \`${guestPath}\` overlaps another mount`);
    }
    seen.push(guestPath);
  }
}

/** What tells one version of a mounted file or folder from another: two jobs share a worker only over the same one. */
export function identityOf(path: string): string {
  // Synchronous on purpose: each job looks at a few files, and asking another thread takes longer than the look.
  const { dev, ino, size, mtimeNs } = statSync(path, { bigint: true });
  return [dev, ino, size, mtimeNs].join(':');
}

/** Links or copies a program file so that everybody can read it. */
async function placeReadable(from: string, to: string): Promise<void> {
  const found = await stat(from);
  // A link shares owner and mode with its source: only one that others can read, and cannot change, will do.
  const mayLink = (found.mode & 0o004) !== 0 && (found.mode & 0o022) === 0;
  if (mayLink && (await tryLink(from, to))) return;
  await copyFile(from, to, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL);
  await chmod(to, 0o444);
}

/** Links or copies data so that only root and the workers' group can read it. */
async function placeData(from: string, to: string, gid: number, count: { files: number }): Promise<void> {
  const found = await stat(from);
  if (found.isDirectory()) {
    await mkdir(to, { mode: 0o750 });
    await chown(to, 0, gid);
    for (const name of await readdir(from)) await placeData(join(from, name), join(to, name), gid, count);
    return;
  }
  if (!found.isFile()) throw new Error(`${from} is neither a file nor a folder`);
  count.files += 1;
  if (count.files > stageLimits.filesPerMount)
    throw new Error(`a mount has more than ${stageLimits.filesPerMount} files`);
  const isLink = (await lstat(from)).isSymbolicLink();
  if (isLink || !(await tryLink(from, to)))
    await copyFile(from, to, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL);
  const placed = await stat(to);
  if ((placed.mode & 0o004) !== 0) return; // everybody may read it anyway, once they reach it
  // A link shares its inode with the source. Data files are immutable, belong to the runtime and lie in a folder that
  // only it can enter, so letting the workers' group read the inode opens it to nobody but a worker that has it bound.
  // Nothing else of the source's owner and mode changes.
  await chown(to, placed.uid, gid);
  await chmod(to, (placed.mode & 0o777) | 0o040);
}

async function tryLink(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'EXDEV' || code === 'EPERM' || code === 'EMLINK') return false;
    throw error;
  }
}

/** Says whether any user can reach a path: every folder on the way lets others pass, and a file lets them read. */
export async function isReachableByOthers(path: string): Promise<boolean> {
  const found = await stat(path);
  const wantedBits = found.isDirectory() ? 0o001 : 0o004;
  if ((found.mode & wantedBits) === 0) return false;
  for (let dir = dirname(path); ; dir = dirname(dir)) {
    if (((await stat(dir)).mode & 0o001) === 0) return false;
    if (dir === dirname(dir)) return true;
  }
}

/** Removes stages whose gateway is dead, and first whatever was still being started from them when it died. */
async function sweep(parent: string): Promise<void> {
  for (const name of await readdir(parent)) {
    const pid = new RegExp(`^${prefix}(\\d+)-`).exec(name)?.[1];
    if (pid === undefined || pid === String(process.pid)) continue;
    const isAlive = await access(`/proc/${pid}`).then(
      () => true,
      () => false,
    );
    const folder = join(parent, name);
    const owner = await lstat(folder).catch(() => undefined);
    if (isAlive || owner?.uid !== process.getuid?.()) continue;
    await killStartedFrom(folder);
    await rm(folder, { recursive: true, force: true });
  }
}

/**
 * A worker dies with its gateway, except in the moment in which bubblewrap's child has not yet asked to. Such an orphan
 * waits for ever, and can be told by the stage in its arguments.
 */
async function killStartedFrom(stage: string): Promise<void> {
  for (const pid of (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name))) {
    const line = await readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '');
    const words = line.split('\0');
    if (!words[0]?.endsWith('bwrap') || !words.some((word) => word.startsWith(`${stage}/`))) continue;
    try {
      process.kill(Number(pid), 'SIGKILL');
    } catch {
      // it is gone already
    }
  }
}
