import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { uploadTable } from '../client/upload.ts';
import type { ConsumerTable } from '../gen/messages.ts';
import { actAs, type CommonOptions, withCommon } from './command.ts';
import { tableText, UsageError } from './output.ts';
import { wholeNumber } from './whole-number.ts';

/** A table is small, but laying it out takes a moment. */
const UPLOAD_TIMEOUT_MS = 10 * 60_000;

/** Tables that a consumer brings, to join them with datasets where their policies allow it. */
export function addTable(program: Command): void {
  const table = program
    .command('table')
    .description('small tables of your own, to be joined with datasets where their policies allow it');
  withCommon(
    table.command('upload <name>').description('upload a file as a table of yours, in place of one of that name'),
    'glovebox table upload regions --from regions.csv --days 7 --as acme.credential.json',
  )
    .requiredOption('--from <file>', 'CSV, Parquet or Arrow IPC')
    .option('--days <days>', 'days until it is deleted', '30')
    .action((name: string, options: CommonOptions & { from: string; days: string }) =>
      actAs(options, async (glovebox, out) => {
        if (!existsSync(options.from)) throw new UsageError(`there is no file \`${options.from}\``);
        const days = wholeNumber('--days', options.days, { from: 1 });
        const uploaded = await uploadTable(
          glovebox.tables,
          { name, days },
          { path: options.from },
          { timeoutMs: UPLOAD_TIMEOUT_MS },
        );
        out.answer({ table: uploaded }, () => describe(uploaded));
      }),
    );
  withCommon(table.command('list').description('your tables'), 'glovebox table list').action((options: CommonOptions) =>
    actAs(options, async (glovebox, out) => {
      const { tables, quotaBytes, quotaTables } = await glovebox.tables.list({});
      const taken = tables.reduce((sum, one) => sum + one.bytes, 0n);
      out.answer(
        { tables, quotaBytes, quotaTables },
        () =>
          `${tableText(
            ['table', 'rows', 'bytes', 'join on', 'expires', 'digest'],
            tables.map((one) => [
              one.name,
              one.rowCount,
              one.bytes,
              keysOf(one) || 'nothing: values repeat',
              new Date(one.expiresAtMs).toISOString(),
              one.digest,
            ]),
          )}\n${tables.length} of ${quotaTables} tables, ${taken} of ${quotaBytes} bytes`,
      );
    }),
  );
  withCommon(
    table.command('remove <name>').description('delete a table of yours'),
    'glovebox table remove regions',
  ).action((name: string, options: CommonOptions) =>
    actAs(options, async (glovebox, out) => {
      await glovebox.tables.remove({ name });
      out.answer({ table: null }, () => `removed ${name}`);
    }),
  );
}

const keysOf = ({ columns }: ConsumerTable): string =>
  columns
    .filter(({ isKey }) => isKey)
    .map(({ name }) => name)
    .join(', ');

function describe(table: ConsumerTable): string {
  return `${table.name}: ${table.rowCount} rows, ${table.digest}; deleted on ${new Date(table.expiresAtMs).toISOString()}\n${tableText(
    ['column', 'type', 'can be joined on'],
    table.columns.map((column) => [column.name, column.type, column.isKey ? 'yes' : 'no: values repeat']),
  )}`;
}
