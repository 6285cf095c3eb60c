import type { Command } from 'commander';
import { readText } from '../client/read-text.ts';
import type { Settled } from '../configuration/read-configuration.ts';
import type { Configuration, SettingKey } from '../configuration/settings.ts';
import type { Address } from '../configuration/values.ts';
import { act, type CommonOptions } from './command.ts';
import { tableText, UsageError } from './output.ts';

/** Settings as typed on the command line. */
export interface SettingFlags {
  readonly config?: string;
  readonly data?: string;
  readonly listen?: string;
  readonly insecure?: boolean;
  readonly declareVm?: boolean;
  readonly evidenceHttp?: string;
  readonly metrics?: string;
  readonly webhook?: readonly string[];
  readonly witness?: readonly string[];
  readonly timestamp?: string;
  readonly alertWebhook?: string;
  readonly logLevel?: string;
  readonly logFile?: string;
}

/** The flags that `serve` and `config` share. */
export function withSettings(command: Command): Command {
  return command
    .option('--config <file>', 'configuration file (YAML); default: $GLOVEBOX_CONFIG, else none')
    .option('--data <dir>', 'data directory; made when it does not exist')
    .option('--listen <host:port>', 'address to serve on; port 0 takes any (default: 127.0.0.1:7443)')
    .option('--insecure', 'no TLS and no identities: loopback addresses only, for local trials')
    .option(
      '--declare-vm',
      'state that this whole runtime runs in a virtual machine of its own (recorded as your word)',
    )
    .option(
      '--evidence-http <host:port>',
      'serve the signed log as static files over HTTP, for monitors; off by default',
    )
    .option('--metrics <host:port>', 'serve Prometheus metrics over HTTP, on a loopback address; off by default')
    .option('--webhook <origin...>', 'addresses (https://host:port) that duties may notify; none by default')
    .option('--alert-webhook <url>', 'where alerts are sent; none by default')
    .option(
      '--witness <url=keyfile...>',
      'witnesses that cosign the log: URL of add-checkpoint, and their verifier key',
    )
    .option('--timestamp <url>', 'RFC 3161 authority that timestamps checkpoints; none by default')
    .option('--log-level <level>', 'debug, info, warn or error (default: info)')
    .option('--log-file <file>', 'log there, with rotation, and not on standard error');
}

/** Settles flags, environment and file; complaints are a UsageError with all of them. */
export async function configurationOf(options: SettingFlags): Promise<{
  readonly configuration: Configuration;
  readonly settled: readonly Settled[];
  readonly unknownVariables: readonly string[];
}> {
  const { readConfiguration } = await import('../configuration/read-configuration.ts');
  const { config, webhook, witness, timestamp, ...others } = options;
  const name = config ?? process.env['GLOVEBOX_CONFIG'];
  const flags: { [K in SettingKey]?: unknown } = {};
  for (const key of [
    'data',
    'listen',
    'insecure',
    'declareVm',
    'evidenceHttp',
    'metrics',
    'alertWebhook',
    'logLevel',
    'logFile',
  ] as const)
    if (others[key] !== undefined) flags[key] = others[key];
  if (webhook !== undefined) flags.webhooks = webhook;
  if (witness !== undefined) flags.witnesses = witness;
  if (timestamp !== undefined) flags.timestampUrl = timestamp;
  const read = readConfiguration({
    ...(name === undefined || name === '' ? {} : { file: { name, text: readText(name) } }),
    environment: process.env,
    flags,
  });
  if (read.kind === 'complaints')
    throw new UsageError(`the configuration is not valid\n${read.complaints.map((line) => `  ${line}`).join('\n')}`);
  return read;
}

export function addConfiguration(program: Command): void {
  const config = program.command('config').description('what the runtime is set to, and who said so');
  withSettings(
    config
      .command('show')
      .description('every setting with its value and its origin, as `serve` with the same flags would take it'),
  )
    .option('--json', 'answer as JSON on standard output')
    .addHelpText('after', '\nExample:\n  glovebox config show --config /etc/glovebox.yaml\n')
    .action((options: CommonOptions & SettingFlags) =>
      act(options, async (out) => {
        const { settled, unknownVariables } = await configurationOf(options);
        const settings = settled.map((one) => ({ ...one, value: inWords(one.value) }));
        out.answer({ settings, unknownVariables }, () =>
          [
            tableText(
              ['setting', 'value', 'origin'],
              settings.map(({ name, value, origin }) => [name, value === null ? null : String(value), origin]),
            ),
            ...unknownVariables.map((variable) => `$${variable} is no setting and is ignored`),
          ].join('\n'),
        );
      }),
    );
  config
    .command('check <file>')
    .description('complain about a configuration file with file:line:column; needs no runtime')
    .option('--json', 'answer as JSON on standard output')
    .addHelpText('after', '\nExample:\n  glovebox config check /etc/glovebox.yaml\n')
    .action((file: string, options: CommonOptions) =>
      act(options, async (out) => {
        const { readConfiguration } = await import('../configuration/read-configuration.ts');
        const text = readText(file);
        const read = readConfiguration({ file: { name: file, text }, environment: {}, flags: {} });
        const complaints = read.kind === 'complaints' ? read.complaints : [];
        out.answer({ file, complaints }, () => (complaints.length === 0 ? `${file} is valid` : complaints.join('\n')));
        return complaints.length === 0 ? 0 : 1;
      }),
    );
}

/** Values as they would be written: an address as HOST:PORT, a list with commas. */
function inWords(value: unknown): string | number | boolean | null {
  if (Array.isArray(value)) return value.join(', ');
  if (typeof value === 'object' && value !== null) {
    const { host, port } = value as Address;
    return `${host.includes(':') ? `[${host}]` : host}:${port}`;
  }
  return value as string | number | boolean | null;
}
