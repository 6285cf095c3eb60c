import type { ReadyCode, ReadyInput } from '../../job/prepare-javascript.ts';
import { type Denied, denied, reason } from '../../policy/reason.ts';
import type { OutputColumn } from '../../release/candidate.ts';
import { batchFromRows, type Cell } from '../../release/column-values.ts';
import type { Schema } from '../../release/columns.ts';
import { guaranteeOf, runJavaScriptJob } from '../../sandbox/javascript/prepared.ts';
import type { ColumnSource } from '../../sandbox/javascript/source.ts';
import { execution, type JavaScriptRunNeeds, type Of, termsOf, timeOfEach, workersOf } from './run.ts';

/** Code over results that this party already has: its answer is one JSON document. */
export async function postRun(
  needs: JavaScriptRunNeeds,
  input: ReadyInput,
  prepared: Of<'post'>,
): Promise<ReadyCode | Denied> {
  const { results } = prepared.computation;
  for (const id of results) {
    if ((await needs.resultOf(input.party, id)) === undefined) {
      return denied(
        reason('result-unknown', `no released result \`${id}\` of yours is kept`, {
          remedy: 'name jobs of your own that were released within the last day',
        }),
      );
    }
  }
  const outputs: OutputColumn[] = [{ name: 'result', type: { kind: 'utf8' }, nullable: true, role: 'cell' }];
  const schema: Schema = [{ name: 'result', type: { kind: 'utf8' }, nullable: true }];
  return {
    kind: 'ready',
    outputs,
    certificates: [],
    errors: [],
    guarantee: guaranteeOf('post'),
    inWords: [
      `the program reads the released results of ${results.join(', ')} and nothing else`,
      'it costs no privacy budget',
    ],
    execute: (signal) =>
      execution(
        async (limited) => {
          const released: Record<string, unknown> = {};
          for (const id of results) released[id] = (await needs.resultOf(input.party, id))?.map(plainRow) ?? [];
          const outcome = await runJavaScriptJob(workersOf(needs, input, limited), prepared, NO_ROWS, {
            ...termsOf(needs, input, limited),
            timeoutMs: timeOfEach(prepared.computation.timeoutMs, 1, input.release),
            released,
          });
          if (outcome.kind === 'failed' || outcome.mode !== 'post') return undefined;
          return { batch: batchFromRows(schema, [[JSON.stringify(outcome.value)]]), errors: [] };
        },
        input,
        signal,
      ),
  };
}

const NO_ROWS: ColumnSource = { columns: [], dictionaries: new Map(), units: 0, batches: () => [] };

/** BigInts have no JSON: exact where doubles are, else as text. */
function plainRow(row: Readonly<Record<string, Cell>>): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    Object.entries(row).map(([name, cell]) => [
      name,
      typeof cell !== 'bigint' ? cell : Number.isSafeInteger(Number(cell)) ? Number(cell) : cell.toString(),
    ]),
  );
}
