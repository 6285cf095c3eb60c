import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { status } from '@grpc/grpc-js';
import type { Command } from 'commander';
import { connect } from '../client/connect.ts';
import { GloveboxError } from '../client/error.ts';
import { act, type CommonOptions, credentialFile, defaultDataDirectory, withCommon } from './command.ts';
import { UsageError } from './output.ts';

export function addBackup(program: Command): void {
  withCommon(
    program
      .command('backup <folder>')
      .description('copy the data directory of this machine, also while the runtime works; holds keys and all data'),
    'glovebox backup /mnt/backups/2026-11-22',
  ).action((folder: string, options: CommonOptions) =>
    act(options, async (out) => {
      const [{ backUp }, { BackupRefusal }, { VERSION }] = await Promise.all([
        import('../backup/backup.ts'),
        import('../backup/files.ts'),
        import('../container.ts'),
      ]);
      const dataDirectory = resolve(options.data ?? defaultDataDirectory());
      try {
        const made = await backUp({
          dataDirectory,
          target: resolve(folder),
          version: VERSION,
          nowMs: Date.now,
          copyState: () => askForCopy({ ...options, data: dataDirectory }),
          progress: (text) => out.progress(text),
        });
        out.endProgress();
        out.answer(made, () => `backed up ${made.files} files, ${made.bytes} bytes, ${made.logSize} log entries`);
      } catch (error) {
        throw error instanceof BackupRefusal ? new UsageError(error.message) : error;
      }
    }),
  );
  program
    .command('restore <folder>')
    .description('make a data directory from a backup; it releases nothing until `stop-all --resume`')
    .requiredOption('--data <dir>', 'the new data directory: empty or absent')
    .option('--json', 'answer as JSON on standard output')
    .addHelpText('after', '\nExample:\n  glovebox restore /mnt/backups/2026-11-22 --data /var/lib/glovebox\n')
    .action((folder: string, options: CommonOptions & { data: string }) =>
      act(options, async (out) => {
        const [{ restore }, { BackupRefusal }] = await Promise.all([
          import('../backup/restore.ts'),
          import('../backup/files.ts'),
        ]);
        try {
          const restored = await restore({
            source: resolve(folder),
            dataDirectory: resolve(options.data),
            nowMs: Date.now,
            progress: (text) => out.progress(text),
          });
          out.endProgress();
          out.answer(restored, () =>
            [
              `restored the state of ${new Date(restored.takenAtMs).toISOString()} with ${restored.logSize} log entries`,
              'what was spent and released since then is not in it, so everything is stopped. Compare with receipts,',
              'checkpoints or logs kept elsewhere; then: glovebox stop-all --resume --note "…"',
            ].join('\n'),
          );
        } catch (error) {
          throw error instanceof BackupRefusal ? new UsageError(error.message) : error;
        }
      }),
    );
}

/** Null when no runtime answers; then the state is not held by anybody, or opening it will say by whom. */
async function askForCopy(options: CommonOptions & { readonly data: string }): Promise<string | null> {
  const own = join(options.data, 'operator.credential.json');
  const hasCredential =
    options.as !== undefined || existsSync(own) || (process.env['GLOVEBOX_CREDENTIAL'] ?? '') !== '';
  if (!hasCredential) return null;
  const glovebox = connect({
    credential: credentialFile(options),
    ...(options.server === undefined ? {} : { server: options.server }),
    timeoutMs: BACKUP_TIMEOUT_MS,
  });
  try {
    return (await glovebox.operator.backup({})).path;
  } catch (error) {
    if (error instanceof GloveboxError && error.status === status.UNAVAILABLE) return null;
    throw error;
  } finally {
    glovebox.close();
  }
}

/** Copying a large state takes a while. */
const BACKUP_TIMEOUT_MS = 60 * 60_000;
