import type { Backend } from './backend.ts';
import { ColumnFileWriter, readColumnFile } from './column-file.ts';
import type { ColumnHeader, ColumnTotals } from './column.ts';
import { HomomorphicFault } from './fault.ts';
import { expandBlock } from './run.ts';

/** What an ingested column is: as uploaded, and as stored for computing. */
export interface IngestedColumn {
  readonly header: ColumnHeader;
  readonly upload: ColumnTotals;
  readonly stored: ColumnTotals;
}

/**
 * Validates an uploaded column and expands its seeds once, so that every later job reads plain residues: yields the
 * stored file. Nothing of it may be kept unless the generator returns: the digest is checked last. No key is involved.
 */
export async function* ingestColumn(
  backend: Backend,
  upload: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<Uint8Array, IngestedColumn> {
  let header: ColumnHeader | null = null;
  let writer: ColumnFileWriter | null = null;
  for await (const event of readColumnFile(upload)) {
    if (event.kind === 'header') {
      header = event.header;
      writer = new ColumnFileWriter({ ...header, form: 'full' });
      yield writer.start();
    } else if (header === null || writer === null) {
      break;
    } else if (event.kind === 'block') {
      yield writer.block(expandBlock(backend, header, event.block));
    } else {
      const { bytes, totals } = writer.end();
      yield bytes;
      return { header: { ...header, form: 'full' }, upload: event.totals, stored: totals };
    }
  }
  throw new HomomorphicFault('bad-column', 'cannot read this encrypted column: it has no end');
}
