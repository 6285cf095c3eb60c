import type { Command } from 'commander';

/** The commands by whom they serve; in this order they stand in `glovebox --help`. */
export const HELP_GROUPS: readonly { readonly heading: string; readonly commands: readonly string[] }[] = [
  { heading: 'Begin here:', commands: ['demo', 'serve', 'doctor'] },
  { heading: 'Providers:', commands: ['dataset', 'policy', 'export-list'] },
  { heading: 'Providers and consumers:', commands: ['agreement', 'budget', 'meter', 'dispute', 'alert'] },
  { heading: 'Consumers:', commands: ['job', 'table', 'project', 'mandate', 'code'] },
  { heading: 'Computing on ciphertext:', commands: ['key', 'decryptor'] },
  { heading: 'Evidence:', commands: ['evidence', 'lineage', 'compliance'] },
  {
    heading: 'Operators:',
    commands: ['party', 'trust', 'status', 'top', 'stop-all', 'backup', 'restore', 'config', 'image', 'bench'],
  },
];

/** Puts the commands of a program into their groups, and tells the exit codes below them. */
export function groupCommands(program: Command): void {
  const ranks = new Map(HELP_GROUPS.flatMap(({ commands }) => commands).map((name, rank) => [name, rank]));
  for (const { heading, commands } of HELP_GROUPS)
    for (const command of program.commands) if (commands.includes(command.name())) command.helpGroup(heading);
  const rankOf = (command: Command): number => ranks.get(command.name()) ?? ranks.size;
  // Groups stand in the order of their first commands.
  (program.commands as Command[]).sort((a, b) => rankOf(a) - rankOf(b));
  program.addHelpText(
    'after',
    `
Every command has --help with an example, and --json for programs.
Exit codes: 0 done, 1 refused or withheld, 2 wrong usage, 3 something is broken.
`,
  );
}
