import type { Server, UntypedHandleCall, UntypedServiceImplementation } from '@grpc/grpc-js';
import type { HandleNeeds } from './handle.ts';
import { respond, unaryHandler } from './handle.ts';
import { Fault } from './fault.ts';
import { definitionOf } from './services.ts';
import { schema } from './schema.ts';
import { codecOf } from './translate.ts';

export type Serving = 'SERVING' | 'NOT_SERVING';

/** The standard `grpc.health.v1` service; the empty name means the whole runtime. */
export class Health {
  readonly #services: ReadonlySet<string>;
  readonly #listeners = new Set<() => void>();
  #state: Serving = 'SERVING';

  constructor(services: readonly string[]) {
    this.#services = new Set(['', ...services]);
  }

  set(state: Serving): void {
    this.#state = state;
    for (const changed of this.#listeners) changed();
  }

  addTo(server: Server, needs: HandleNeeds): void {
    const service = schema().lookupService('grpc.health.v1.Health');
    const rpc = (name: string): Parameters<typeof unaryHandler>[1] => ({
      path: `/grpc.health.v1.Health/${name}`,
      request: codecOf('grpc.health.v1.HealthCheckRequest'),
      response: codecOf('grpc.health.v1.HealthCheckResponse'),
      signatureOf: null,
    });
    const check = unaryHandler(needs, rpc('Check'), (_caller, request) => {
      const name = nameOf(request);
      if (!this.#services.has(name))
        return Promise.reject(new Fault('not-found', `no service \`${name.slice(0, 128)}\``));
      return Promise.resolve({ status: wordOf(this.#state) });
    });
    const watch: UntypedHandleCall = (call: Parameters<typeof respond>[2] & { readonly request: Buffer }): void => {
      void respond(needs, '/grpc.health.v1.Health/Watch', call, ({ context }) =>
        this.#watch(nameOf(rpc('Watch').request.decode(call.request)), context.signal, rpc('Watch').response.encode),
      );
    };
    const definition = Object.fromEntries(
      service.methodsArray.map((method) => [method.name, definitionOf(rpc(method.name).path, method)]),
    );
    server.addService(definition, { Check: check, Watch: watch } as UntypedServiceImplementation);
  }

  async *#watch(name: string, signal: AbortSignal, encode: (plain: unknown) => Buffer): AsyncGenerator<Buffer> {
    let wake = (): void => {};
    const changed = (): void => wake();
    this.#listeners.add(changed);
    signal.addEventListener('abort', changed);
    try {
      while (!signal.aborted) {
        const next = new Promise<void>((resolve) => (wake = resolve));
        yield encode({ status: this.#services.has(name) ? wordOf(this.#state) : 'serviceUnknown' });
        await next;
      }
    } finally {
      this.#listeners.delete(changed);
    }
  }
}

function nameOf(request: unknown): string {
  return (request as { readonly service: string }).service;
}

function wordOf(state: Serving): string {
  return state === 'SERVING' ? 'serving' : 'notServing';
}
