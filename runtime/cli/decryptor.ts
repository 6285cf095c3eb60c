import type { Command } from 'commander';
import { act, type CommonOptions, credentialFile } from './command.ts';
import { UsageError } from './output.ts';
import { readKeys } from './key.ts';

interface DecryptorOptions extends CommonOptions {
  readonly key: string;
  readonly listen: string;
  readonly consumer: readonly string[];
  readonly runtimeKey?: string;
}

export function addDecryptor(program: Command): void {
  program
    .command('decryptor')
    .description('the key holder’s own process: decrypts results that it has computed again itself, and nothing else')
    .requiredOption('--key <file>', 'the secret key, from `key generate`')
    .requiredOption('--listen <host:port>', 'where the runtime finds it')
    .requiredOption(
      '--data <dir>',
      'its folder: pinned columns (from `dataset add --encrypt`), decrypted jobs, certificate',
    )
    .requiredOption('--consumer <name...>', 'consumers for whom results are decrypted')
    .option(
      '--runtime-key <key>',
      'the runtime’s transcript key, learned from its operator on another way; default: the one that it showed first',
    )
    .option('--as <file>', 'your credential as the provider: says which runtime may call')
    .option('--server <host:port>', 'the runtime; default: the one in the credential')
    .option('--json', 'log lines as JSON')
    .addHelpText(
      'after',
      '\nExample:\n  glovebox decryptor --key keys/visits.secret.json --listen 127.0.0.1:7411 --data decryptor --consumer acme --as hospital.credential.json\n',
    )
    .action((options: DecryptorOptions) =>
      act(options, async (out) => {
        const { serveDecryptor } = await import('../decryptor/serve-decryptor.ts');
        const { Vault } = await import('../decryptor/vault.ts');
        const { connect } = await import('../client/connect.ts');
        const { openCredential } = await import('../client/open-credential.ts');
        const { readTranscriptKey } = await import('../gateway/homomorphic/transcript-key.ts');
        const { host, port } = placeOf(options.listen);
        const vault = await Vault.open(options.data ?? '');
        const { data: _, ...who } = options;
        const credential = openCredential(credentialFile(who));
        const glovebox = connect({
          credential,
          ...(options.server === undefined ? {} : { server: options.server }),
        });
        const seen =
          options.runtimeKey === undefined
            ? ((await glovebox.homomorphic.getTranscriptKey({}, { timeoutMs: 5000 }).catch(() => null))?.publicKey ??
              null)
            : givenKey(options.runtimeKey, readTranscriptKey);
        const { secret, open } = await readKeys(options.key);
        const log = (event: string, facts: Readonly<Record<string, unknown>>): void => {
          const { reason, ...rest } = facts;
          const why = reason instanceof Error ? { reason: reason.message } : {};
          process.stderr.write(`${JSON.stringify({ at: new Date().toISOString(), event, ...rest, ...why })}\n`);
        };
        await using running = await serveDecryptor({
          vault,
          secret,
          open,
          host,
          port,
          runtimeAuthority: credential.ca,
          runtimeKey: readTranscriptKey(await vault.pinRuntimeKey(seen)),
          isAgreed: async ({ consumer, agreementId }, dataset) => {
            if (!options.consumer.includes(consumer)) return false;
            // The runtime is asked too, so that an agreement that has ended here or there ends decryption.
            const { agreement } = await glovebox.agreements.get({ id: agreementId });
            return agreement?.consumer === consumer && agreement.dataset === dataset && agreement.state === 'active';
          },
          nowMs: Date.now,
          log,
        });
        out.answer(
          { listening: `${host}:${running.port}`, certificate: vault.certificateFile },
          () =>
            `decryptor for ${options.consumer.join(', ')} on ${host}:${running.port}\ntell the runtime: glovebox dataset decryptor DATASET --at ${host}:${running.port} --certificate ${vault.certificateFile}`,
        );
        await new Promise<void>((stop) => {
          for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop());
        });
        glovebox.close();
      }),
    );
}

/** A key that somebody typed: what cannot be one is said before anything listens. */
function givenKey(text: string, read: (text: string) => unknown): string {
  try {
    read(text);
    return text;
  } catch (cause) {
    throw new UsageError(
      `\`${text}\` is no transcript key: 32 bytes in base64url, as \`glovebox key runtime\` shows it`,
      {
        cause,
      },
    );
  }
}

function placeOf(text: string): { readonly host: string; readonly port: number } {
  const match = /^(.+):(\d{1,5})$/.exec(text);
  const [, host = '', port = ''] = match ?? [];
  if (host === '' || Number(port) > 65_535) throw new UsageError(`\`${text}\` is not HOST:PORT`);
  return { host, port: Number(port) };
}
