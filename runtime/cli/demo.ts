import type { Command } from 'commander';
import { act } from './command.ts';

export function addDemo(program: Command): void {
  program
    .command('demo')
    .description('the whole story on real patient data: questions, refusals, a receipt; leaves nothing behind')
    .option('--json', 'the report as JSON on standard output')
    .addHelpText(
      'after',
      '\nStarts a runtime in a temporary folder, and ends with 0 only when every figure is the one worked out from the\nfiles by other means, every attack was refused, and the receipt verified.\n\nExample:\n  glovebox demo\n',
    )
    .action((options: { readonly json?: boolean }) =>
      act(options, async (out) => await (await import('./demo/story.ts')).runDemo(out)),
    );
}
