/** Reads which shared libraries an ELF file needs, so that a jail binds exactly those and nothing is hard-coded. */
import { open, readdir, readFile, realpath, stat, type FileHandle } from 'node:fs/promises';
import { dirname, isAbsolute, join } from 'node:path';

/** What the dynamic loader of an ELF file would look at. */
export interface ElfNeeds {
  readonly loader: string | undefined;
  readonly libraries: readonly string[];
  /** Search folders written into the file, `$ORIGIN` resolved. */
  readonly searchDirs: readonly string[];
}

/** The loader and every shared library, by name, that a set of binaries needs from the system. */
export interface SharedLibraries {
  readonly loader: string | undefined;
  readonly byName: ReadonlyMap<string, string>;
}

const limits = {
  programHeaders: 128,
  dynamicEntries: 4096,
  stringTableBytes: 16 * 1024 * 1024,
  libraries: 256,
} as const;
const segment = { LOAD: 1, DYNAMIC: 2, INTERP: 3 } as const;
const tag = { NULL: 0n, NEEDED: 1n, STRTAB: 5n, STRSZ: 10n, RPATH: 15n, RUNPATH: 29n } as const;

/** Reads an ELF64 little-endian file; undefined for any other file. Throws on an ELF file that is damaged. */
export async function readElfNeeds(path: string): Promise<ElfNeeds | undefined> {
  await using file = await open(path, 'r');
  const head = await readAt(file, 0, 64);
  if (head.length < 64 || head.readUInt32BE(0) !== 0x7f454c46 || head[4] !== 2 || head[5] !== 1) return undefined;
  const [offset, size, count] = [Number(head.readBigUInt64LE(32)), head.readUInt16LE(54), head.readUInt16LE(56)];
  if (count > limits.programHeaders || size < 56) throw new Error(`${path}: damaged ELF program headers`);
  const table = await readAt(file, offset, size * count);
  const segments = Array.from({ length: count }, (_, index) => {
    const at = index * size;
    return {
      type: table.readUInt32LE(at),
      offset: Number(table.readBigUInt64LE(at + 8)),
      address: Number(table.readBigUInt64LE(at + 16)),
      bytes: Number(table.readBigUInt64LE(at + 32)),
    };
  });
  const interpreter = segments.find((one) => one.type === segment.INTERP);
  const loader =
    interpreter === undefined ? undefined : text(await readAt(file, interpreter.offset, interpreter.bytes), 0);
  const dynamic = segments.find((one) => one.type === segment.DYNAMIC);
  if (dynamic === undefined) return { loader, libraries: [], searchDirs: [] };

  const entries = await readAt(file, dynamic.offset, Math.min(dynamic.bytes, limits.dynamicEntries * 16));
  const found: { readonly tag: bigint; readonly value: number }[] = [];
  for (let at = 0; at + 16 <= entries.length; at += 16) {
    const entry = { tag: entries.readBigUInt64LE(at), value: Number(entries.readBigUInt64LE(at + 8)) };
    if (entry.tag === tag.NULL) break;
    found.push(entry);
  }
  const valueOf = (wanted: bigint): number => found.find((entry) => entry.tag === wanted)?.value ?? 0;
  const address = valueOf(tag.STRTAB);
  const home = segments.find(
    (one) => one.type === segment.LOAD && address >= one.address && address < one.address + one.bytes,
  );
  if (home === undefined) throw new Error(`${path}: damaged ELF string table`);
  const strings = await readAt(
    file,
    address - home.address + home.offset,
    Math.min(valueOf(tag.STRSZ), limits.stringTableBytes),
  );
  const named = (wanted: bigint): string[] => found.filter((e) => e.tag === wanted).map((e) => text(strings, e.value));
  const origin = dirname(path);
  const searchDirs = [...named(tag.RPATH), ...named(tag.RUNPATH)]
    .flatMap((list) => list.split(':'))
    .map((dir) => dir.replaceAll('$ORIGIN', origin).replaceAll('${ORIGIN}', origin))
    .filter(isAbsolute);
  return { loader, libraries: named(tag.NEEDED), searchDirs };
}

/**
 * Returns the system libraries that these binaries need, directly or through one another. A library found through a
 * search folder written in the binary (a package's own library beside its add-on) is followed but not listed.
 */
export async function sharedLibrariesOf(binaries: readonly string[]): Promise<SharedLibraries> {
  const systemDirs = await librarySearchDirs();
  const byName = new Map<string, string>();
  const seen = new Set<string>();
  const queue = await Promise.all(binaries.map((path) => realpath(path)));
  let loader: string | undefined;
  for (let path = queue.shift(); path !== undefined; path = queue.shift()) {
    if (seen.has(path)) continue;
    seen.add(path);
    if (seen.size > limits.libraries) throw new Error(`more than ${limits.libraries} shared libraries are needed`);
    const needs = await readElfNeeds(path);
    if (needs === undefined) continue;
    loader ??= needs.loader;
    for (const name of needs.libraries) {
      const own = await firstExisting(needs.searchDirs, name);
      const system = own ?? byName.get(name) ?? (await firstExisting(systemDirs, name));
      if (system === undefined) throw new Error(`${path} needs ${name}, which is in none of ${systemDirs.join(', ')}`);
      if (own === undefined) byName.set(name, system);
      queue.push(system);
    }
  }
  if (loader !== undefined) {
    // The loader is bound at its own path; a library list names it too (glibc needs it by name).
    for (const name of byName.keys()) if (loader.endsWith(`/${name}`)) byName.delete(name);
  }
  return { loader, byName };
}

async function librarySearchDirs(): Promise<readonly string[]> {
  const machine = { x64: 'x86_64', arm64: 'aarch64' }[process.arch as string] ?? process.arch;
  const triplet = `${machine}-linux-gnu`;
  const standard = [
    `/lib/${triplet}`,
    `/usr/lib/${triplet}`,
    '/lib64',
    '/usr/lib64',
    '/lib',
    '/usr/lib',
    '/usr/local/lib',
  ];
  return [...new Set([...standard, ...(await configuredDirs('/etc/ld.so.conf'))])];
}

async function configuredDirs(file: string): Promise<readonly string[]> {
  const lines = (await readFile(file, 'utf8').catch(() => '')).split('\n').map((line) => line.trim());
  const dirs = lines.filter((line) => line.startsWith('/'));
  // `include /etc/ld.so.conf.d/*.conf` is the one form in use.
  const included = lines
    .map((line) => /^include\s+(\/\S+)\/\*\.conf$/.exec(line)?.[1])
    .filter((dir) => dir !== undefined);
  for (const dir of included) {
    const names = (await readdir(dir).catch(() => [])).filter((name) => name.endsWith('.conf')).toSorted();
    for (const name of names) {
      const inner = await readFile(join(dir, name), 'utf8').catch(() => '');
      dirs.push(
        ...inner
          .split('\n')
          .map((line) => line.trim())
          .filter((line) => line.startsWith('/')),
      );
    }
  }
  return dirs;
}

async function firstExisting(dirs: readonly string[], name: string): Promise<string | undefined> {
  for (const dir of dirs) {
    const path = join(dir, name);
    const isFile = await stat(path).then(
      (found) => found.isFile(),
      () => false,
    );
    if (isFile) return realpath(path);
  }
  return undefined;
}

async function readAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, position);
  return buffer.subarray(0, bytesRead);
}

function text(bytes: Buffer, at: number): string {
  const end = bytes.indexOf(0, at);
  return bytes.toString('latin1', at, end === -1 ? bytes.length : end);
}
