import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { startServer } from '../../runtime/cli/start-server.ts';
import { connect, type Glovebox } from '../../runtime/client/connect.ts';
import { registerFiles } from '../../runtime/client/upload.ts';
import type { JavaScriptProgram } from '../../runtime/gen/messages.ts';
import type { Runtime } from '../../runtime/container.ts';
import type { PartyRole } from '../../runtime/identity/party.ts';
import type { Entropy } from '../../runtime/release/entropy.ts';
import type { Init } from '../../runtime/rpc/call.ts';

/** A whole runtime over clinical data, with clients of its parties. */
export interface CodeRuntime {
  readonly runtime: Runtime;
  readonly provider: Glovebox;
  readonly address: string;
  readonly folder: string;
  /** Admits a party and signs an agreement on the newest policy with it, when it is a consumer. */
  readonly join: (name: string, roles?: readonly PartyRole[], groups?: readonly string[]) => Promise<Glovebox>;
  readonly attach: (document: string) => Promise<void>;
  readonly close: () => Promise<void>;
}

export async function startCodeRuntime(options: {
  readonly dataset: string;
  readonly files: readonly { readonly path: string; readonly table: string }[];
  readonly policy: string;
  readonly entropy?: Entropy;
}): Promise<CodeRuntime> {
  const folder = mkdtempSync(join(tmpdir(), 'glovebox-code-'));
  const closing = new AsyncDisposableStack();
  closing.defer(() => rmSync(folder, { recursive: true, force: true }));
  const { credential, runtime, address } = await startServer(
    {
      dataDirectory: join(folder, 'data'),
      host: '127.0.0.1',
      port: 0,
      log: pino({ level: 'error' }, pino.destination({ dest: join(folder, 'log.jsonl'), sync: true })),
      ...(options.entropy === undefined ? {} : { entropy: options.entropy }),
    },
    closing,
  );
  const provider = closing.adopt(connect({ credential }), (open) => open.close());
  const header = { name: options.dataset, description: 'test data' };
  for await (const { reasons } of registerFiles(provider.catalogue, header, options.files))
    if (reasons[0] !== undefined) throw new Error(reasons[0].message);
  const attach = async (document: string): Promise<void> => {
    const answer = await provider.policies.attach({ document, fileName: 'policy.yaml', dataset: options.dataset });
    const first = answer.complaints[0]?.message ?? answer.reasons[0]?.message;
    if (answer.policy === null) throw new Error(first ?? 'not attached');
  };
  await attach(options.policy);
  return {
    runtime,
    provider,
    address,
    folder,
    close: () => closing.disposeAsync(),
    attach,
    join: async (name, roles = ['consumer'], groups = []) => {
      const { credential: bundle } = await provider.parties.add({ name, roles, groups, days: 1 });
      const file = join(folder, `${name}.credential.json`);
      writeFileSync(file, bundle, { mode: 0o600 });
      const client = closing.adopt(connect({ credential: file }), (open) => open.close());
      if (roles.includes('consumer')) {
        const { agreement, reasons } = await provider.agreements.offer({ dataset: options.dataset, consumer: name });
        if (agreement === null) throw new Error(reasons[0]?.message ?? 'not offered');
        await client.agreements.accept({ id: agreement.id });
      }
      return client;
    },
  };
}

/** Runs a program and answers its statistics by name (with the key in front, when there is one). */
export async function statisticsOf(
  client: Glovebox,
  program: Init<JavaScriptProgram>,
): Promise<ReadonlyMap<string, { readonly value: number; readonly low: number; readonly high: number }>> {
  const outcome = await client.jobs.run({ computation: { kind: 'javascript', javascript: program } });
  if (outcome.kind !== 'released')
    throw new Error(outcome.reasons.map(({ code, message }) => `${code}: ${message}`).join('; '));
  return new Map(
    outcome.table.toArray().map((row) => {
      const { statistic, value, low, high, ...key } = (row?.toJSON() ?? {}) as Record<string, unknown>;
      const name = [...Object.values(key), statistic].join(' ');
      return [name, { value: Number(value), low: Number(low), high: Number(high) }] as const;
    }),
  );
}

/** Bytes that are the same in every run. */
export function seededEntropy(seed: number): Entropy {
  let state = seed >>> 0;
  return {
    bytes: (count) =>
      Uint8Array.from({ length: count }, () => {
        state = (state + 0x6d2b79f5) >>> 0;
        let mixed = Math.imul(state ^ (state >>> 15), state | 1);
        mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
        return (mixed ^ (mixed >>> 14)) & 255;
      }),
  };
}
