import { sep } from 'node:path';
import protobuf from 'protobufjs';
import descriptor from 'protobufjs/ext/descriptor.js';
import { isSynthetic } from './names.ts';

/** A file descriptor as bytes, with the names of the files it needs. */
export interface DescribedFile {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly dependencies: readonly string[];
}

export interface Descriptors {
  readonly files: ReadonlyMap<string, DescribedFile>;
  /** File of each message, enum, value, service, method and field by full name. */
  readonly fileOfSymbol: ReadonlyMap<string, string>;
}

type Part = protobuf.Type | protobuf.Enum | protobuf.Service;

/**
 * File descriptors of a schema, with the original file names and fully qualified types: what clients of the reflection
 * service build messages from. (The library's own `toDescriptor` merges files and leaves names relative, which Go's
 * descriptor loader refuses.) Options and comments are left out.
 */
export function describeFiles(root: protobuf.Root): Descriptors {
  const partsOf = new Map<string, Part[]>();
  const collect = (namespace: protobuf.NamespaceBase): void => {
    for (const part of namespace.nestedArray) {
      if (part instanceof protobuf.Type || part instanceof protobuf.Enum || part instanceof protobuf.Service) {
        const file = fileOf(part);
        partsOf.set(file, [...(partsOf.get(file) ?? []), part]);
      } else if (part instanceof protobuf.Namespace) {
        collect(part);
      }
    }
  };
  collect(root);
  const files = new Map<string, DescribedFile>();
  const fileOfSymbol = new Map<string, string>();
  for (const [name, parts] of partsOf) {
    const needed = new Set<string>();
    const file = {
      name,
      package: nameOf(parts[0]?.parent ?? null),
      syntax: 'proto3',
      messageType: parts.filter((part) => part instanceof protobuf.Type).map((type) => messageOf(type, needed)),
      enumType: parts.filter((part) => part instanceof protobuf.Enum).map(enumOf),
      service: parts.filter((part) => part instanceof protobuf.Service).map((service) => serviceOf(service, needed)),
      dependency: [] as string[],
    };
    needed.delete(name);
    file.dependency = [...needed].sort();
    files.set(name, {
      name,
      bytes: descriptor.FileDescriptorProto.encode(file as object).finish(),
      dependencies: file.dependency,
    });
    for (const part of parts) for (const symbol of symbolsOf(part)) fileOfSymbol.set(symbol, name);
  }
  return { files, fileOfSymbol };
}

/** `glovebox/v1/job.proto`; well-known types come without a file and get the name of their own. */
function fileOf(part: protobuf.ReflectionObject): string {
  let outer = part;
  while (outer.parent instanceof protobuf.Type) outer = outer.parent;
  const path = outer.filename;
  if (path === null) return `google/protobuf/${outer.name.toLowerCase()}.proto`;
  const segments = path.split(sep);
  const start = segments.findLastIndex((segment) => ROOTS.has(segment));
  const name = segments.slice(start).join('/');
  // Arrow's protos import each other and are known by bare names.
  return name.startsWith('arrow/') ? name.slice('arrow/'.length) : name;
}

const ROOTS: ReadonlySet<string> = new Set(['glovebox', 'arrow', 'grpc', 'google']);

function nameOf(object: protobuf.ReflectionObject | null): string {
  return object === null ? '' : object.fullName.replace(/^\./, '');
}

function symbolsOf(part: Part): string[] {
  const name = nameOf(part);
  if (part instanceof protobuf.Service) return [name, ...part.methodsArray.map((method) => `${name}.${method.name}`)];
  // A value's name stands beside that of its enum, as in C++.
  if (part instanceof protobuf.Enum)
    return [name, ...Object.keys(part.values).map((value) => `${nameOf(part.parent)}.${value}`)];
  const inner = part.nestedArray.filter((one) => one instanceof protobuf.Type || one instanceof protobuf.Enum);
  return [name, ...part.fieldsArray.map((field) => `${name}.${field.name}`), ...inner.flatMap(symbolsOf)];
}

