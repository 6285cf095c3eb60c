import type { Backend } from './backend.ts';
import { readColumnFile, type ColumnEvent } from './column-file.ts';
import type { ColumnHeader, ColumnTotals } from './column.ts';
import { HomomorphicFault } from './fault.ts';
import { columnHeaderText } from './column.ts';
import type { Plan } from './plan.ts';
import { ProgramRun, expandBlock, type ResultPart } from './run.ts';

/** Where the bytes of a program's columns come from, in the program's order; each is read once, front to back. */
export type ColumnSource = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

/** Whether blocks have to be expanded or computed on by the library: sums and products are our kernels' alone. */
export function needsLibrary(plan: Plan): boolean {
  return (
    plan.inputs.some(({ header }) => header.form === 'seeded') || plan.outputs.some(({ work }) => work === 'logistic')
  );
}

/**
 * Runs a plan over whole column files in lockstep, holding one block per column. Headers, totals and digests must be
 * those of the plan's inputs: a file that differs in one bit throws before anything is returned (with `check: 'frame'`,
 * for the runtime's own stored files, only header, frames, ranges and totals are checked).
 */
export async function runOverColumns(
  plan: Plan,
  backend: Backend | null,
  sources: readonly ColumnSource[],
  options?: { readonly check?: 'full' | 'frame' },
): Promise<readonly ResultPart[]> {
  using run = new ProgramRun(plan, backend);
  const readers = await Promise.all(
    plan.inputs.map(async ({ header }, i) => {
      const reader = readColumnFile(sources[i] ?? [], options);
      const first = await reader.next();
      if (first.done === true || first.value.kind !== 'header') throw mismatch(header);
      if (columnHeaderText(first.value.header) !== columnHeaderText(header)) throw mismatch(header);
      return reader;
    }),
  );
  const isOpen = readers.map(() => true);
  for (let index = 0; isOpen.some(Boolean); index++) {
    for (const [column, reader] of readers.entries()) {
      if (isOpen[column] !== true) continue;
      const event = await next(reader);
      const input = plan.inputs[column];
      if (input === undefined) continue;
      if (event.kind === 'end') {
        if (!sameTotals(event.totals, input.totals)) throw mismatch(input.header);
        isOpen[column] = false;
      } else if (event.kind === 'block') {
        const { header } = input;
        if (header.form === 'seeded' && backend === null)
          throw new HomomorphicFault('worker-failed', 'seeded blocks need an encryption library');
        run.take(column, index, backend === null ? event.block : expandBlock(backend, header, event.block));
      }
    }
  }
  return run.finish();
}

async function next(reader: AsyncGenerator<ColumnEvent, void>): Promise<ColumnEvent> {
  const event = await reader.next();
  if (event.done === true) throw new HomomorphicFault('bad-column', 'a column ended without its totals');
  return event.value;
}

function sameTotals(a: ColumnTotals, b: ColumnTotals): boolean {
  // a stored file is read without hashing it: its digest was confirmed when it was taken in
  return a.rows === b.rows && a.blocks === b.blocks && (a.digest === b.digest || a.digest === '');
}

function mismatch(header: ColumnHeader): HomomorphicFault {
  return new HomomorphicFault('bad-column', `the file of column ${header.column} is not the one that was registered`);
}
