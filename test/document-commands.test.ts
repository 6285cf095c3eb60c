import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { Command } from 'commander';
import { HELP_GROUPS } from '../runtime/cli/help-groups.ts';
import { commandLine } from '../runtime/cli/program.ts';

const ROOT = join(import.meta.dirname, '..');
const DOCUMENTS = ['*.md', 'docs/**/*.md', 'examples/**/*.md', 'sandbox-images/**/*.md', 'deploy/*'];
/** The launcher's own, not the command line's. */
const LAUNCHER = ['test'];

/** A command line as a document writes it. In running text it may be cut short: `job run --program`. */
interface Written {
  readonly at: string;
  readonly text: string;
  readonly isWhole: boolean;
}

describe('commands in documents', () => {
  it('exist as they are written, with the options and arguments they show', () => {
    const commands = globSync(DOCUMENTS, { cwd: ROOT }).flatMap((file) =>
      writtenIn(file, readFileSync(join(ROOT, file), 'utf8')),
    );
    assert.ok(commands.filter(({ isWhole }) => isWhole).length > 50 && commands.length > 150, `${commands.length}`);
    assert.deepEqual(commands.flatMap(complaintsOf), []);
  });

  it('that stand as examples in the help of each command are right', () => {
    const examples = leavesOf(commandLine()).map((leaf) => exampleOf(leaf));
    assert.deepEqual(examples.flatMap(complaintsOf), []);
  });

  it('stand each in one group of the help', () => {
    const grouped = HELP_GROUPS.flatMap(({ commands }) => commands);
    assert.deepEqual(
      grouped.toSorted(),
      commandLine()
        .commands.map((one) => one.name())
        .toSorted(),
    );
  });

  it('are found wrong here when they are', () => {
    const wrong = ['glovebox job run "select 1" --fast', 'glovebox agreements list', 'glovebox policy attach'];
    for (const text of wrong) assert.equal(complaintsOf({ at: 'here', text, isWhole: true }).length, 1, text);
    assert.equal(complaintsOf({ at: 'here', text: 'glovebox policy attach', isWhole: false }).length, 0);
  });
});

/** Lines that begin with `glovebox`, joined where they go on; and code in running text that begins as a command does. */
function writtenIn(at: string, text: string): readonly Written[] {
  const objects = commandLine()
    .commands.map((command) => command.name())
    .join('|');
  const found = (pattern: RegExp, source: string, isWhole: boolean): readonly Written[] =>
    [...source.matchAll(pattern)].map(([, command = '']) => ({ at, text: `glovebox ${command}`, isWhole }));
  return [
    ...found(/^(?:ExecStart=\S*?)?\s*(?:\.\/)?glovebox ([a-z].*)$/gm, text.replaceAll(/\\\n\s*/g, ' '), true),
    ...found(new RegExp(`\`(?:(?:\\./|npx )?glovebox )?((?:${objects})(?: [^\`]*)?)\``, 'g'), text, false),
  ].filter(({ text: command }) => !LAUNCHER.includes(command.split(/\s/)[1] ?? ''));
}

/** Nothing, or why the command line refuses what is written. Nothing is run. */
function complaintsOf({ at, text, isWhole }: Written): readonly string[] {
  const told: string[] = [];
  const program = silenced(commandLine());
  try {
    program.parse(wordsOf(text).slice(1), { from: 'user' });
  } catch (error) {
    const { code = '', message } = error as { readonly code?: string; readonly message: string };
    const isCutShort = /missing|\.help$/i.test(code);
    const isAnswered = ['commander.helpDisplayed', 'commander.version'].includes(code);
    if (!isAnswered && (isWhole || !isCutShort)) told.push(`${at}: ${text}: ${message}`);
  }
  return told;
}

/** The command line whose commands do and say nothing. */
function silenced(command: Command): Command {
  command.exitOverride().configureOutput({ writeErr: () => {}, writeOut: () => {} });
  if (command.commands.length === 0) command.action(() => {});
  for (const one of command.commands) silenced(one);
  return command;
}

function leavesOf(command: Command): readonly Command[] {
  return command.commands.length === 0 ? [command] : command.commands.flatMap(leavesOf);
}

function exampleOf(leaf: Command): Written {
  let help = '';
  leaf.configureOutput({ writeOut: (text) => (help += text) });
  leaf.outputHelp();
  const [, example = ''] = /\nExamples?:\n\s+(?:\.\/)?(glovebox .*)/.exec(help) ?? [];
  return { at: `help of ${leaf.name()}`, text: example, isWhole: true };
}

/** As a shell would split it; what follows `#`, `&`, `|`, `>` or `;` is not the command's. */
function wordsOf(text: string): readonly string[] {
  const words: string[] = [];
  for (const [whole, double, single, end] of text.matchAll(/"([^"]*)"|'([^']*)'|(?:^|\s)([#&|>;])|[^\s"'&|>;]+/g)) {
    if (end !== undefined) break;
    words.push((double ?? single ?? whole).trim());
  }
  return words.filter((word) => word !== '');
}
