import type { Server, ServiceDefinition, UntypedHandleCall, UntypedServiceImplementation } from '@grpc/grpc-js';
import type protobuf from 'protobufjs';
import type { Handlers } from '../gen/services.ts';
import { SERVICE_NAMES } from '../gen/services.ts';
import type { JobRequest } from '../gen/messages.ts';
import type { Caller } from '../identity/party.ts';
import type { Application } from './application.ts';
import type { CallContext } from './call.ts';
import {
  notAvailable,
  serverStreamHandler,
  unaryHandler,
  uploadHandler,
  type HandleNeeds,
  type Rpc,
} from './handle.ts';
import { verifyJobRequest } from './job-statement.ts';
import { lowerFirst } from './names.ts';
import { schema } from './schema.ts';
import { codecOf } from './translate.ts';

/** Where the application keeps the functions of each service. */
const PLACES = {
  JobService: 'jobs',
  CatalogService: 'catalogue',
  PolicyService: 'policies',
  AgreementService: 'agreements',
  PartyService: 'parties',
  EvidenceService: 'evidence',
  BudgetService: 'budgets',
  MeterService: 'meters',
  ImageService: 'images',
  CodeService: 'code',
  TableService: 'tables',
  HomomorphicService: 'homomorphic',
  OperatorService: 'operator',
} as const satisfies Record<keyof Handlers, keyof Application>;

/** Adds every service of package glovebox.v1 to the server, each rpc bound to the application's function for it. */
export function addServices(server: Server, needs: HandleNeeds, application: Application): void {
  for (const name of SERVICE_NAMES) {
    const service = schema().lookupService(`glovebox.v1.${name}`);
    const functions = application[PLACES[name]] as Readonly<Record<string, unknown>>;
    const definition: Record<string, ServiceDefinition[string]> = {};
    const handlers: Record<string, UntypedHandleCall> = {};
    for (const method of service.methodsArray) {
      const path = `/glovebox.v1.${name}/${method.name}`;
      definition[method.name] = definitionOf(path, method);
      const own = functions[lowerFirst(method.name)];
      handlers[method.name] = handlerOf(needs, method, path, typeof own === 'function' ? own.bind(functions) : null);
    }
    server.addService(definition, handlers as UntypedServiceImplementation);
  }
}

/** Messages cross grpc-js as bytes; they are decoded in the handler, where a bad one has a clear status. */
export function definitionOf(path: string, method: protobuf.Method): ServiceDefinition[string] {
  // An upload with one response is served like one with a stream of responses: the wire is the same.
  const requestStream = method.requestStream === true;
  return {
    path,
    requestStream,
    responseStream: requestStream || method.responseStream === true,
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  };
}

function same(bytes: Buffer): Buffer {
  return bytes;
}

type Run<Answer> = (caller: Caller, request: unknown, call: CallContext) => Answer;

function handlerOf(needs: HandleNeeds, method: protobuf.Method, path: string, own: unknown): UntypedHandleCall {
  const rpc: Rpc = {
    path,
    request: codecOf(method.requestType),
    response: codecOf(method.responseType),
    signatureOf: SIGNED.has(method.requestType) ? signatureOf : null,
  };
  if (own === null) return missing(path, method);
  if (method.requestStream === true) {
    const run = own as (
      caller: Caller,
      requests: AsyncIterable<unknown>,
      call: CallContext,
    ) => AsyncIterable<unknown> | Promise<unknown>;
    return uploadHandler(needs, rpc, run);
  }
  if (method.responseStream === true) return serverStreamHandler(needs, rpc, own as Run<AsyncIterable<unknown>>);
  return unaryHandler(needs, rpc, own as Run<Promise<unknown>>);
}

function missing(path: string, method: protobuf.Method): UntypedHandleCall {
  const status = notAvailable(path);
  if (method.requestStream === true || method.responseStream === true) {
    return (call: { emit(event: 'error', status: object): boolean }): void => {
      call.emit('error', status);
    };
  }
  return (_call: unknown, callback: (status: object) => void): void => callback(status);
}

/** Requests with `job` and `signature`. */
const SIGNED: ReadonlySet<string> = new Set(['SubmitJobRequest', 'RunHomomorphicRequest']);

function signatureOf(caller: Caller, request: unknown): ReturnType<typeof verifyJobRequest> {
  const { job, signature } = request as { readonly job: JobRequest | null; readonly signature: string };
  return verifyJobRequest(caller, job, signature);
}
