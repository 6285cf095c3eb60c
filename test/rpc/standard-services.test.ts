import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Metadata, status, type Client } from '@grpc/grpc-js';
import { RecordBatchReader } from 'apache-arrow';
import protobuf from 'protobufjs';
import descriptor from 'protobufjs/ext/descriptor.js';
import { describeFiles } from '../../runtime/rpc/descriptors.ts';
import { AGREEMENT_HEADER, FLIGHT_SERVICE } from '../../runtime/rpc/flight.ts';
import { FlightReader } from '../../runtime/rpc/flight-framing.ts';
import { SERVICE_NAMES } from '../../runtime/gen/services.ts';
import { schema } from '../../runtime/rpc/schema.ts';
import { codecOf } from '../../runtime/rpc/translate.ts';
import { call, rawClient } from './raw-client.ts';
import { startSmallRuntime, type SmallRuntime } from './small-runtime.ts';

let runtime: SmallRuntime;
let client: Client;

before(async () => {
  runtime = await startSmallRuntime();
  client = rawClient(runtime, await runtime.addParty('acme'));
});
after(() => {
  client.close();
  runtime.close();
});

interface Reflected {
  readonly messageResponse: {
    readonly kind: string;
    readonly listServicesResponse?: { readonly service: readonly { readonly name: string }[] };
    readonly fileDescriptorResponse?: { readonly fileDescriptorProto: readonly Buffer[] };
    readonly errorResponse?: { readonly errorCode: number };
  };
}

async function reflect(version: string, ...requests: readonly object[]): Promise<Reflected['messageResponse'][]> {
  const name = `grpc.reflection.${version}`;
  const request = codecOf(`${name}.ServerReflectionRequest`);
  const response = codecOf(`${name}.ServerReflectionResponse`);
  const answer = await call(
    client,
    `/${name}.ServerReflection/ServerReflectionInfo`,
    requests.map((messageRequest) => request.encode({ messageRequest })),
  );
  assert.equal(answer.code, status.OK, answer.details);
  return answer.messages.map((message) => (response.decode(message) as Reflected).messageResponse);
}

for (const version of ['v1', 'v1alpha']) {
  test(`a stock client of reflection ${version} can list every service and build every message from what it gets`, async () => {
    const [listed] = await reflect(version, { kind: 'listServices', listServices: '' });
    const names = listed?.listServicesResponse?.service.map(({ name }) => name) ?? [];
    for (const name of [...SERVICE_NAMES.map((one) => `glovebox.v1.${one}`), FLIGHT_SERVICE])
      assert.ok(names.includes(name), name);
    for (const name of names) {
      const [answer] = await reflect(version, { kind: 'fileContainingSymbol', fileContainingSymbol: name });
      const files = answer?.fileDescriptorResponse?.fileDescriptorProto ?? [];
      const file = files.map(
        (bytes) => descriptor.FileDescriptorProto.decode(bytes) as descriptor.IFileDescriptorProto,
      );
      const root = protobuf.Root.fromDescriptor({ file });
      root.resolveAll();
      const methods = root.lookupService(name).methodsArray.map((method) => method.name);
      assert.deepEqual(
        methods,
        schema()
          .lookupService(name)
          .methodsArray.map((method) => method.name),
      );
    }
  });
}

test('descriptors name every type in full, every file it needs, and map entries as protoc does', () => {
  const { files, fileOfSymbol } = describeFiles(schema());
  assert.equal(fileOfSymbol.get('glovebox.v1.JobService'), 'glovebox/v1/job.proto');
  for (const { name, bytes, dependencies } of files.values()) {
    const file = descriptor.FileDescriptorProto.decode(bytes);
    for (const dependency of dependencies) assert.ok(files.has(dependency), `${name} needs ${dependency}`);
    const check = (type: descriptor.IDescriptorProto): void => {
      for (const field of type.field ?? []) if (field.typeName) assert.match(field.typeName, /^\./);
      for (const nested of type.nestedType ?? []) {
        if (nested.options?.mapEntry) assert.match(nested.name ?? '', /Entry$/);
        check(nested);
      }
    };
    for (const type of file.messageType) check(type);
  }
});

test('a stock client describes whatever has a name: services, methods, messages, fields, enums and their values', async () => {
  const names = ['JobService', 'JobService.Submit', 'Job', 'Job.id', 'JobState', 'JOB_STATE_QUEUED'];
  const answers = await reflect(
    'v1',
    ...names.map((name) => ({ kind: 'fileContainingSymbol', fileContainingSymbol: `glovebox.v1.${name}` })),
  );
  assert.deepEqual(new Set(answers.map(({ kind }) => kind)), new Set(['fileDescriptorResponse']));
});

test('what the runtime does not offer is an answer, not a failure in its log', async () => {
  const before = runtime.logged.length;
  const action = codecOf('arrow.flight.protocol.Action').encode({ type: 'Drop', body: Buffer.alloc(0) });
  const { code } = await call(client, `/${FLIGHT_SERVICE}/DoAction`, action);
  assert.equal(code, status.UNIMPLEMENTED);
  assert.equal(runtime.logged.length, before, 'whoever asks again and again must not fill the log with stacks');
});

