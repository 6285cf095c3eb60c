import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { Command, Option } from 'commander';
import { connect, type Glovebox } from '../client/connect.ts';
import {
  type ExitCode,
  failureOf,
  type Output,
  output,
  reasonLines,
  safeForTerminal,
  toJson,
  UsageError,
} from './output.ts';

/** Options that every command takes. */
export interface CommonOptions {
  readonly json?: boolean;
  readonly as?: string;
  readonly server?: string;
  readonly data?: string;
}

/** Where the data directory is when nobody says: the system's place for root, the user's otherwise. */
export function defaultDataDirectory(): string {
  const said = process.env['GLOVEBOX_DATA'];
  if (said !== undefined && said !== '') return said;
  return process.getuid?.() === 0
    ? '/var/lib/glovebox'
    : join(process.env['XDG_DATA_HOME'] ?? join(homedir(), '.local', 'share'), 'glovebox');
}

/** Adds the common options and an example to a command. */
export function withCommon(command: Command, example: string): Command {
  return command
    .addOption(new Option('--json', 'answer as JSON on standard output'))
    .addOption(
      new Option(
        '--as <file>',
        'credential to act as; default: $GLOVEBOX_CREDENTIAL, else the operator of the data directory',
      ),
    )
    .addOption(new Option('--server <host:port>', 'runtime to talk to; default: the one in the credential'))
    .addOption(
      new Option(
        '--data <dir>',
        'data directory of the runtime on this machine; default: $GLOVEBOX_DATA or the standard place',
      ),
    )
    .addHelpText('after', `\nExample:\n  ${example}\n`);
}

/** Runs a command's work, tells how it ended, and sets the exit code. */
export async function act(options: CommonOptions, work: (out: Output) => Promise<ExitCode | void>): Promise<void> {
  const out = output(options.json === true);
  try {
    process.exitCode = (await work(out)) ?? 0;
  } catch (error) {
    out.endProgress();
    const { exit, code, message, reasons } = failureOf(error);
    if (out.isJson) process.stdout.write(toJson({ error: { code, message, reasons } }));
    else {
      const why = reasons.length === 0 ? '' : `\n${reasonLines(reasons)}`;
      process.stderr.write(`${safeForTerminal(`glovebox: ${message}${why}`)}\n`);
    }
    process.exitCode = exit;
  }
}

/** The same, with a connection as the party of the credential. */
export async function actAs(
  options: CommonOptions,
  work: (glovebox: Glovebox, out: Output) => Promise<ExitCode | void>,
): Promise<void> {
  await act(options, async (out) => {
    const glovebox = connect({
      credential: credentialFile(options),
      ...(options.server === undefined ? {} : { server: options.server }),
    });
    try {
      return await work(glovebox, out);
    } finally {
      glovebox.close();
    }
  });
}

export function credentialFile(options: CommonOptions): string {
  const named = options.as ?? process.env['GLOVEBOX_CREDENTIAL'];
  if (named !== undefined && named !== '') {
    if (!existsSync(named)) throw new UsageError(`there is no credential file \`${named}\``);
    return named;
  }
  const file = join(options.data ?? defaultDataDirectory(), 'operator.credential.json');
  if (existsSync(file)) return file;
  throw new UsageError(
    `no credential: give --as FILE (from \`party add\`), or --data DIR of a runtime that was started on this machine (looked for ${file})`,
  );
}
