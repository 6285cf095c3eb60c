import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import type { Command } from 'commander';
import { readText } from '../client/read-text.ts';
import { registerFiles, type FileToUpload } from '../client/upload.ts';
import type { Dataset } from '../gen/messages.ts';
import { actAs, type CommonOptions, withCommon } from './command.ts';
import { addDatasetCustodian } from './dataset-custodian.ts';
import { addDatasetGrade, gradeOf } from './dataset-grade.ts';
import { addDatasetTwin } from './dataset-twin.ts';
import type { EncryptOptions } from './encrypt-columns.ts';
import { reasonLines, tableText, UsageError } from './output.ts';

/** Registration may take long: parsing, hashing and sorting of the whole data. */
const REGISTER_TIMEOUT_MS = 6 * 3_600_000;

export function addDataset(program: Command): void {
  const dataset = program
    .command('dataset')
    .description('what providers register; consumers see schema and policy, never rows');
  withCommon(
    dataset.command('add <name>').description('register files as a dataset, or as its next version'),
    'glovebox dataset add hospital/visits --from visits.parquet',
  )
    .requiredOption(
      '--from <file...>',
      'Parquet, CSV, Arrow IPC or DuckDB files; TABLE=FILE names the table, FILE#TABLE picks one of a DuckDB file',
    )
    .option('--description <text>', 'one line for the catalogue', '')
    .option('--grade <grade>', 'public, internal, important or core')
    .option('--encrypt <column...>', 'encrypt these columns here; only ciphertext is sent')
    .option('--unit <column>', 'with --encrypt: the privacy unit; sent as keyed hashes')
    .option('--key <file>', 'with --encrypt: the secret key, from `key generate`')
    .option('--bounds <column=low:high...>', 'with --encrypt: what values can be')
    .option('--decimals <column=count...>', 'with --encrypt: digits after the point that are kept; default 0')
    .option(
      '--categories <column=values...>',
      'with --encrypt: public values of a column, such as arm=0,1,2; counted only',
    )
    .option(
      '--programs <name...>',
      'with --encrypt: what the columns are for; default sum, mean, count; x=dot is for column x alone',
    )
    .option('--group <column>', 'with --encrypt: a public group column that partitions the rows')
    .option('--groups <name...>', 'with --encrypt: its values')
    .option('--shared', 'with --encrypt: to be computed on together with columns of other providers')
    .option('--min-units <count>', 'with --encrypt: fewest units that the decryptor releases a number over', '10')
    .option('--threads <count>', 'with --encrypt: threads that encrypt; default: one for each core')
    .option('--decryptor-data <dir>', 'with --encrypt: folder of the decryptor; default: `decryptor` beside the key')
    .action(
      (
        name: string,
        options: CommonOptions & {
          from: readonly string[];
          description: string;
          grade?: string;
        } & Partial<EncryptOptions>,
      ) =>
        actAs(options, async (glovebox, out) => {
          if (options.encrypt !== undefined) {
            const { encryptColumns } = await import('./encrypt-columns.ts');
            const grade = options.grade === undefined ? null : gradeOf(options.grade);
            const exit = await encryptColumns(glovebox, out, name, { ...options, encrypt: options.encrypt });
            // The columns are ciphertext: nothing is recognised in them, so the word is the grade.
            if (exit === 0 && grade !== null) await glovebox.catalogue.grade({ name, grade });
            return exit;
          }
          const files = options.from.map(fileOf);
          const header = {
            name,
            description: options.description,
            grade: options.grade === undefined ? ('unspecified' as const) : gradeOf(options.grade),
          };
          let registered: Dataset | null = null;
          for await (const { event, reasons } of registerFiles(glovebox.catalogue, header, files, {
            timeoutMs: REGISTER_TIMEOUT_MS,
          })) {
            if (reasons.length > 0) {
              out.answer({ reasons }, () => `cannot register \`${name}\`:\n${reasonLines(reasons)}`);
              return 1;
            }
            if (event?.kind === 'progress') {
              const { step, done, total, subject } = event.progress;
              out.progress(`${step} ${subject} ${total === 0n ? `${done >> 20n} MiB` : `${(done * 100n) / total} %`}`);
            } else if (event?.kind === 'dataset') registered = event.dataset;
          }
          out.endProgress();
          out.answer({ dataset: registered }, () =>
            registered === null ? 'nothing was registered' : describe(registered),
          );
          return registered === null ? 3 : 0;
        }),
    );
  withCommon(
    dataset.command('decryptor <name>').description('say where results over an encrypted dataset are decrypted'),
    'glovebox dataset decryptor hospital/visits --at 127.0.0.1:7411 --certificate decryptor/decryptor.pem',
  )
    .requiredOption('--at <host:port>', 'where it listens; `none` removes it')
    .option('--certificate <file>', 'its certificate, from its data directory')
    .action((name: string, options: CommonOptions & { at: string; certificate?: string }) =>
      actAs(options, async (glovebox, out) => {
        const isGone = options.at === 'none';
        if (!isGone && options.certificate === undefined)
          throw new UsageError('--certificate names the decryptor’s certificate: no other server is taken for it');
        const set = await glovebox.homomorphic.setDecryptor({
          dataset: name,
          address: isGone ? '' : options.at,
          certificate: isGone ? '' : readText(options.certificate ?? ''),
        });
        out.answer(set, () =>
          isGone
            ? `nobody decrypts results over ${name} now`
            : `results over ${name} are decrypted at ${set.address}, which ${set.isReachable ? 'answers' : 'does NOT answer now'}`,
        );
        return isGone || set.isReachable ? 0 : 1;
      }),
    );
  withCommon(
    dataset.command('list').description('list the datasets that you may know of'),
    'glovebox dataset list',
  ).action((options: CommonOptions) =>
    actAs(options, async (glovebox, out) => {
      const { datasets } = await glovebox.catalogue.list({});
      out.answer({ datasets }, () =>
        tableText(
          ['dataset', 'version', 'provider', 'grade', 'tables', 'policy'],
          datasets.map((one) => [
            one.name,
            one.version,
            one.provider,
            one.grade,
            one.tables.map((table) => table.name).join(', '),
            one.policyVersion === 0 ? 'none: nothing is allowed' : `v${one.policyVersion}`,
          ]),
        ),
      );
    }),
  );
  withCommon(
    dataset.command('show <name>').description('schema, policy and, for its provider, sizes'),
    'glovebox dataset show hospital/visits',
  ).action((name: string, options: CommonOptions) =>
    actAs(options, async (glovebox, out) => {
      const { dataset: found } = await glovebox.catalogue.get({ name });
      out.answer({ dataset: found }, () => (found === null ? '' : describe(found)));
    }),
  );
  addDatasetGrade(dataset);
  addDatasetCustodian(dataset);
  addDatasetTwin(dataset);
  withCommon(
    dataset.command('verify <name>').description('read every byte again and compare with the registered digests'),
    'glovebox dataset verify hospital/visits',
  ).action((name: string, options: CommonOptions) =>
    actAs(options, async (glovebox, out) => {
      for await (const { event } of glovebox.catalogue.verify({ name }, { timeoutMs: REGISTER_TIMEOUT_MS })) {
        if (event?.kind === 'progress') out.progress(`verify ${event.progress.done} of ${event.progress.total}`);
        if (event?.kind !== 'verdict') continue;
        out.endProgress();
        const { verdict } = event;
        out.answer({ verdict }, () =>
          verdict.isIntact
            ? `${name} is intact (${verdict.bytes} bytes)`
            : `${name} was CHANGED:\n${reasonLines(verdict.reasons)}`,
        );
        return verdict.isIntact ? 0 : 1;
      }
      return 3;
    }),
  );
}

