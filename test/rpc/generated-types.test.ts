import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import protobuf from 'protobufjs';
import { generate } from '../../runtime/rpc/generate-types.ts';
import { loadSchema } from '../../runtime/rpc/schema.ts';

const GENERATED = join(import.meta.dirname, '..', '..', 'runtime', 'gen');

test('the committed types are what the protos say: generating again gives the same bytes', () => {
  const { messages, services } = generate();
  assert.equal(readFileSync(join(GENERATED, 'messages.ts'), 'utf8'), messages);
  assert.equal(readFileSync(join(GENERATED, 'services.ts'), 'utf8'), services);
});

test('every message, field, enum, value, service and rpc of the public API is explained, and zero is never a meaning', () => {
  const namespace = loadSchema({ comments: true }).lookup('glovebox.v1');
  assert.ok(namespace instanceof protobuf.Namespace);
  const silent: string[] = [];
  const need = (name: string, comment: string | null | undefined): void => {
    if (comment === null || comment === undefined || comment === '') silent.push(name);
  };
  for (const part of namespace.nestedArray) {
    if (part instanceof protobuf.Type) {
      need(part.name, part.comment);
      for (const field of part.fieldsArray) need(`${part.name}.${field.name}`, field.comment);
    } else if (part instanceof protobuf.Enum) {
      need(part.name, part.comment);
      for (const name of Object.keys(part.values)) need(name, part.comments[name]);
      const zero = Object.entries(part.values).find(([, id]) => id === 0)?.[0] ?? '';
      assert.match(zero, /_UNSPECIFIED$/);
    } else if (part instanceof protobuf.Service) {
      need(part.name, part.comment);
      for (const method of part.methodsArray) need(`${part.name}.${method.name}`, method.comment);
    }
  }
  assert.deepEqual(silent, []);
});