test('what reflection does not know is an error response, and the stream goes on', async () => {
  const answers = await reflect(
    'v1',
    { kind: 'fileContainingSymbol', fileContainingSymbol: 'no.such.Symbol' },
    { kind: 'fileByFilename', fileByFilename: '/etc/passwd' },
    { kind: 'fileByFilename', fileByFilename: 'glovebox/v1/job.proto' },
  );
  assert.deepEqual(
    answers.map(({ kind, errorResponse }) => errorResponse?.errorCode ?? kind),
    [status.NOT_FOUND, status.NOT_FOUND, 'fileDescriptorResponse'],
  );
});

test('health says SERVING for the runtime and its services, and NOT_FOUND for others', async () => {
  const request = codecOf('grpc.health.v1.HealthCheckRequest');
  for (const service of ['', 'glovebox.v1.JobService']) {
    const answer = await call(client, '/grpc.health.v1.Health/Check', request.encode({ service }));
    assert.deepEqual(codecOf('grpc.health.v1.HealthCheckResponse').decode(answer.message), { status: 'serving' });
  }
  const unknown = await call(client, '/grpc.health.v1.Health/Check', request.encode({ service: 'x' }));
  assert.equal(unknown.code, status.NOT_FOUND);
});

const SQL = 'type.googleapis.com/arrow.flight.protocol.sql.';
function command(name: string, message: object): Buffer {
  const value = codecOf(`arrow.flight.protocol.sql.${name}`).encode(message);
  return codecOf('google.protobuf.Any').encode({ typeUrl: `${SQL}${name}`, value });
}
function flight(method: string, type: string, request: object, headers = new Metadata()): ReturnType<typeof call> {
  return call(
    client,
    `/${FLIGHT_SERVICE}/${method}`,
    codecOf(`arrow.flight.protocol.${type}`).encode(request),
    headers,
  );
}

test('a Flight SQL query becomes a job: GetFlightInfo, then DoGet with the ticket', async () => {
  const headers = new Metadata();
  headers.set(AGREEMENT_HEADER, 'agreement-1');
  const cmd = command('CommandStatementQuery', { query: 'select ward, count(*) from visits group by ward' });
  const answer = await flight('GetFlightInfo', 'FlightDescriptor', { type: 'cmd', cmd }, headers);
  assert.equal(answer.code, status.OK, answer.details);
  const info = codecOf('arrow.flight.protocol.FlightInfo').decode(answer.message) as {
    schema: Buffer;
    totalRecords: bigint;
    endpoint: { ticket: { ticket: Buffer } }[];
  };
  assert.equal(info.totalRecords, 2n);
  const reader = RecordBatchReader.from(Buffer.concat([info.schema, Buffer.from('ffffffff00000000', 'hex')])).open();
  assert.deepEqual(reader.schema.names, ['ward', 'patients']);
  const released = await flight('DoGet', 'Ticket', info.endpoint[0]?.ticket ?? {});
  assert.equal(released.code, status.OK);
  const flightReader = new FlightReader();
  const batches = released.messages.map((message) => flightReader.read(message)).filter((batch) => batch !== null);
  assert.equal(batches[0]?.getChild('patients')?.get(1), 34n);
});

test('a refused Flight SQL query is PERMISSION_DENIED with the reason', async () => {
  const cmd = command('CommandStatementQuery', { query: 'select secret from visits' });
  const answer = await flight('GetFlightInfo', 'FlightDescriptor', { type: 'cmd', cmd });
  assert.deepEqual([answer.code, answer.details], [status.PERMISSION_DENIED, 'column `secret` is not granted']);
});

test('a prepared statement is checked without reading, and its handle runs as the same job', async () => {
  const body = command('ActionCreatePreparedStatementRequest', { query: 'select 1' });
  const created = await flight('DoAction', 'Action', { type: 'CreatePreparedStatement', body });
  assert.equal(created.code, status.OK, created.details);
  const { body: packed } = codecOf('arrow.flight.protocol.Result').decode(created.message) as { body: Buffer };
  const { value } = codecOf('google.protobuf.Any').decode(packed) as { value: Buffer };
  const { preparedStatementHandle } = codecOf('arrow.flight.protocol.sql.ActionCreatePreparedStatementResult').decode(
    value,
  ) as { preparedStatementHandle: Buffer };
  const cmd = command('CommandPreparedStatementQuery', { preparedStatementHandle });
  const answer = await flight('GetFlightInfo', 'FlightDescriptor', { type: 'cmd', cmd });
  assert.equal(answer.code, status.OK, answer.details);
});

test('the rest of Flight is UNIMPLEMENTED, and a wrong command is INVALID_ARGUMENT', async () => {
  for (const method of ['DoPut', 'DoExchange', 'Handshake', 'ListFlights', 'PollFlightInfo']) {
    assert.equal((await call(client, `/${FLIGHT_SERVICE}/${method}`, Buffer.alloc(0))).code, status.UNIMPLEMENTED);
  }
  const update = command('CommandStatementUpdate', { query: 'drop table visits' });
  assert.equal(
    (await flight('GetFlightInfo', 'FlightDescriptor', { type: 'cmd', cmd: update })).code,
    status.UNIMPLEMENTED,
  );
  for (const descriptorOf of [{}, { type: 'cmd', cmd: Buffer.from('x') }, { type: 'cmd' }]) {
    const answer = await flight('GetFlightInfo', 'FlightDescriptor', descriptorOf);
    assert.equal(answer.code, status.INVALID_ARGUMENT, answer.details);
  }
});
