/** The files of npm packages that a worker needs at run time: code, data and add-ons for this machine, no more. */
import { access, readFile, readdir, realpath } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';

export interface PackageFile {
  /** path below the worker's `/app` */
  readonly guestPath: string;
  readonly path: string;
}

const limits = { packages: 200, files: 5000 } as const;
const wanted = /\.(c?js|mjs|json|node|wasm|so(\.\d+)*)$/;
const skippedFolders = new Set(['node_modules', '.github', 'test', 'tests', 'docs', 'examples', 'benchmark']);

/** Lists the files of packages and of everything they depend on. Throws for a package that is not installed. */
export async function packageFiles(root: string, names: readonly string[]): Promise<readonly PackageFile[]> {
  if (names.length === 0) return [];
  const modules = await realpath(join(root, 'node_modules'));
  const folders = new Set<string>();
  const queue = names.map((name) => ({ name, from: modules, isOptional: false }));
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    const folder = await findPackage(modules, next.from, next.name);
    if (folder === undefined) {
      if (next.isOptional) continue;
      throw new Error(`package \`${next.name}\` is not installed in ${modules}`);
    }
    if (folders.has(folder)) continue;
    if (folders.size >= limits.packages) throw new Error(`more than ${limits.packages} packages are needed`);
    folders.add(folder);
    const manifest = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as {
      readonly dependencies?: Record<string, string>;
      readonly optionalDependencies?: Record<string, string>;
    };
    const optional = Object.keys(manifest.optionalDependencies ?? {});
    for (const name of new Set([...Object.keys(manifest.dependencies ?? {}), ...optional])) {
      if (!name.startsWith('@types/')) queue.push({ name, from: folder, isOptional: optional.includes(name) });
    }
  }
  const files: PackageFile[] = [];
  for (const folder of [...folders].toSorted()) await collect(modules, folder, files);
  return files;
}

async function findPackage(modules: string, from: string, name: string): Promise<string | undefined> {
  for (let dir = from; dir.startsWith(modules); dir = dirname(dir)) {
    const candidate = dir === modules ? join(modules, name) : join(dir, 'node_modules', name);
    if (
      await access(join(candidate, 'package.json')).then(
        () => true,
        () => false,
      )
    )
      return candidate;
  }
  return undefined;
}

async function collect(modules: string, folder: string, files: PackageFile[]): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      // Prebuilt add-ons of other machines stay out.
      const isForeign = folder.endsWith(`${sep}prebuilds`) && entry.name !== `${process.platform}-${process.arch}`;
      if (!skippedFolders.has(entry.name) && !isForeign) await collect(modules, path, files);
    } else if (entry.isFile() && wanted.test(entry.name) && !isForeignAddon(entry.name)) {
      if (files.length >= limits.files) throw new Error(`packages have more than ${limits.files} files`);
      files.push({ guestPath: join('node_modules', relative(modules, path)), path });
    }
  }
}

/** Prebuilt add-ons name their ABI and C library (`x.abi137.glibc.node`); those of another node or libc stay out. */
function isForeignAddon(name: string): boolean {
  const abi = /\.abi(\d+)\./.exec(name)?.[1];
  if (abi !== undefined && abi !== process.versions.modules) return true;
  return new RegExp(`\\.${isGlibc ? 'musl' : 'glibc'}\\.node$`).test(name);
}

const isGlibc = ((): boolean => {
  const report = process.report.getReport() as unknown as {
    readonly header: { readonly glibcVersionRuntime?: string };
  };
  return report.header.glibcVersionRuntime !== undefined;
})();
