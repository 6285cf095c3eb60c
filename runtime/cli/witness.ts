import type { Command } from 'commander';
import { formatVerifierKey } from '../evidence/note.ts';
import { act, type CommonOptions } from './command.ts';
import { ADDRESS } from '../configuration/values.ts';
import { UsageError } from './output.ts';
import { verifierKeyIn } from './verifier-key.ts';

interface WitnessOptions extends CommonOptions {
  readonly state: string;
  readonly name: string;
  readonly log: readonly string[];
  readonly listen?: string;
}

/** The counterparty's side of the evidence: a small server that cosigns checkpoints of logs that only grow. */
export function addWitness(evidence: Command): void {
  evidence
    .command('witness')
    .description('watch the logs of counterparties: cosign their checkpoints while they only grow (C2SP tlog-witness)')
    .requiredOption('--state <dir>', 'folder for the key and for what was seen; made when there is none')
    .requiredOption('--name <name>', 'name in cosignatures, e.g. acme.example/witness')
    .requiredOption('--log <file...>', 'verifier keys of the logs to watch (from `evidence key`)')
    .option('--listen <host:port>', 'address to serve on; without it, only the verifier key is printed')
    .option('--json', 'answer as JSON on standard output')
    .addHelpText(
      'after',
      '\nExample:\n  glovebox evidence witness --state ./witness --name acme.example/witness --log log.pub --listen 127.0.0.1:7450\n',
    )
    .action((options: WitnessOptions) =>
      act(options, async (out) => {
        const { serveWitness, WitnessState } = await import('../gateway/evidence/witness-server.ts');
        const logs = options.log.map(verifierKeyIn);
        const state = new WitnessState(options.state, options.name);
        const verifierKey = formatVerifierKey(state.signer.verifier);
        if (options.listen === undefined) {
          out.answer({ verifierKey }, () => verifierKey);
          return;
        }
        const address = ADDRESS.read(options.listen);
        if (address === null) throw new UsageError(`\`${options.listen}\` is not ${ADDRESS.allowed}`);
        await using served = await serveWitness(state, logs, { ...address, nowMs: Date.now });
        out.answer({ verifierKey, port: served.port }, () => `${verifierKey}\nlistens on port ${served.port}`);
        await new Promise<void>((resolve) => {
          process.once('SIGTERM', () => resolve());
          process.once('SIGINT', () => resolve());
        });
      }),
    );
}
