import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Command } from 'commander';
import { readText } from '../client/read-text.ts';
import type { HomomorphicProgram } from '../homomorphic/program.ts';
import { act, actAs, type CommonOptions, credentialFile, withCommon } from './command.ts';
import { bar, columnsOf, programsOf, threadsOf } from './encrypt-columns.ts';
import { readKeys } from './key.ts';
import { reasonLines, UsageError } from './output.ts';
import { wholeNumber } from './whole-number.ts';

interface ContributeOptions extends CommonOptions {
  readonly invitation: string;
  readonly from: string;
  readonly encrypt: readonly string[];
  readonly unit: string;
  readonly bounds?: readonly string[];
  readonly decimals?: readonly string[];
  readonly programs?: readonly string[];
  readonly group?: string;
  readonly minUnits: string;
  readonly threads?: string;
  readonly out: string;
}

/** Columns of several providers under one key: `key invite`, `dataset contribute`, `dataset accept`, `dataset withdraw`. */
export function addContribution(program: Command): void {
  const commandOf = (name: string): Command => {
    const found = program.commands.find((one) => one.name() === name);
    if (found === undefined) throw new Error(`the command \`${name}\` comes first`);
    return found;
  };
  addInvite(commandOf('key'));
  const dataset = commandOf('dataset');
  addContribute(dataset);
  addAccept(dataset);
  withCommon(
    dataset
      .command('withdraw <digest>')
      .description('take back a column that you contributed; running jobs are stopped'),
    'glovebox dataset withdraw sha256:…',
  ).action((digest: string, options: CommonOptions) =>
    actAs(options, async (glovebox, out) => {
      const { object } = await glovebox.homomorphic.withdraw({ digest });
      out.answer({ column: object }, () => `column ${object?.column ?? ''} of ${object?.dataset ?? ''} is taken back`);
    }),
  );
}

function addInvite(key: Command): void {
  withCommon(
    key
      .command('invite')
      .description('a file for another provider that shall contribute columns under your key; give it to nobody else'),
    'glovebox key invite --for colon --key keys/colon.secret.json --from colon.csv --unit id --out colon.invitation.json',
  )
    .requiredOption('--for <dataset>', 'the encrypted dataset')
    .requiredOption('--key <file>', 'its secret key; only the public part goes into the invitation')
    .requiredOption('--out <file>', 'where to write the invitation')
    .option('--from <file>', 'the file you encrypted: columns are asked for in the order of its rows, to be joined')
    .option('--unit <column>', 'with --from: its privacy unit')
    .option('--group <column>', 'with --from: its group column')
    .option('--groups <name...>', 'the groups of the dataset')
    .action(
      (
        options: CommonOptions & {
          readonly for: string;
          readonly key: string;
          readonly out: string;
          readonly from?: string;
          readonly unit?: string;
          readonly group?: string;
          readonly groups?: readonly string[];
        },
      ) =>
        act(options, async (out) => {
          const { writePrivate } = await import('../gateway/data-directory.ts');
          const { writeInvitation } = await import('../homomorphic/invitation.ts');
          const { unitTag } = await import('../homomorphic/units.ts');
          const { openPlainFile } = await import('../dataset/plain-table.ts');
          const { open, unitKey } = await readKeys(options.key);
          const groups = options.groups ?? [];
          const order: { readonly tag: Uint8Array; readonly group: number }[] = [];
          if (options.from !== undefined) {
            if (options.unit === undefined) throw new UsageError('--unit names the column of the privacy unit');
            const group = options.group === undefined ? null : { column: options.group, names: groups };
            await using table = await openPlainFile({ path: options.from, units: [options.unit], group, columns: [] });
            for await (const { unit, group: name } of table.units())
              order.push({ tag: unitTag(unitKey, unit), group: Math.max(0, groups.indexOf(name ?? '')) });
          }
          const invitation = {
            format: 'glovebox-invitation/1' as const,
            dataset: options.for,
            open,
            unitKey,
            groups,
            order: options.from === undefined ? null : order,
          };
          await writePrivate(options.out, writeInvitation(invitation));
          out.answer(
            { invitation: options.out, rows: order.length },
            () =>
              `invitation for ${options.for} written to ${options.out} (mode 0600)\nwho has it can encrypt for you and tell which of its own units are yours: hand it to that provider only`,
          );
        }),
    );
}

