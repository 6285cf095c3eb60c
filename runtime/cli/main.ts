import { endWhenNobodyReads } from './closed-output.ts';
import { commandLine } from './program.ts';

endWhenNobodyReads(process.argv.slice(2));
try {
  await commandLine().parseAsync();
} catch (error) {
  // commander ends by throwing: its own exit codes become ours (help and version are no failure).
  const { code, exitCode } = error as { readonly code?: string; readonly exitCode?: number };
  if (code?.startsWith('commander.') !== true) throw error;
  process.exitCode = exitCode === 0 ? 0 : 2;
}
