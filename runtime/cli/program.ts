import { join } from 'node:path';
import { Command } from 'commander';
import { readText } from '../client/read-text.ts';
import { addAgreement } from './agreement.ts';
import { addAlert } from './alert.ts';
import { addBackup } from './backup.ts';
import { addBench } from './bench.ts';
import { addCode } from './code.ts';
import { addConfiguration } from './configuration.ts';
import { addContribution } from './contribution.ts';
import { addDataset } from './dataset.ts';
import { addDecryptor } from './decryptor.ts';
import { addDemo } from './demo.ts';
import { addDispute } from './dispute.ts';
import { addEvidence } from './evidence.ts';
import { addExportList } from './export-list.ts';
import { groupCommands } from './help-groups.ts';
import { addJob } from './job.ts';
import { addKey } from './key.ts';
import { addMandate } from './mandate.ts';
import { addMeter } from './meter.ts';
import { addOperator } from './operator.ts';
import { toJson } from './output.ts';
import { addParty } from './party.ts';
import { addPolicy } from './policy.ts';
import { addProject } from './project.ts';
import { addServe } from './serve.ts';
import { addTable } from './table.ts';
import { addTop } from './top.ts';
import { addTrust } from './trust.ts';

/** The command line. One file per object; `object verb`, as `dataset add`. */
export function commandLine(): Command {
  const program = new Command('glovebox')
    .description(
      'a runtime for data that must not leave: consumers submit computations, only what the policy allows comes out',
    )
    .version(versionOf(), '-V, --version', 'print the version')
    .showSuggestionAfterError()
    .configureHelp({ showGlobalOptions: true })
    .exitOverride();

  addDemo(program);
  addServe(program);
  addTable(program);
  addConfiguration(program);
  addParty(program);
  addTrust(program);
  addDataset(program);
  addPolicy(program);
  addAgreement(program);
  addProject(program);
  addMandate(program);
  addDispute(program);
  addJob(program);
  addKey(program);
  addContribution(program);
  addDecryptor(program);
  addCode(program);
  addEvidence(program);
  addMeter(program);
  addOperator(program);
  addAlert(program);
  addExportList(program);
  addTop(program);
  addBackup(program);
  addBench(program);
  groupCommands(program);
  return program;
}

/** Runs one command and sets the exit code of this process or thread. */
export async function runCommandLine(args: readonly string[]): Promise<void> {
  try {
    await commandLine().parseAsync(args, { from: 'user' });
  } catch (error) {
    // commander ends by throwing: its own exit codes become ours (help and version are no failure).
    const { code, exitCode } = error as { readonly code?: string; readonly exitCode?: number };
    if (code?.startsWith('commander.') !== true) throw error;
    process.exitCode = exitCode === 0 ? 0 : 2;
    // Whoever reads JSON gets it for a wrong argument as well; the words for people are on standard error already.
    const end = args.indexOf('--');
    if (exitCode !== 0 && code !== 'commander.help' && args.slice(0, end === -1 ? undefined : end).includes('--json')) {
      const message = (error as Error).message.replace(/^error: /, '');
      process.stdout.write(toJson({ error: { code: 'usage', message, reasons: [] } }));
    }
  }
}

/** Read here and not from container.ts, which would load the whole runtime. */
function versionOf(): string {
  const manifest = readText(join(import.meta.dirname, '..', '..', 'package.json'));
  return (JSON.parse(manifest) as { readonly version: string }).version;
}