function fileOf(text: string): FileToUpload {
  const [left = '', ...rest] = text.split('=');
  const isNamed = rest.length > 0 && !existsSync(text);
  const place = isNamed ? rest.join('=') : text;
  const [path = '', sourceTable] = existsSync(place) ? [place] : place.split('#');
  if (!existsSync(path)) throw new UsageError(`there is no file \`${path}\``);
  return { path, ...(isNamed ? { table: left } : {}), ...(sourceTable === undefined ? {} : { sourceTable }) };
}

function describe(dataset: Dataset): string {
  const tables = dataset.tables.map((table) => {
    const size = table.rowCount === null ? '' : `: ${table.rowCount} rows, ${table.bytes ?? 0n} bytes`;
    const unit = table.privacyUnit.length === 0 ? '' : `, protects ${table.privacyUnit.join(' and ')}`;
    return `\n${basename(table.name)}${size}${unit}\n${tableText(
      ['column', 'type', 'rights'],
      table.columns.map((column) => [column.name, column.type, column.rights.join(', ') || 'none']),
    )}`;
  });
  const findings =
    dataset.findings.length === 0
      ? ''
      : `\nlook at these before you grant rights on them:\n${dataset.findings.map((one) => `  ${one}`).join('\n')}`;
  return `${dataset.name} version ${dataset.version} of ${dataset.provider}, grade ${dataset.grade}, ${dataset.digest}\npolicy: ${dataset.policyVersion === 0 ? 'none, so nothing is allowed' : `version ${dataset.policyVersion}`}${tables.join('\n')}${findings}`;
}
