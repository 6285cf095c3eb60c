import type { ImageServiceHandlers } from '../../gen/services.ts';
import { Fault } from '../../rpc/fault.ts';
import type { SandboxImage } from '../../sandbox/image.ts';

/** Sandbox images of this installation, as loaded and verified at the start. */
export function imageService(images: readonly SandboxImage[]): ImageServiceHandlers {
  const messages = images.map(({ manifest, digest }) => ({
    name: manifest.name,
    digest,
    runtime: manifest.name,
    version: manifest.version,
    methods: textsOf(manifest.settings['modes']),
    libraries: librariesOf(manifest.settings['libraries']),
    minimumIsolation: manifest.minimumIsolation,
    manifest: JSON.stringify(manifest),
    isIntact: true,
  }));
  return {
    list: () => Promise.resolve({ images: messages }),
    get: (_caller, { name }) => {
      const image = messages.find((one) => one.name === name);
      if (image !== undefined) return Promise.resolve({ image });
      const known = messages.map((one) => one.name).join(', ');
      throw new Fault('not-found', `no sandbox image \`${name}\`: there are ${known}`);
    },
  };
}

const textsOf = (value: unknown): string[] =>
  Array.isArray(value) ? value.filter((one): one is string => typeof one === 'string') : [];

/** A manifest says `name@version as global`. */
function librariesOf(value: unknown): string[] {
  const texts = typeof value === 'object' && value !== null ? Object.values(value) : [];
  return textsOf(texts).map((text) => text.replace(/ as \S+$/, ''));
}
