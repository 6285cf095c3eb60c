import type { Command } from 'commander';
import { actAs, type CommonOptions, withCommon } from './command.ts';
import { UsageError } from './output.ts';

/** `dataset custodian`: who keeps a dataset for its provider. */
export function addDatasetCustodian(dataset: Command): void {
  withCommon(
    dataset
      .command('custodian <name>')
      .description('name who keeps a dataset for you: new versions, verification, deletion; no policies, no results'),
    'glovebox dataset custodian hospital/visits --to archive',
  )
    .option('--to <party>', 'an admitted party with the role custodian')
    .option('--end', 'nobody keeps it from now on')
    .option('--note <text>', 'why, for the record', '')
    .action((name: string, options: CommonOptions & { to?: string; end?: boolean; note: string }) =>
      actAs(options, async (glovebox, out) => {
        if ((options.to === undefined) === (options.end !== true)) throw new UsageError('say --to PARTY, or --end');
        const custodian = options.to ?? '';
        const answer = await glovebox.catalogue.setCustodian({ dataset: name, custodian, note: options.note });
        out.answer(answer, () => (custodian === '' ? `nobody keeps ${name}` : `${custodian} keeps ${name}`));
      }),
    );
}
