import { status, type Server, type UntypedHandleCall, type UntypedServiceImplementation } from '@grpc/grpc-js';
import { describeFiles, type Descriptors } from './descriptors.ts';
import { uploadHandler, type HandleNeeds, type Rpc } from './handle.ts';
import { schema } from './schema.ts';
import { definitionOf } from './services.ts';
import { codecOf } from './translate.ts';

/** One request of the reflection protocol, as `translate.ts` makes it. */
interface ReflectionRequest {
  readonly host: string;
  readonly messageRequest:
    | { readonly kind: 'fileByFilename'; readonly fileByFilename: string }
    | { readonly kind: 'fileContainingSymbol'; readonly fileContainingSymbol: string }
    | { readonly kind: 'fileContainingExtension' }
    | { readonly kind: 'allExtensionNumbersOfType'; readonly allExtensionNumbersOfType: string }
    | { readonly kind: 'listServices' }
    | null;
}

/** Adds the standard reflection services v1 and v1alpha, so that stock clients can list and describe `services`. */
export function addReflection(server: Server, needs: HandleNeeds, services: readonly string[]): void {
  let described: Descriptors | null = null;
  for (const version of ['v1', 'v1alpha']) {
    const name = `grpc.reflection.${version}`;
    const method = schema().lookupService(`${name}.ServerReflection`).methods['ServerReflectionInfo'];
    if (method === undefined) throw new Error(`${name} has no ServerReflectionInfo`);
    const rpc: Rpc = {
      path: `/${name}.ServerReflection/ServerReflectionInfo`,
      request: codecOf(`${name}.ServerReflectionRequest`),
      response: codecOf(`${name}.ServerReflectionResponse`),
      signatureOf: null,
    };
    const handler = uploadHandler(needs, rpc, async function* (_caller, requests) {
      described ??= describeFiles(schema());
      for await (const request of requests) {
        yield {
          originalRequest: request,
          validHost: (request as ReflectionRequest).host,
          messageResponse: answer(described, services, request as ReflectionRequest),
        };
      }
    });
    server.addService({ ServerReflectionInfo: definitionOf(rpc.path, method) }, {
      ServerReflectionInfo: handler as UntypedHandleCall,
    } as UntypedServiceImplementation);
  }
}

function answer(described: Descriptors, services: readonly string[], { messageRequest }: ReflectionRequest): object {
  if (messageRequest === null) return problem(status.INVALID_ARGUMENT, 'the request asks for nothing');
  switch (messageRequest.kind) {
    case 'listServices':
      return { kind: 'listServicesResponse', listServicesResponse: { service: services.map((name) => ({ name })) } };
    case 'fileByFilename':
      return files(described, messageRequest.fileByFilename);
    case 'fileContainingSymbol': {
      const symbol = messageRequest.fileContainingSymbol.replace(/^\./, '');
      return files(described, described.fileOfSymbol.get(symbol));
    }
    case 'allExtensionNumbersOfType': {
      const baseTypeName = messageRequest.allExtensionNumbersOfType;
      if (!described.fileOfSymbol.has(baseTypeName)) return problem(status.NOT_FOUND, 'no such type');
      return {
        kind: 'allExtensionNumbersResponse',
        allExtensionNumbersResponse: { baseTypeName, extensionNumber: [] },
      };
    }
    case 'fileContainingExtension':
      return problem(status.NOT_FOUND, 'there are no extensions');
    default:
      return problem(status.UNIMPLEMENTED, 'the request asks for something unknown');
  }
}

/** The file and everything it needs, itself first. */
function files(described: Descriptors, name: string | undefined): object {
  const found = new Map<string, Uint8Array>();
  const add = (one: string): void => {
    const file = described.files.get(one);
    if (file === undefined || found.has(one)) return;
    found.set(one, file.bytes);
    for (const dependency of file.dependencies) add(dependency);
  };
  if (name !== undefined) add(name);
  if (found.size === 0) return problem(status.NOT_FOUND, 'no such file or symbol');
  return { kind: 'fileDescriptorResponse', fileDescriptorResponse: { fileDescriptorProto: [...found.values()] } };
}

function problem(errorCode: number, errorMessage: string): object {
  return { kind: 'errorResponse', errorResponse: { errorCode, errorMessage } };
}
