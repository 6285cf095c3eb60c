import {
  status,
  type Metadata,
  type Server,
  type ServerWritableStream,
  type UntypedHandleCall,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import type { ExplainJobResponse, Job, JobRequest, SubmitJobResponse } from '../gen/messages.ts';
import type { JobServiceHandlers } from '../gen/services.ts';
import type { Caller } from '../identity/party.ts';
import type { Denied } from '../policy/reason.ts';
import type { Application } from './application.ts';
import type { CallContext } from './call.ts';
import { statusFor } from './error-detail.ts';
import { Fault } from './fault.ts';
import { encapsulatedSchema } from './flight-framing.ts';
import { respond, unaryHandler, type HandleNeeds, type Rpc, type Started } from './handle.ts';
import { schemaOf } from './result-columns.ts';
import { schema } from './schema.ts';
import { definitionOf } from './services.ts';
import { codecOf } from './translate.ts';

export const FLIGHT_SERVICE = 'arrow.flight.protocol.FlightService';
const FLIGHT = 'arrow.flight.protocol';
const TYPE_URL = 'type.googleapis.com/arrow.flight.protocol.sql.';
const PREPARED = 'glovebox-prepared/1\n';

/** Request headers that complete a Flight SQL query; none of them says who calls. */
export const AGREEMENT_HEADER = 'glovebox-agreement';
export const RULE_HEADER = 'glovebox-rule';
export const PURPOSE_HEADER = 'glovebox-purpose';

interface FlightDescriptor {
  readonly type: 'unknown' | 'path' | 'cmd';
  readonly cmd: Uint8Array;
  readonly path: readonly string[];
}

/**
 * Arrow Flight and the part of Flight SQL that is a query: a second front door to the same jobs. `DoGet` is the way
 * by which results leave, but for small ones that are asked for with their job; its frames come encoded from the
 * application and are sent without touching them.
 */
export function addFlight(server: Server, needs: HandleNeeds, application: Application): void {
  const service = schema().lookupService(FLIGHT_SERVICE);
  const definition = Object.fromEntries(
    service.methodsArray.map((method) => [method.name, definitionOf(`/${FLIGHT_SERVICE}/${method.name}`, method)]),
  );
  const handlers: Record<string, UntypedHandleCall> = {
    GetFlightInfo: unaryWithHeaders(needs, 'GetFlightInfo', 'FlightDescriptor', 'FlightInfo', async (call, headers) => {
      const descriptor = call.request as FlightDescriptor;
      const job = await jobOf(application, call, descriptor, headers);
      const wireSchema = job.columns.length === 0 ? Buffer.alloc(0) : encapsulatedSchema(schemaOf(job.columns));
      return {
        schema: wireSchema,
        flightDescriptor: descriptor,
        endpoint: [{ ticket: { ticket: job.ticket ?? new Uint8Array(0) } }],
        totalRecords: job.rowCount ?? -1n,
        totalBytes: job.resultBytes ?? -1n,
      };
    }),
    GetSchema: unaryWithHeaders(needs, 'GetSchema', 'FlightDescriptor', 'SchemaResult', async (call, headers) => {
      const explained = await explain(application, call, queryOf(call.request as FlightDescriptor), headers);
      return { schema: encapsulatedSchema(schemaOf(explained.columns)) };
    }),
    DoGet: (call: ServerWritableStream<Buffer, Buffer>): void => {
      const open = ({ caller, context }: Started): AsyncIterable<Uint8Array> => {
        const { ticket } = codecOf(`${FLIGHT}.Ticket`).decode(call.request) as { readonly ticket: Uint8Array };
        return application.openRelease(caller, ticketOf(ticket), context);
      };
      void respond(needs, `/${FLIGHT_SERVICE}/DoGet`, call, open, { isLent: true });
    },
    DoAction: (call: ServerWritableStream<Buffer, Buffer>): void => {
      void respond(needs, `/${FLIGHT_SERVICE}/DoAction`, call, ({ caller, context }) =>
        doAction(
          application,
          { caller, context, request: codecOf(`${FLIGHT}.Action`).decode(call.request) },
          call.metadata,
        ),
      );
    },
    ListActions: (call: ServerWritableStream<Buffer, Buffer>): void => {
      void respond(needs, `/${FLIGHT_SERVICE}/ListActions`, call, listActions);
    },
  };
  for (const method of service.methodsArray) {
    handlers[method.name] ??= unimplemented(
      method.name,
      method.responseStream === true || method.requestStream === true,
    );
  }
  server.addService(definition, handlers as UntypedServiceImplementation);
}

interface FlightCall {
  readonly caller: Caller;
  readonly context: CallContext;
  readonly request: unknown;
}

function unaryWithHeaders(
  needs: HandleNeeds,
  name: string,
  request: string,
  response: string,
  run: (call: FlightCall, headers: Metadata) => Promise<unknown>,
): UntypedHandleCall {
  const rpc: Rpc = {
    path: `/${FLIGHT_SERVICE}/${name}`,
    request: codecOf(`${FLIGHT}.${request}`),
    response: codecOf(`${FLIGHT}.${response}`),
    signatureOf: null,
  };
  return unaryHandler(needs, rpc, (caller, message, context, headers) =>
    run({ caller, context, request: message }, headers),
  );
}

/** The job behind a descriptor: `path: [job id]` names one that has ended, a command is submitted and waited for. */
async function jobOf(
  application: Application,
  call: FlightCall,
  descriptor: FlightDescriptor,
  headers: Metadata,
): Promise<Job> {
  const named = descriptor.type === 'path' ? descriptor.path.at(-1) : undefined;
  const job =
    named === undefined
      ? await submit(application, call, queryOf(descriptor), headers)
      : (await answered(available(application, 'get')(call.caller, { id: named }, call.context))).job;
  if (job === null) throw new Fault('not-found', 'there is no such job');
  if (job.state === 'denied') throw new Fault('denied', job.reasons[0]?.message ?? 'denied', { reasons: job.reasons });
  if (job.ticket === null) {
    const message = job.reasons[0]?.message ?? `the job is ${job.state}; nothing is to be fetched`;
    throw new Fault('wrong-state', message, { reasons: job.reasons });
  }
  return job;
}

async function submit(
  application: Application,
  call: FlightCall,
  text: string,
  headers: Metadata,
): Promise<Job | null> {
  const request = { job: sqlJob(text, headers), wait: true, withResult: false, isDryRun: false, signature: '' };
  const answer: SubmitJobResponse = await answered(
    available(application, 'submit')(call.caller, request, call.context),
  );
  return answer.job;
}

async function explain(
  application: Application,
  call: FlightCall,
  text: string,
  headers: Metadata,
): Promise<ExplainJobResponse> {
  const request = { job: sqlJob(text, headers) };
  const answer = await answered(available(application, 'explain')(call.caller, request, call.context));
  if (!answer.wouldRun) {
    throw new Fault('denied', answer.reasons[0]?.message ?? 'denied', { reasons: answer.reasons });
  }
  return answer;
}

function sqlJob(text: string, headers: Metadata): JobRequest {
  const agreements = headers.get(AGREEMENT_HEADER).map(String);
  return {
    computation: { kind: 'sql', sql: { text, parameters: {} } },
    agreementIds: agreements
      .flatMap((ids) => ids.split(','))
      .map((id) => id.trim())
      .filter((id) => id !== ''),
    ruleId: String(headers.get(RULE_HEADER)[0] ?? ''),
    purpose: String(headers.get(PURPOSE_HEADER)[0] ?? ''),
    idempotencyKey: '',
    project: '',
    mandateId: '',
    deadlineMs: 0,
  };
}

function available<Name extends keyof JobServiceHandlers>(
  application: Application,
  name: Name,
): JobServiceHandlers[Name] {
  const run = application.jobs[name];
  if (run === undefined) throw new Fault('not-available', 'SQL jobs are not available in this runtime');
  return run.bind(application.jobs) as JobServiceHandlers[Name];
}

async function answered<Response extends object>(answer: Promise<Response | Denied>): Promise<Response> {
  const settled = await answer;
  if ('kind' in settled && settled.kind === 'denied') {
    throw new Fault('denied', settled.reasons[0]?.message ?? 'denied', { reasons: settled.reasons });
  }
  return settled as Response;
}

/** The SQL text of a command descriptor. */
function queryOf(descriptor: FlightDescriptor): string {
  if (descriptor.type !== 'cmd') throw new Fault('argument-not-valid', 'the flight descriptor holds no command');
  const { name, value } = unpack(descriptor.cmd);
  if (name === 'CommandStatementQuery') return text(name, value, 'query');
  if (name === 'CommandPreparedStatementQuery') return preparedQuery(bytes(name, value, 'preparedStatementHandle'));
  throw new Fault('not-available', `the Flight SQL command ${name} is not available in this runtime`);
}

/** A handle is the caller's own text: it gives no more than sending the text again would. */
function preparedQuery(handle: Uint8Array): string {
  const query = Buffer.from(handle).toString('utf8');
  if (!query.startsWith(PREPARED)) throw new Fault('argument-not-valid', 'the prepared statement handle is not valid');
  return query.slice(PREPARED.length);
}

/** Flight SQL clients may send the ticket back as they got it, or packed as a statement ticket. */
function ticketOf(ticket: Uint8Array): Uint8Array {
  if (ticket.length === 0 || ticket.length > MAX_TICKET_BYTES) {
    throw new Fault('ticket-not-valid', 'the ticket is not valid');
  }
  return ticket;
}

const MAX_TICKET_BYTES = 4096;

async function* doAction(application: Application, call: FlightCall, headers: Metadata): AsyncGenerator<Buffer> {
  const { type, body } = call.request as { readonly type: string; readonly body: Uint8Array };
  if (type === 'CreatePreparedStatement') {
    const { name, value } = unpack(body);
    if (name !== 'ActionCreatePreparedStatementRequest') {
      throw new Fault('argument-not-valid', 'the action does not hold a prepared statement request');
    }
    const query = text(name, value, 'query');
    const explained = await explain(application, call, query, headers);
    const result = codecOf(`${FLIGHT}.sql.ActionCreatePreparedStatementResult`).encode({
      preparedStatementHandle: Buffer.from(PREPARED + query),
      datasetSchema: encapsulatedSchema(schemaOf(explained.columns)),
      parameterSchema: encapsulatedSchema([]),
    });
    const packed = { typeUrl: `${TYPE_URL}ActionCreatePreparedStatementResult`, value: result };
    yield codecOf(`${FLIGHT}.Result`).encode({ body: codecOf('google.protobuf.Any').encode(packed) });
    return;
  }
  if (type === 'ClosePreparedStatement' || type === 'CloseSession') return;
  throw new Fault('not-available', `the action ${type.slice(0, 64)} is not available in this runtime`);
}

async function* listActions(): AsyncGenerator<Buffer> {
  const codec = codecOf(`${FLIGHT}.ActionType`);
  yield codec.encode({ type: 'CreatePreparedStatement', description: 'checks a query under the policy; reads no row' });
  yield codec.encode({ type: 'ClosePreparedStatement', description: 'forgets a prepared statement' });
}

function unpack(packed: Uint8Array): { readonly name: string; readonly value: Uint8Array } {
  const any = codecOf('google.protobuf.Any').decode(packed) as { readonly typeUrl: string; readonly value: Uint8Array };
  if (!any.typeUrl.startsWith(TYPE_URL)) {
    throw new Fault('argument-not-valid', 'the command is not a Flight SQL message');
  }
  return { name: any.typeUrl.slice(TYPE_URL.length).slice(0, 128), value: any.value };
}

function fieldOf(message: string, value: Uint8Array, field: string): unknown {
  return (codecOf(`${FLIGHT}.sql.${message}`).decode(value) as Readonly<Record<string, unknown>>)[field];
}

function text(message: string, value: Uint8Array, field: string): string {
  return String(fieldOf(message, value, field));
}

function bytes(message: string, value: Uint8Array, field: string): Uint8Array {
  const found = fieldOf(message, value, field);
  return found instanceof Uint8Array ? found : new Uint8Array(0);
}

function unimplemented(name: string, isStream: boolean): UntypedHandleCall {
  const answer = statusFor('not-available', `Arrow Flight ${name} is not available in this runtime`);
  if (answer.code !== status.UNIMPLEMENTED) throw new Error('not-available must be UNIMPLEMENTED');
  if (isStream)
    return (call: { emit(event: 'error', detail: object): boolean }): void => void call.emit('error', answer);
  return (_call: unknown, callback: (detail: object) => void): void => callback(answer);
}