function messageOf(type: protobuf.Type, needed: Set<string>): object {
  const oneOfs = [...type.oneofsArray].sort((a, b) => Number(isSynthetic(a)) - Number(isSynthetic(b)));
  const nested: object[] = type.nestedArray
    .filter((part) => part instanceof protobuf.Type)
    .map((inner) => messageOf(inner, needed));
  const field = type.fieldsArray.map((one) => {
    const common = { name: one.name, number: one.id, jsonName: jsonName(one.name) };
    if (one instanceof protobuf.MapField) {
      const entry = `${jsonName(one.name).replace(/^./, (letter) => letter.toUpperCase())}Entry`;
      nested.push({
        name: entry,
        options: { mapEntry: true },
        field: [
          { name: 'key', number: 1, jsonName: 'key', label: OPTIONAL, type: SCALARS[one.keyType] },
          { name: 'value', number: 2, jsonName: 'value', label: OPTIONAL, ...typeOf(one, needed) },
        ],
      });
      return { ...common, label: REPEATED, type: MESSAGE, typeName: `${type.fullName}.${entry}` };
    }
    return {
      ...common,
      label: one.repeated ? REPEATED : OPTIONAL,
      ...typeOf(one, needed),
      ...(one.partOf === null
        ? {}
        : { oneofIndex: oneOfs.indexOf(one.partOf), ...(isSynthetic(one.partOf) ? { proto3Optional: true } : {}) }),
    };
  });
  return {
    name: type.name,
    field,
    nestedType: nested,
    enumType: type.nestedArray.filter((part) => part instanceof protobuf.Enum).map(enumOf),
    oneofDecl: oneOfs.map((oneOf) => ({ name: oneOf.name })),
  };
}

function typeOf(field: protobuf.Field, needed: Set<string>): object {
  if (field.resolvedType === null) return { type: SCALARS[field.type] };
  needed.add(fileOf(field.resolvedType));
  return {
    type: field.resolvedType instanceof protobuf.Enum ? ENUM : MESSAGE,
    typeName: field.resolvedType.fullName,
  };
}

function enumOf(type: protobuf.Enum): object {
  const aliased = new Set(Object.values(type.values)).size < Object.keys(type.values).length;
  return {
    name: type.name,
    value: Object.entries(type.values).map(([name, number]) => ({ name, number })),
    ...(aliased ? { options: { allowAlias: true } } : {}),
  };
}

function serviceOf(service: protobuf.Service, needed: Set<string>): object {
  return {
    name: service.name,
    method: service.methodsArray.map((method) => {
      method.resolve();
      const { resolvedRequestType: input, resolvedResponseType: output } = method;
      if (input === null || output === null) throw new Error(`the types of ${method.fullName} are not resolved`);
      needed.add(fileOf(input));
      needed.add(fileOf(output));
      return {
        name: method.name,
        inputType: input.fullName,
        outputType: output.fullName,
        clientStreaming: method.requestStream === true,
        serverStreaming: method.responseStream === true,
      };
    }),
  };
}

/** protoc's rule: an underscore is dropped and the next letter is a capital. */
function jsonName(name: string): string {
  return name.replaceAll(/_+(.)/g, (_, letter: string) => letter.toUpperCase());
}

/** Numbers of google.protobuf.FieldDescriptorProto. */
const OPTIONAL = 1;
const REPEATED = 3;
const MESSAGE = 11;
const ENUM = 14;
const SCALARS: Readonly<Record<string, number>> = {
  double: 1,
  float: 2,
  int64: 3,
  uint64: 4,
  int32: 5,
  fixed64: 6,
  fixed32: 7,
  bool: 8,
  string: 9,
  bytes: 12,
  uint32: 13,
  sfixed32: 15,
  sfixed64: 16,
  sint32: 17,
  sint64: 18,
};
