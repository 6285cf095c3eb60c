/**
 * Loads a sandbox image: its manifest, the files of its own folder (pinned by digest), the import closure of its entry
 * and the packages it lists. Everything a worker will see is named here with its digest; nothing else is staged.
 *
 * Pinning. Files in the image's folder are pinned in `image.json` and a changed one is refused. The entry's TypeScript
 * closure and the packages are digested when they are loaded: they change with every commit and with the lockfile,
 * which already pin them. Both go into the image digest that evidence carries, and the signature is over that digest,
 * so a released image that is signed is pinned as a whole.
 */
import { createHash } from 'node:crypto';
import { access, readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { sha256OfFile } from './file-digest.ts';
import { keptText } from './kept-text.ts';
import { linkModules } from './link-modules.ts';
import { moduleClosure, type ModuleClosure } from './module-closure.ts';
import { imageDigest, parseManifest, signatureStateOf, type ImageManifest, type SignatureState } from './manifest.ts';
import { packageFiles } from './package-files.ts';

/** One file of an image. `text` is set for generated files (type-stripped sources), `path` for copied ones. */
export interface ImageFile {
  /** path below the worker's `/app` */
  readonly guestPath: string;
  readonly sha256: string;
  readonly source: { readonly kind: 'text'; readonly text: string } | { readonly kind: 'file'; readonly path: string };
}

export interface SandboxImage {
  readonly manifest: ImageManifest;
  readonly folder: string;
  /** entry as the worker sees it, below `/app` */
  readonly entryGuestPath: string;
  readonly files: readonly ImageFile[];
  readonly digest: string;
  readonly signature: SignatureState;
}

/** Names of the images of an installation, the folder that holds `sandbox-images`. */
export function listImages(root: string): Promise<readonly string[]> {
  return namesIn(join(root, 'sandbox-images'));
}

async function namesIn(folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  const names: string[] = [];
  for (const entry of entries) {
    const isImage = await access(join(folder, entry.name, 'image.json')).then(
      () => true,
      () => false,
    );
    if (entry.isDirectory() && isImage) names.push(entry.name);
  }
  return names.toSorted();
}

/**
 * Loads and verifies the image `sandbox-images/NAME` of an installation (or of a further folder). Throws when the manifest is wrong, when a
 * pinned file is missing or changed, when an import is not listed, or when the signature is present and invalid.
 */
export async function loadImage(root: string, name: string, extraImages?: string): Promise<SandboxImage> {
  const folders = [join(root, 'sandbox-images'), ...(extraImages === undefined ? [] : [extraImages])];
  const folder = await firstWith(folders, name);
  const file = join(folder, 'image.json');
  const manifest = parseManifest(await readFile(file, 'utf8'), file);
  if (manifest.name !== name)
    throw new Error(`${file} name: \`${manifest.name}\` does not match its folder \`${name}\``);

  const own = await Promise.all(
    manifest.files.map(async ({ path, sha256 }): Promise<ImageFile> => {
      const source = join(folder, path);
      const actual = await sha256OfFile(source);
      if (actual !== sha256)
        throw new Error(`image \`${name}\`: ${path} has digest ${actual}, image.json says ${sha256}`);
      return { guestPath: `sandbox-images/${name}/${path}`, sha256, source: { kind: 'file', path: source } };
    }),
  );
  const closure = await closureOf(root, manifest);
  const code = closure.modules.map(({ guestPath, text }): ImageFile => ({
    guestPath,
    sha256: sha256Of(text),
    source: { kind: 'text', text },
  }));
  const packaged: ImageFile[] = [];
  for (const { guestPath, path } of await packageFiles(root, manifest.packages)) {
    packaged.push({ guestPath, sha256: await sha256OfFile(path), source: { kind: 'file', path } });
  }
  const files = [...own, ...code, ...packaged];
  const digest = imageDigest(manifest, files);
  const signature = signatureStateOf(manifest, digest);
  if (signature.kind === 'invalid') throw new Error(`image \`${name}\`: the signature does not fit digest ${digest}`);
  return { manifest, folder, entryGuestPath: closure.entryGuestPath, files, digest, signature };
}

async function closureOf(root: string, manifest: ImageManifest): Promise<ModuleClosure> {
  const closure = await moduleClosure(root, manifest.entry, new Set(manifest.packages));
  if (manifest.isLinked !== true) return closure;
  const entryGuestPath = closure.entryGuestPath.replace(/\.mjs$/, '.cjs');
  const inputs = [closure.entryGuestPath, ...closure.modules.flatMap(({ guestPath, text }) => [guestPath, text])];
  const text = keptText('linked-modules/1', inputs, () => linkModules(closure.modules, closure.entryGuestPath));
  return { entryGuestPath, modules: [{ guestPath: entryGuestPath, text }] };
}

async function firstWith(folders: readonly string[], name: string): Promise<string> {
  for (const folder of folders) {
    if ((await namesIn(folder)).includes(name)) return join(folder, name);
  }
  throw new Error(`no sandbox image \`${name}\` in ${folders.join(', ')}`);
}

function sha256Of(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
