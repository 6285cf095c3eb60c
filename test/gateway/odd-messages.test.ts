import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Client, Metadata, status } from '@grpc/grpc-js';
import protobuf from 'protobufjs';
import { parseCredential } from '../../runtime/identity/credential.ts';
import type { PartyRole } from '../../runtime/identity/party.ts';
import { schema } from '../../runtime/rpc/schema.ts';
import { SERVICE_NAMES } from '../../runtime/gen/services.ts';
import { call, rawClient } from '../rpc/raw-client.ts';
import { agreedWorld, COUNT_QUERY, POLICY, type RuntimeWorld, runtimeWorld } from './runtime-world.ts';

/** Messages per method and caller; more of them with GLOVEBOX_ODD_MESSAGES=200. */
const ROUNDS = Number(process.env['GLOVEBOX_ODD_MESSAGES'] ?? 2);
const SEED = Number(process.env['GLOVEBOX_ODD_SEED'] ?? 1);
const DEPTH = 6;
/** These end the runtime's work for everybody. */
const ENDING = /OperatorService\/(StopAll|Drain)|PartyService\/(Exit|Suspend)/;

let world: RuntimeWorld;
const clients: [name: string, client: Client][] = [];
let strings: readonly string[];

before(async () => {
  world = await runtimeWorld();
  const { acme, agreement } = await agreedWorld(world);
  const { job } = await acme.jobs.submit({
    job: { computation: { kind: 'sql', sql: { text: COUNT_QUERY } } },
    wait: true,
  });
  strings = [
    '',
    'visits',
    'hospital',
    'acme',
    agreement,
    job?.id ?? '',
    COUNT_QUERY,
    POLICY(),
    'statistics',
    'p.yaml',
    '0',
    '-1',
    `sha256:${'0'.repeat(64)}`,
    'CNY',
    '{}',
    '[]',
    '{"a":{"b":[null]}}',
    'x'.repeat(70_000),
    'a' + '\u{1F600}'.repeat(2000),
    '\u0000',
    '\u202e\u001b[2J',
    '../../etc/passwd',
    '__proto__',
    'constructor',
    '127.0.0.1:1',
    'http://127.0.0.1:1/',
    '2026-02-30T25:61:00Z',
    'e30',
    '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----',
    'select 1',
    'export default (r) => 1',
  ];
  const roles: readonly PartyRole[] = ['operator', 'provider', 'consumer', 'auditor', 'clearing', 'reviewer'];
  for (const [name, of] of [
    ['all', roles],
    ['hospital-2', ['provider']],
    ['acme-2', ['consumer']],
  ] as const) {
    const { credential } = await world.operator.parties.add({ name, roles: of, jurisdiction: 'CN' });
    clients.push([name, rawClient(world, parseCredential(credential))]);
  }
});
after(async () => {
  for (const [, client] of clients) client.close();
  await world[Symbol.asyncDispose]();
});

test('whatever fits a request’s form is answered or refused, and is never a failure of the runtime', async () => {
  const random = randomOf(SEED);
  const methods = SERVICE_NAMES.flatMap((service) =>
    schema()
      .lookupService(`glovebox.v1.${service}`)
      .methodsArray.map(({ name, requestType }) => ({
        path: `/glovebox.v1.${service}/${name}`,
        type: schema().lookupType(`glovebox.v1.${requestType}`),
      })),
  ).filter(({ path }) => !ENDING.test(path));
  const odd: string[] = [];
  let sent = 0;
  for (const { path, type } of methods) {
    const calls = clients.flatMap(([name, client]) =>
      Array.from({ length: ROUNDS }, async () => {
        const message = oddMessage(type, random, 0);
        const bytes = Buffer.from(type.encode(message).finish());
        const { code, details } = await call(client, path, bytes, new Metadata(), 20_000);
        sent += 1;
        const isClear = ![status.INTERNAL, status.UNKNOWN, status.DATA_LOSS, status.DEADLINE_EXCEEDED].includes(code);
        if (!isClear || /\n\s+at |TypeError|undefined|\[object/.test(details))
          odd.push(`${path} ${name} ${code} ${details} ${JSON.stringify(message).slice(0, 600)}`);
      }),
    );
    await Promise.all(calls);
  }
  assert.deepEqual(odd, []);
  assert.ok(sent > 500, `${sent} messages`);
  const { runningJobs } = await world.operator.operator.status({});
  assert.equal(runningJobs, 0);
});

/** A message of that type whose fields are left out, plain, extreme or meant for something else. */
function oddMessage(type: protobuf.Type, random: (below: number) => number, depth: number): protobuf.Message {
  const plain: Record<string, unknown> = {};
  for (const field of type.fieldsArray) {
    if (random(5) < 2 || depth > DEPTH) continue;
    const one = (): unknown => oddValue(field, random, depth);
    if (field instanceof protobuf.MapField)
      plain[field.name] = Object.fromEntries(
        Array.from({ length: random(3) }, () => [pick(strings, random).slice(0, 200), one()]),
      );
    else plain[field.name] = field.repeated ? Array.from({ length: random(4) }, one) : one();
  }
  return type.create(plain);
}

function oddValue(field: protobuf.Field, random: (below: number) => number, depth: number): unknown {
  const { resolvedType } = field.resolve();
  if (resolvedType instanceof protobuf.Type) return oddMessage(resolvedType, random, depth + 1);
  if (resolvedType instanceof protobuf.Enum) return pick([...Object.values(resolvedType.values), -1, 99], random);
  switch (field.type) {
    case 'string':
      return pick(strings, random);
    case 'bytes':
      return pick(
        [Buffer.alloc(0), Buffer.from([255]), Buffer.from(pick(strings, random)), Buffer.alloc(32, 7)],
        random,
      );
    case 'bool':
      return random(2) === 1;
    case 'double':
    case 'float':
      return pick([0, -0, 1, -1, 0.5, 1e308, -1e308, Number.NaN, Number.POSITIVE_INFINITY, 5e-324], random);
    default:
      return pick([0, 1, 2, 7, 100, 65_535, 0x7fff_ffff, 0xffff_ffff, -1, Number.MAX_SAFE_INTEGER], random);
  }
}

const pick = <T>(from: readonly T[], random: (below: number) => number): T => from[random(from.length)] as T;

/** The same messages at every run. */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}
