import { type ReadyCode, type ReadyInput, UNIT } from '../../job/prepare-javascript.ts';
import { type Denied, denied, reason } from '../../policy/reason.ts';
import type { OutputColumn } from '../../release/candidate.ts';
import { batchFromRows, type Cell } from '../../release/column-values.ts';
import type { ColumnType, Schema } from '../../release/columns.ts';
import { javascriptLimits } from '../../sandbox/javascript/limits.ts';
import { guaranteeOf, runJavaScriptJob } from '../../sandbox/javascript/prepared.ts';
import { type ReadColumn, roughly } from './row-request.ts';
import { execution, type JavaScriptRunNeeds, type Of, sourceOf, termsOf, timeOfEach, workersOf } from './run.ts';
import { keyCell, typeOfKeys } from './statistics.ts';

/** Code that people approved: a table per declared group, with the units that the runtime counted as its certificate. */
export function approvedRun(
  needs: JavaScriptRunNeeds,
  input: ReadyInput,
  prepared: Of<'approved'>,
  columns: readonly ReadColumn[],
): ReadyCode | Denied {
  const { computation } = prepared;
  const { groupBy, result } = computation;
  const rowCount = Number(input.data?.table.rowCount ?? 0n);
  if (input.release.mode !== 'approvedCode') throw new Error('approved code runs in its own mode');
  const { minUnits, limits } = input.release;
  const timeMs = timeOfEach(computation.timeoutMs, groupBy?.keys.length ?? 1, input.release);
  const roomBytes = Math.min(javascriptLimits.batchBytes, (limits.memoryMiB ?? Infinity) * 2 ** 19);
  // One group may hold all rows, and an isolate reads a group at once.
  if (groupBy === undefined && roughly(rowCount) * columns.length * 8 > roomBytes) {
    return denied(
      reason('table-too-large', 'the rows of this table do not fit into one isolate', {
        remedy: 'group by a column, read fewer columns, or use a row function, which reads tables of any size',
      }),
    );
  }
  const keyType = groupBy === undefined ? undefined : typeOfKeys(groupBy.keys);
  const outputs: OutputColumn[] = [
    ...(groupBy === undefined || keyType === undefined
      ? []
      : [{ name: groupBy.column, type: keyType, nullable: true, role: 'key' as const }]),
    ...result.map(({ name, kind }) => ({ name, type: cellType(kind), nullable: true, role: 'cell' as const })),
  ];
  const hidden = 'units behind the row';
  const taken = outputs.map(({ name }) => name);
  if (new Set([...taken, hidden]).size !== taken.length + 1)
    return denied(reason('program-not-valid', 'result: two columns have the same name'));
  const schema: Schema = [
    ...outputs.map(({ name, type, nullable }) => ({ name, type, nullable })),
    { name: hidden, type: { kind: 'int64' }, nullable: false },
  ];
  return {
    kind: 'ready',
    outputs,
    certificates: [{ kind: 'units', column: hidden, unit: UNIT, cells: null }],
    errors: [],
    guarantee: `${guaranteeOf('approved')}; at least ${minUnits} units behind every row`,
    inWords: [
      groupBy === undefined
        ? `the approved program runs once, over all rows of \`${computation.table}\``
        : `the approved program runs once for each of ${groupBy.keys.length} declared keys of \`${groupBy.column}\`, with the rows of that key alone`,
      ...(timeMs === computation.timeoutMs ? [] : [`each run may take ${timeMs} ms, its share of the processor time`]),
      `rows over fewer than ${minUnits} privacy units are withheld; the runtime counts them`,
    ],
    execute: (signal) =>
      execution(
        async (limited) => {
          const reading = { isSorted: true, isNumbered: true, rowsPerUnit: null, signal: limited };
          const source = sourceOf(needs, input, columns, reading);
          const outcome = await runJavaScriptJob(workersOf(needs, input, limited), prepared, source, {
            ...termsOf(needs, input, limited),
            timeoutMs: timeMs,
            // Under a limit of memory, what one group left behind in a process would be felt by the next.
            isProcessPerBlock: limits.memoryMiB !== null,
          });
          if (outcome.kind === 'failed' || outcome.mode !== 'approved') return undefined;
          const rows = outcome.groups.flatMap(({ key, rows: own, units }) =>
            own.map((row): readonly Cell[] => [
              ...(groupBy === undefined ? [] : [keyCell(key, keyType)]),
              ...row.map((cell, i) => (result[i]?.kind === 'int32' && typeof cell === 'number' ? cell | 0 : cell)),
              BigInt(units),
            ]),
          );
          return { batch: batchFromRows(schema, rows), errors: [] };
        },
        input,
        signal,
      ),
  };
}

function cellType(kind: 'float64' | 'int32' | 'boolean' | 'text'): ColumnType {
  switch (kind) {
    case 'float64':
    case 'int32':
      return { kind };
    case 'boolean':
      return { kind: 'bool' };
    case 'text':
      return { kind: 'utf8' };
  }
}
