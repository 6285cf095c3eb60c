import type { Command } from 'commander';
import type { TwinColumn } from '../gen/messages.ts';
import { actAs, type CommonOptions, withCommon } from './command.ts';
import { reasonLines } from './output.ts';
import { wholeNumber } from './whole-number.ts';
import { writeWhole } from './write-file.ts';

interface TwinOptions extends CommonOptions {
  readonly out: string;
  readonly table: string;
  readonly rows: string;
  readonly seed: string;
  readonly marginals?: readonly string[];
}

/** `dataset twin`: synthetic rows, of the policy and of noisy answers that the caller holds. */
export function addDatasetTwin(dataset: Command): void {
  withCommon(
    dataset
      .command('twin <name>')
      .description('synthetic rows of the same shape, made of the policy and of noisy answers that you hold'),
    'glovebox dataset twin clinical --table colon --out colon-twin.arrow',
  )
    .requiredOption('--out <file>', 'where to write them, as an Arrow IPC stream')
    .option('--table <name>', 'the table, when there are several', '')
    .option('--rows <number>', 'how many', '1000')
    .option('--seed <number>', 'another seed makes another twin', '1')
    .option('--marginals <job...>', 'jobs of yours with noise that count one column each: it is drawn from the counts')
    .action((name: string, options: TwinOptions) =>
      actAs(options, async (glovebox, out) => {
        const pieces: Uint8Array[] = [];
        let columns: readonly TwinColumn[] = [];
        const asked = {
          name,
          table: options.table,
          rows: wholeNumber('--rows', options.rows),
          seed: BigInt(wholeNumber('--seed', options.seed, { to: Number.MAX_SAFE_INTEGER })),
          marginalJobIds: options.marginals ?? [],
        };
        for await (const part of glovebox.catalogue.twin(asked)) {
          if (part.reasons.length > 0) {
            const { reasons } = part;
            out.answer({ reasons }, () => `no twin of \`${name}\` was made:\n${reasonLines(reasons)}`);
            return 1;
          }
          pieces.push(part.chunk);
          if (part.columns.length > 0) columns = part.columns;
        }
        writeWhole(options.out, Buffer.concat(pieces));
        out.answer({ file: options.out, columns }, () => told(options.out, columns));
        return 0;
      }),
    );
}

function told(file: string, columns: readonly TwinColumn[]): string {
  const drawn = columns.filter(({ jobId }) => jobId !== '');
  if (drawn.length === 0) return `twin written to ${file}: synthetic rows, nothing of the dataset`;
  const rest = columns.filter(({ jobId }) => jobId === '').map(({ name }) => name);
  return [
    `twin written to ${file}: synthetic rows, at no further privacy loss`,
    ...drawn.map(({ name, jobId }) => `  ${name}: from the noisy counts of job ${jobId}`),
    ...(rest.length === 0 ? [] : [`  ${rest.join(', ')}: from what the policy declares, nothing of the dataset`]),
  ].join('\n');
}
