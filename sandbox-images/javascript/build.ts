/**
 * Bundles the libraries of the image and pins them in image.json. Run it after a change of their versions:
 *
 *     node sandbox-images/javascript/build.ts          writes dist/ and image.json
 *     node sandbox-images/javascript/build.ts --check  says whether what is there is what would be built
 *
 * Bundles are plain scripts that define one global each; no code cache or snapshot is ever shipped, because that would be
 * machine code that nobody can review.
 */
import { createHash } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { build } from 'esbuild';
import { imageLibraries } from '../../runtime/sandbox/javascript/libraries.ts';

const folder = import.meta.dirname;
const root = join(folder, '..', '..');

interface Built {
  readonly path: string;
  readonly text: string;
}

/** Bundles every library; the same versions give the same bytes. */
export async function buildLibraries(): Promise<readonly Built[]> {
  const built: Built[] = [];
  const notices: string[] = [];
  for (const library of imageLibraries) {
    const { isDefaultOnly } = library;
    const result = await build({
      stdin: {
        contents: isDefaultOnly
          ? `import whole from '${library.package}'; export default whole;`
          : `export * from '${library.package}';`,
        resolveDir: root,
      },
      bundle: true,
      format: 'iife',
      globalName: library.global,
      platform: 'neutral',
      mainFields: ['module', 'main'],
      target: 'es2023',
      minify: true,
      legalComments: 'none',
      metafile: true,
      write: false,
    });
    const [output] = result.outputFiles;
    if (output === undefined) throw new Error(`nothing was built for ${library.package}`);
    // A module with one default export becomes that export itself.
    const unwrap = isDefaultOnly ? `${library.global}=${library.global}.default;` : '';
    built.push({ path: `dist/${library.file}.js`, text: `${output.text.trimEnd()}${unwrap}\n` });
    const packages = new Set(
      Object.keys(result.metafile.inputs).flatMap(
        (input) => /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input)?.[1] ?? [],
      ),
    );
    for (const name of [...packages].toSorted()) notices.push(await noticeOf(name));
  }
  const text = `Licences of what is bundled in this folder.\n\n${[...new Set(notices)].join('\n')}`;
  return [...built, { path: 'dist/LICENSES.txt', text }];
}

async function noticeOf(name: string): Promise<string> {
  const home = join(root, 'node_modules', name);
  const { version, license } = JSON.parse(await readFile(join(home, 'package.json'), 'utf8')) as {
    version: string;
    license?: string;
  };
  const names = ['LICENSE', 'LICENSE.md', 'LICENSE.txt', 'license', 'LICENCE', 'COPYING'];
  for (const file of names) {
    const text = await readFile(join(home, file), 'utf8').catch(() => undefined);
    if (text !== undefined)
      return `==== ${name}@${version} (${license ?? 'see below'})\n\n${text.trim().replaceAll('\r', '')}\n`;
  }
  return `==== ${name}@${version} (${license ?? 'no licence named'})\n`;
}

function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

if (import.meta.filename === process.argv[1]) {
  const built = await buildLibraries();
  const file = join(folder, 'image.json');
  const image = JSON.parse(await readFile(file, 'utf8')) as Record<string, unknown> & {
    settings: Record<string, unknown>;
  };
  image.files = built.map(({ path, text }) => ({ path, sha256: digestOf(text) }));
  const named: Record<string, string> = {};
  for (const library of imageLibraries) {
    const manifest = JSON.parse(
      await readFile(join(root, 'node_modules', library.package, 'package.json'), 'utf8'),
    ) as { version: string };
    named[library.file] = `${library.package}@${manifest.version} as ${library.global}`;
  }
  image.settings.libraries = named;
  const wanted = [...built, { path: 'image.json', text: `${JSON.stringify(image, null, 2)}\n` }];
  const changed: string[] = [];
  for (const { path, text } of wanted) {
    const target = join(folder, path);
    const present = await readFile(target, 'utf8').catch(() => '');
    // The manifest may be laid out by the formatter: its content counts.
    if (present === text || (path === 'image.json' && isDeepStrictEqual(JSON.parse(present), image))) continue;
    changed.push(path);
    if (process.argv.includes('--check')) continue;
    await mkdir(dirname(target), { recursive: true });
    await writeFile(target, text);
  }
  console.log(changed.length === 0 ? 'image javascript is up to date' : `changed: ${changed.join(', ')}`);
  if (process.argv.includes('--check') && changed.length > 0) process.exitCode = 1;
}
