import { createPrivateKey, type KeyObject } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import type { DataDirectory } from '../gateway/data-directory.ts';
import type { SandboxImage } from '../sandbox/image.ts';
import { act, actAs, type CommonOptions, defaultDataDirectory, withCommon } from './command.ts';
import { tableText, UsageError } from './output.ts';

export function addImages(program: Command): void {
  const image = program.command('image').description('sandbox images: what workers run');
  withCommon(image.command('list').description('the images and their digests'), 'glovebox image list').action(
    (options: CommonOptions) =>
      actAs(options, async (glovebox, out) => {
        const { images } = await glovebox.images.list({});
        out.answer({ images }, () =>
          tableText(
            ['image', 'version', 'digest', 'least isolation'],
            images.map((one) => [one.name, one.version, one.digest, one.minimumIsolation]),
          ),
        );
      }),
  );
  withCommon(
    image
      .command('verify [name]')
      .description('check files and signatures of this installation’s images; needs no runtime'),
    'glovebox image verify javascript',
  ).action((name: string | undefined, options: CommonOptions) =>
    act(options, async (out) => {
      const { loadImage } = await import('../sandbox/image.ts');
      const root = await installation();
      const names = await knownImages(root, name === undefined ? [] : [name]);
      const loaded: SandboxImage[] = [];
      const problems = new Map<string, string>();
      for (const one of names)
        await loadImage(root, one).then(
          (found) => loaded.push(found),
          (error: unknown) => problems.set(one, (error as Error).message),
        );
      const directory = await existingDirectory(options);
      const { imagesChangedSince } = await import('../gateway/code/image-seals.ts');
      const changed = directory === null ? null : await imagesChangedSince(directory, loaded);
      for (const { name: one, problem } of changed ?? []) problems.set(one, problem);
      const images = names.map((one) => {
        const found = loaded.find(({ manifest }) => manifest.name === one);
        return {
          name: one,
          isIntact: !problems.has(one),
          digest: found?.digest ?? '',
          signature: found?.signature.kind ?? '',
          isSignedByRuntime: changed !== null && found !== undefined && !problems.has(one),
          problem: problems.get(one) ?? '',
        };
      });
      out.answer({ images }, () =>
        tableText(
          ['image', 'intact', 'signed by', 'digest or problem'],
          images.map((one) => [
            one.name,
            one.isIntact ? 'yes' : 'NO',
            [
              ...(one.isSignedByRuntime ? ['this runtime'] : []),
              ...(one.signature === 'signed' ? ['an image key'] : []),
            ].join(', ') || 'nobody',
            one.isIntact ? one.digest : one.problem,
          ]),
        ),
      );
      return images.every(({ isIntact }) => isIntact) ? 0 : 1;
    }),
  );
  withCommon(
    image
      .command('trust [names...]')
      .description(
        'sign images as they are now for this data directory, after an update; all of them when none is named',
      ),
    'glovebox image trust javascript',
  ).action((names: readonly string[], options: CommonOptions) =>
    act(options, async (out) => {
      const { loadImage } = await import('../sandbox/image.ts');
      const root = await installation();
      const images = await Promise.all((await knownImages(root, names)).map((one) => loadImage(root, one)));
      const { trustImages } = await import('../gateway/code/image-seals.ts');
      const { openDataDirectory } = await import('../gateway/data-directory.ts');
      await trustImages(await openDataDirectory(options.data ?? defaultDataDirectory()), images);
      out.answer({ images: images.map(({ manifest, digest }) => ({ name: manifest.name, digest })) }, () =>
        tableText(
          ['image', 'signed digest'],
          images.map(({ manifest, digest }) => [manifest.name, digest]),
        ),
      );
    }),
  );
  withCommon(
    image
      .command('build <name>')
      .description('pin the files of an image in its image.json, after they were changed, and sign the whole of it')
      .option('--sign-key <file>', 'an Ed25519 private key in PEM form (`openssl genpkey -algorithm ed25519`)'),
    'glovebox image build javascript --sign-key release-key.pem',
  ).action((name: string, options: CommonOptions & { readonly signKey?: string }) =>
    act(options, async (out) => {
      const [ROOT, { pinImage, signImage }, { loadImage }] = await Promise.all([
        installation(),
        import('../sandbox/build-images.ts'),
        import('../sandbox/image.ts'),
      ]);
      await knownImages(ROOT, [name]);
      const key = options.signKey === undefined ? undefined : await signingKey(options.signKey);
      const isChanged = await pinImage(ROOT, name);
      if (key !== undefined) await signImage(ROOT, name, key);
      const { digest, signature } = await loadImage(ROOT, name);
      out.answer(
        { name, isChanged, digest, signature: signature.kind },
        () => `${name} ${isChanged ? 'pinned anew' : 'is as pinned'}, ${signature.kind}: ${digest}`,
      );
    }),
  );
  withCommon(image.command('show <name>').description('one image'), 'glovebox image show sql').action(
    (name: string, options: CommonOptions) =>
      actAs(options, async (glovebox, out) => {
        const { image: found } = await glovebox.images.get({ name });
        out.answer({ image: found }, () => JSON.stringify(JSON.parse(found?.manifest ?? '{}'), null, 2));
      }),
  );
}

const installation = async (): Promise<string> => (await import('../container.ts')).ROOT;

/** The named images, or all when none is named. Throws a UsageError for a name that no folder has. */
async function knownImages(root: string, names: readonly string[]): Promise<readonly string[]> {
  const { listImages } = await import('../sandbox/image.ts');
  const known = await listImages(root);
  const unknown = names.find((one) => !known.includes(one));
  if (unknown !== undefined) throw new UsageError(`no sandbox image \`${unknown}\`: there are ${known.join(', ')}`);
  return names.length === 0 ? known : names;
}

/** The data directory, when a runtime has started in it; it is not made here. */
async function existingDirectory(options: CommonOptions): Promise<DataDirectory | null> {
  const path = options.data ?? defaultDataDirectory();
  if (!existsSync(join(path, 'keys', 'images.json'))) return null;
  const { openDataDirectory } = await import('../gateway/data-directory.ts');
  return openDataDirectory(path);
}

async function signingKey(file: string): Promise<KeyObject> {
  let key: KeyObject;
  try {
    key = createPrivateKey(await readFile(file));
  } catch (cause) {
    throw new UsageError(`${file} is not a private key in PEM form`, { cause });
  }
  if (key.asymmetricKeyType !== 'ed25519') throw new UsageError(`${file} is not an Ed25519 key`);
  return key;
}