function addContribute(dataset: Command): void {
  withCommon(
    dataset
      .command('contribute <name>')
      .description('encrypt columns under another provider’s key and let it compute on them'),
    'glovebox dataset contribute colon --invitation colon.invitation.json --from ours.csv --encrypt income --unit id --bounds income=0:900 --out ours.contribution.json',
  )
    .requiredOption('--invitation <file>', 'from the provider that holds the key')
    .requiredOption('--from <file>', 'your CSV or Parquet file')
    .requiredOption('--encrypt <column...>', 'the columns to contribute')
    .requiredOption('--unit <column>', 'the privacy unit; sent as keyed hashes')
    .requiredOption('--out <file>', 'where to write what you hand to the key holder')
    .option('--bounds <column=low:high...>', 'what values can be')
    .option('--decimals <column=count...>', 'digits after the point that are kept; default 0')
    .option('--programs <name...>', 'what the columns may be used for; default sum, mean, count')
    .option('--group <column>', 'the group column, when rows are not put in the invitation’s order')
    .option('--min-units <count>', 'fewest of your units that any released number may rest on', '10')
    .option('--threads <count>', 'threads that encrypt; default: one for each core')
    .action((name: string, options: ContributeOptions) =>
      actAs(options, async (glovebox, out) => {
        const { contributeColumns } = await import('../client/contribute.ts');
        const { openPlainFile } = await import('../dataset/plain-table.ts');
        const { writePrivate } = await import('../gateway/data-directory.ts');
        const { writeContribution } = await import('../homomorphic/contribution.ts');
        const { readInvitation } = await import('../homomorphic/invitation.ts');
        const { openCredential } = await import('../client/open-credential.ts');
        if (!existsSync(options.from)) throw new UsageError(`there is no file \`${options.from}\``);
        const invitation = readInvitation(readText(options.invitation));
        if (invitation.dataset !== name) throw new UsageError(`the invitation is for \`${invitation.dataset}\``);
        const isOrdered = invitation.order !== null;
        if (!isOrdered && invitation.groups.length > 0 && options.group === undefined)
          throw new UsageError(`--group names the column that holds ${invitation.groups.join(', ')}`);
        const programs = await programsOf(options.programs);
        const columns = columnsOf(options);
        const group =
          isOrdered || options.group === undefined ? null : { column: options.group, names: invitation.groups };
        await using table = await openPlainFile({
          path: options.from,
          units: [options.unit],
          group,
          columns: columns.map(({ column, isWide }) => ({ name: column, isWide })),
        });
        const contributor = openCredential(credentialFile(options)).party;
        const scratch = mkdtempSync(join(tmpdir(), 'glovebox-contribute-'));
        try {
          const outcome = await contributeColumns(
            { glovebox, invitation, scratch },
            table,
            {
              contributor,
              programs,
              minUnits: wholeNumber('--min-units', options.minUnits, { from: 1 }),
              ...threadsOf(options.threads),
              columns: columns.map(({ column, low, high, decimals }) => ({
                column,
                low,
                high,
                decimals,
                programs: programs as readonly HomomorphicProgram['name'][],
                isNullable: (table.nulls.get(column) ?? 0) > 0 || programs.includes('groupSums'),
              })),
            },
            {
              onProgress: (step, subject, done, total) =>
                out.progress(`${step} ${subject} ${bar(total === 0 ? 1 : done / total)}`),
            },
          ).catch((error: unknown) => {
            throw error instanceof RangeError ? new UsageError(error.message) : error;
          });
          out.endProgress();
          if (outcome.kind === 'refused') {
            out.answer({ reasons: outcome.reasons }, () => `refused:\n${reasonLines(outcome.reasons)}`);
            return 1;
          }
          await writePrivate(options.out, writeContribution(outcome.contribution));
          const digests = outcome.contribution.columns.map(({ header, totals }) => ({
            column: header.column,
            digest: totals.digest,
          }));
          out.answer(
            { contribution: options.out, columns: digests },
            () =>
              `contributed to ${name}: ${digests.map(({ column, digest }) => `${column} ${digest}`).join(', ')}\nhand ${options.out} to the key holder; it can read these columns, so it has to be one that you trust with them\ntake back: glovebox dataset withdraw DIGEST`,
          );
          return 0;
        } finally {
          rmSync(scratch, { recursive: true, force: true });
        }
      }),
    );
}

function addAccept(dataset: Command): void {
  withCommon(
    dataset
      .command('accept <name>')
      .description('check what another provider contributed, pin it for your decryptor, and add it to your dataset'),
    'glovebox dataset accept colon --contribution ours.contribution.json --key keys/colon.secret.json',
  )
    .requiredOption('--contribution <file>', 'from the provider that contributes')
    .requiredOption('--key <file>', 'your secret key')
    .option('--decryptor-data <dir>', 'folder of the decryptor; default: `decryptor` beside the key')
    .option(
      '--products',
      'let the columns into dot and covariance too: a factor of another’s choice can single out a row',
    )
    .action(
      (
        name: string,
        options: CommonOptions & {
          readonly contribution: string;
          readonly key: string;
          readonly decryptorData?: string;
          readonly products?: boolean;
        },
      ) =>
        actAs(options, async (glovebox, out) => {
          const { acceptContribution } = await import('../client/accept-contribution.ts');
          const { Vault } = await import('../decryptor/vault.ts');
          const { readContribution } = await import('../homomorphic/contribution.ts');
          const contribution = readContribution(readText(options.contribution));
          if (contribution.dataset !== name)
            throw new UsageError(`the contribution is for \`${contribution.dataset.slice(0, 128)}\``);
          const keys = await readKeys(options.key);
          const vault = await Vault.open(options.decryptorData ?? join(dirname(options.key), 'decryptor'));
          const scratch = mkdtempSync(join(tmpdir(), 'glovebox-accept-'));
          try {
            const outcome = await acceptContribution({ glovebox, keys, vault, scratch }, contribution, {
              mayMultiply: options.products === true,
            });
            if (outcome.kind === 'refused') {
              out.answer({ reasons: outcome.reasons }, () => `refused:\n${reasonLines(outcome.reasons)}`);
              return 1;
            }
            const { version, digest } = outcome.dataset;
            out.answer(
              { dataset: name, version, digest, columns: outcome.columns },
              () =>
                `${name} version ${version} has ${outcome.columns.join(', ')} of ${contribution.contributor} now; ${digest}\nattach a policy that names them`,
            );
            return 0;
          } finally {
            rmSync(scratch, { recursive: true, force: true });
          }
        }),
    );
}
