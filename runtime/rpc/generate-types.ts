import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import protobuf from 'protobufjs';
import { camelCase, enumWord, hasPresence, isSynthetic, lowerFirst, realOneOf, scalarKind } from './names.ts';
import { loadSchema } from './schema.ts';

/**
 * Writes `runtime/gen/messages.ts` and `runtime/gen/services.ts` from the protos: plain data types and one typed
 * function per rpc. Run `node runtime/rpc/generate-types.ts` after a change of `proto/glovebox`.
 */
export function generate(): { readonly messages: string; readonly services: string } {
  const root = loadSchema({ comments: true });
  const namespace = root.lookup('glovebox.v1');
  if (!(namespace instanceof protobuf.Namespace)) throw new Error('the protos have no package glovebox.v1');
  const parts = [...namespace.nestedArray].sort((a, b) => (a.name < b.name ? -1 : 1));
  const enums = parts.filter((part) => part instanceof protobuf.Enum);
  const types = parts.filter((part) => part instanceof protobuf.Type);
  const services = parts.filter((part) => part instanceof protobuf.Service);
  return {
    messages: [HEADER, ...enums.map(enumText), ...types.map(typeText)].join('\n'),
    services: [servicesHead(services), ...services.map(serviceText), tableText(services)].join('\n'),
  };
}

const HEADER = '// Generated from proto/glovebox/v1 by runtime/rpc/generate-types.ts; do not edit.\n';

function doc(comment: string | null, indent: string): string {
  if (comment === null || comment === '') return '';
  const lines = comment.split('\n').map((line) => line.trim());
  if (lines.length === 1) return `${indent}/** ${lines[0] ?? ''} */\n`;
  return `${indent}/**\n${lines.map((line) => `${indent} * ${line}\n`).join('')}${indent} */\n`;
}

function enumText(type: protobuf.Enum): string {
  const words = Object.keys(type.values).map((name) => `  | '${enumWord(type, name)}'`);
  return `${doc(type.comment, '')}export type ${type.name} =\n${words.join('\n')};\n`;
}

function typeText(type: protobuf.Type): string {
  const lines: string[] = [];
  for (const field of type.fieldsArray) {
    if (realOneOf(field) === null) {
      lines.push(`${doc(field.comment, '  ')}  readonly ${camelCase(field.name)}: ${fieldType(field)};\n`);
    }
  }
  for (const oneOf of type.oneofsArray) {
    if (isSynthetic(oneOf)) continue;
    const cases = oneOf.fieldsArray.map(
      (field) =>
        `${doc(field.comment, '    ')}    | { readonly kind: '${camelCase(field.name)}'; readonly ${camelCase(field.name)}: ${singleType(field)} }\n`,
    );
    lines.push(`${doc(oneOf.comment, '  ')}  readonly ${camelCase(oneOf.name)}:\n${cases.join('')}    | null;\n`);
  }
  const body = lines.length === 0 ? '{}\n' : `{\n${lines.join('')}}\n`;
  if (lines.length === 0) return `${doc(type.comment, '')}export type ${type.name} = Readonly<Record<never, never>>;\n`;
  return `${doc(type.comment, '')}export interface ${type.name} ${body}`;
}

function fieldType(field: protobuf.Field): string {
  if (field instanceof protobuf.MapField) return `Readonly<Record<string, ${singleType(field)}>>`;
  if (field.repeated) return `readonly ${singleType(field)}[]`;
  if (field.resolvedType instanceof protobuf.Type || hasPresence(field)) return `${singleType(field)} | null`;
  return singleType(field);
}

function singleType(field: protobuf.Field): string {
  if (field.resolvedType !== null) return field.resolvedType.name;
  const kind = scalarKind(field);
  if (kind === 'bytes') return 'Uint8Array';
  return kind === 'milliseconds' ? 'number' : kind;
}

function serviceText(service: protobuf.Service): string {
  const handlers: string[] = [];
  const client: string[] = [];
  for (const method of service.methodsArray) {
    const { requestType, responseType } = method;
    const name = lowerFirst(method.name);
    const comment = doc(method.comment, '  ');
    const request = method.requestStream === true ? `AsyncIterable<${requestType}>` : requestType;
    const answer =
      method.responseStream === true ? `AsyncIterable<${responseType}>` : `Promise<Answer<${responseType}>>`;
    const input =
      method.requestStream === true
        ? `AsyncIterable<Init<${requestType}>> | Iterable<Init<${requestType}>>`
        : `Init<${requestType}>`;
    const output = method.responseStream === true ? `AsyncIterable<${responseType}>` : `Promise<${responseType}>`;
    handlers.push(`${comment}  ${name}(caller: Caller, request: ${request}, call: CallContext): ${answer};\n`);
    client.push(`${comment}  ${name}(request: ${input}, options?: CallOptions): ${output};\n`);
  }
  return [
    `${doc(service.comment, '')}export interface ${service.name}Handlers {\n${handlers.join('')}}\n`,
    `${doc(service.comment, '')}export interface ${service.name}Client {\n${client.join('')}}\n`,
  ].join('\n');
}

function servicesHead(services: readonly protobuf.Service[]): string {
  const used = services.flatMap((service) => service.methodsArray.flatMap((m) => [m.requestType, m.responseType]));
  const names = [...new Set(used)].sort();
  return [
    HEADER,
    "import type { Caller } from '../identity/party.ts';",
    "import type { Answer, CallContext, CallOptions, Init } from '../rpc/call.ts';",
    `import type {\n${names.map((name) => `  ${name},\n`).join('')}} from './messages.ts';\n`,
  ].join('\n');
}

function tableText(services: readonly protobuf.Service[]): string {
  const rows = services.map((service) => `  ${service.name}: ${service.name}Handlers;\n`);
  const clients = services.map((service) => `  ${service.name}: ${service.name}Client;\n`);
  const names = services.map((service) => `  '${service.name}',\n`);
  return [
    `/** Handlers by service. */\nexport interface Handlers {\n${rows.join('')}}\n`,
    `/** Clients by service. */\nexport interface Clients {\n${clients.join('')}}\n`,
    `/** Names of the services of package glovebox.v1. */\nexport const SERVICE_NAMES: readonly (keyof Handlers)[] = [\n${names.join('')}];\n`,
  ].join('\n');
}

if (process.argv[1] === import.meta.filename) {
  const { messages, services } = generate();
  const folder = join(import.meta.dirname, '..', 'gen');
  writeFileSync(join(folder, 'messages.ts'), messages);
  writeFileSync(join(folder, 'services.ts'), services);
}
