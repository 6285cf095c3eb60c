import { readdirSync, readFileSync } from 'node:fs';

/** CPU of a process and everything below it, and its own memory; from /proc, so on Linux only. */
export class ProcessUsage {
  readonly #pid: number;
  /** Nanoseconds by thread, also of threads that are gone. */
  readonly #seen = new Map<string, number>();

  constructor(pid: number) {
    this.#pid = pid;
  }

  /** Milliseconds of CPU since the first look, of the process, its threads and all its descendants that still live. */
  cpuMs(): number {
    for (const pid of this.#family()) {
      for (const thread of list(`/proc/${pid}/task`)) {
        const text = read(`/proc/${pid}/task/${thread}/schedstat`);
        if (text !== '') this.#seen.set(`${pid}/${thread}`, Number(text.split(' ')[0]));
      }
    }
    let sum = 0;
    for (const nanoseconds of this.#seen.values()) sum += nanoseconds;
    return sum / 1e6;
  }

  /** Resident memory of the process itself, MiB. */
  residentMiB(): number {
    const kib = /^VmRSS:\s+(\d+) kB$/m.exec(read(`/proc/${this.#pid}/status`))?.[1];
    return Number(kib ?? 0) / 1024;
  }

  #family(): readonly number[] {
    const children = new Map<number, number[]>();
    for (const name of list('/proc')) {
      if (!/^\d+$/.test(name)) continue;
      const text = read(`/proc/${name}/stat`);
      const parent = Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[1]);
      if (!Number.isNaN(parent)) children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
    }
    const family = [this.#pid];
    for (let index = 0; index < family.length; index += 1) family.push(...(children.get(family[index] ?? -1) ?? []));
    return family;
  }
}

function list(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
