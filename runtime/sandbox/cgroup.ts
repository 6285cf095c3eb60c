/**
 * Control groups for workers, where this process may make them: an exact bound on memory (outside V8's heap too) and on
 * processes, beside the rlimits that always hold. Without them the rlimits and the parent's watch are all there is.
 */
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { access, constants, mkdir, readdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

export type CgroupKind = 'v1' | 'v2' | 'none';

/** A place below which groups can be made: one folder per controller (v1) or a single one (v2). */
export interface CgroupHome {
  readonly kind: CgroupKind;
  readonly folders: readonly { readonly controller: 'memory' | 'pids' | 'unified'; readonly path: string }[];
}

/** One worker's group. */
export interface WorkerGroup {
  /** Moves a process in; synchronous, to be called before the process has children. */
  add(pid: number): void;
  /** Removes the group, when all its processes are gone. */
  remove(): Promise<void>;
}

const root = '/sys/fs/cgroup';
const none: CgroupHome = { kind: 'none', folders: [] };

/** Finds where this process may make groups, by making and removing one. */
export async function findCgroupHome(): Promise<CgroupHome> {
  const own = await readFile('/proc/self/cgroup', 'utf8').catch(() => '');
  for (const home of [unified(own), separate(own)]) {
    if (home !== undefined && (await isUsable(home))) return home;
  }
  return none;
}

function unified(own: string): CgroupHome | undefined {
  const path = /^0::(\/.*)$/m.exec(own)?.[1];
  return path === undefined ? undefined : { kind: 'v2', folders: [{ controller: 'unified', path: join(root, path) }] };
}

function separate(own: string): CgroupHome | undefined {
  const folders = (['memory', 'pids'] as const).map((controller) => {
    const path = new RegExp(`^\\d+:(?:[^:]*,)?${controller}(?:,[^:]*)?:(/.*)$`, 'm').exec(own)?.[1];
    return path === undefined ? undefined : { controller, path: join(root, controller, path) };
  });
  const [memory, pids] = folders;
  return memory === undefined || pids === undefined ? undefined : { kind: 'v1', folders: [memory, pids] };
}

async function isUsable(home: CgroupHome): Promise<boolean> {
  for (const { controller, path } of home.folders) {
    // v2 forbids controllers for the children of a group that has processes itself; we only use what is on already.
    const enabled =
      controller === 'unified' ? await readFile(join(path, 'cgroup.subtree_control'), 'utf8').catch(() => '') : '';
    if (controller === 'unified' && !(/\bmemory\b/.test(enabled) && /\bpids\b/.test(enabled))) return false;
    if (
      !(await access(path, constants.W_OK).then(
        () => true,
        () => false,
      ))
    )
      return false;
  }
  try {
    await sweep(home);
    const group = await makeGroup(home, `glovebox-${process.pid}-probe-${randomBytes(4).toString('hex')}`, {
      memoryMiB: 64,
      tasks: 16,
    });
    await group.remove();
    return true;
  } catch {
    return false;
  }
}

/** Removes the empty groups of gateways that died. */
async function sweep(home: CgroupHome): Promise<void> {
  for (const { path } of home.folders) {
    for (const name of await readdir(path)) {
      const pid = /^glovebox-(\d+)-/.exec(name)?.[1];
      const isAlive =
        pid === undefined ||
        (await access(`/proc/${pid}`).then(
          () => true,
          () => false,
        ));
      if (!isAlive) await rmdir(join(path, name)).catch(() => {});
    }
  }
}

/** Makes a group with a bound on memory, in MiB, and on tasks (processes and threads). */
export async function makeGroup(
  home: CgroupHome,
  name: string,
  bounds: { readonly memoryMiB: number; readonly tasks: number },
): Promise<WorkerGroup> {
  const bytes = String(bounds.memoryMiB * 1024 * 1024);
  const made: string[] = [];
  const remove = async (): Promise<void> => {
    for (const path of made) await removeEmpty(path);
  };
  try {
    for (const { controller, path } of home.folders) {
      const folder = join(path, name);
      await mkdir(folder);
      made.push(folder);
      if (controller === 'memory') await writeFile(join(folder, 'memory.limit_in_bytes'), bytes);
      if (controller === 'unified') {
        await writeFile(join(folder, 'memory.max'), bytes);
        await writeFile(join(folder, 'memory.swap.max'), '0').catch(() => {}); // absent where swap is not accounted
      }
      if (controller !== 'memory') await writeFile(join(folder, 'pids.max'), String(bounds.tasks));
    }
  } catch (cause) {
    await remove();
    throw cause;
  }
  return {
    add: (pid) => {
      for (const path of made) writeFileSync(join(path, 'cgroup.procs'), String(pid));
    },
    remove,
  };
}

/** A group goes away a moment after its last process is reaped. */
async function removeEmpty(path: string): Promise<void> {
  for (let waitMs = 1; waitMs <= 256; waitMs *= 2) {
    const error = await rmdir(path).then(
      () => undefined,
      (reason: NodeJS.ErrnoException) => reason,
    );
    if (error === undefined || error.code !== 'EBUSY') return;
    await new Promise((resolve) => setTimeout(resolve, waitMs));
  }
}
