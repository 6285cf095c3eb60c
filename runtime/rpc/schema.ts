import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import protobuf from 'protobufjs';

const PROTO_FOLDER = join(import.meta.dirname, '..', '..', 'proto');

/** Paths of all protos of the public API relative to `proto/`, sorted. */
export function protoFiles(): string[] {
  return readdirSync(PROTO_FOLDER, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.proto'))
    .sort();
}

/**
 * Parses the protos; comments are kept only for the generator of types. Names stay as written (`keepCase`), so that
 * the descriptors that reflection answers are those of the files.
 */
export function loadSchema(options: { readonly comments: boolean } = { comments: false }): protobuf.Root {
  const root = new protobuf.Root();
  root.resolvePath = (_origin, target) =>
    target.startsWith('google/') ? join(GOOGLE_FOLDER, target) : join(PROTO_FOLDER, target.replace(PROTO_FOLDER, ''));
  root.loadSync(protoFiles(), { keepCase: true, alternateCommentMode: options.comments, preferTrailingComment: false });
  // Flight SQL packs its commands in `Any` without importing it.
  root.addJSON(protobuf.common.get('google/protobuf/any.proto')?.nested ?? {});
  root.resolveAll();
  return root;
}

/** protobufjs ships Google's well-known protos beside its own sources. */
const GOOGLE_FOLDER = dirname(fileURLToPath(import.meta.resolve('protobufjs')));

let cached: protobuf.Root | null = null;

/** The schema of this process, parsed once at first use. */
export function schema(): protobuf.Root {
  cached ??= loadSchema();
  return cached;
}
