import type { Command } from 'commander';
import { readText } from '../client/read-text.ts';
import { actAs, type CommonOptions, withCommon } from './command.ts';

/** What may not leave which jurisdictions. */
export function addExportList(program: Command): void {
  const list = program.command('export-list').description('fields that may not leave which jurisdictions');
  withCommon(
    list.command('set <file>').description('put a list in force; a later version of the same list replaces it'),
    'glovebox export-list set negative-list.yaml',
  ).action((file: string, options: CommonOptions) =>
    actAs(options, async (glovebox, out) => {
      const answer = await glovebox.operator.setExportList({ document: readText(file) });
      const isSet = answer.complaints.length === 0;
      out.answer(answer, () =>
        isSet
          ? `version ${answer.version} is in force, sha256:${answer.digest}`
          : `not set:\n${answer.complaints.map((one) => `  ${file}: ${one}`).join('\n')}`,
      );
      return isSet ? 0 : 1;
    }),
  );
  withCommon(list.command('show').description('the list in force'), 'glovebox export-list show').action(
    (options: CommonOptions) =>
      actAs(options, async (glovebox, out) => {
        const answer = await glovebox.operator.getExportList({});
        out.answer(answer, () => answer.document);
      }),
  );
}
