import { complaintOfParser } from '../complaint.ts';
import type { Complaint } from '../complaint.ts';
import type { ColumnSpec } from '../columns.ts';
import { javascriptLimits } from '../limits.ts';
import { parseRowFunction } from './parse.ts';
import { printRowFunction } from './print.ts';
import { decodeRowProgram } from './program.ts';
import type { RowInterface, RowProgram } from './program.ts';
import { planReducer, sensitivityOf } from './reducer.ts';
import type { OutputSpec, Reducer, ReducerPlan, Sensitivity } from './reducer.ts';

/** Everything about a row function that is not its text. */
export interface RowFunctionSpec {
  readonly columns: readonly ColumnSpec[];
  readonly outputs: readonly OutputSpec[];
  readonly reducer: Reducer;
  /** constants that the function may read as `(row, constants) => …`; they change between rounds */
  readonly parameters?: Readonly<Record<string, number>> | undefined;
  /** rows that one privacy unit contributes at most */
  readonly rowsPerUnit: number;
}

export interface CheckedRowFunction {
  readonly kind: 'ok';
  readonly program: RowProgram;
  /** the enforced form, as `explain` shows it: texts are compared by their codes, shown here as −2 */
  readonly printed: string;
  readonly outputs: readonly OutputSpec[];
  readonly plan: ReducerPlan;
  readonly sensitivity: Sensitivity;
}

export interface RefusedRowFunction {
  readonly kind: 'refused';
  readonly reasons: readonly Complaint[];
}

/**
 * Checks a row function's JavaScript against the closed language and plans its reduction. Pure: reads no data.
 * A TypeScript source has its types stripped first (`prepareSource`).
 */
export function checkRowFunction(source: string, spec: RowFunctionSpec): CheckedRowFunction | RefusedRowFunction {
  if (Buffer.byteLength(source) > javascriptLimits.rowFunctionBytes) {
    return refused(`the source is longer than ${javascriptLimits.rowFunctionBytes} bytes`);
  }
  const parameters = Object.keys(spec.parameters ?? {});
  let program: RowProgram;
  try {
    program = parseRowFunction(source, {
      columns: spec.columns,
      parameters,
      outputs: spec.outputs.map((each) => each.name),
    });
  } catch (error) {
    const complaint = complaintOfParser(error);
    if (complaint === undefined) throw error;
    return { kind: 'refused', reasons: [complaint] };
  }
  return planRowFunction(program, spec);
}

/** Plans a program that was parsed elsewhere; `program` is untrusted and every node of it is checked again. */
export function planRowFunction(program: unknown, spec: RowFunctionSpec): CheckedRowFunction | RefusedRowFunction {
  const decoded = decodeRowProgram(program, faceOf(spec));
  if (decoded === undefined) return refused('the function is not in the language of row functions');
  const planned = planReducer(spec.outputs, spec.reducer);
  if (planned.kind === 'refused') return refused(...planned.reasons);
  const { rowsPerUnit } = spec;
  if (!Number.isInteger(rowsPerUnit) || rowsPerUnit < 1 || rowsPerUnit > javascriptLimits.rowsPerUnit) {
    return refused(`a unit contributes 1 to ${javascriptLimits.rowsPerUnit} rows, not ${rowsPerUnit}`);
  }
  const printed = printRowFunction(decoded, {
    columns: spec.columns,
    outputs: spec.outputs.length,
    parameters: spec.parameters ?? {},
    codeOf: () => undefined,
  });
  const sensitivity = sensitivityOf(planned.plan, rowsPerUnit);
  return { kind: 'ok', program: decoded, printed, outputs: spec.outputs, plan: planned.plan, sensitivity };
}

function faceOf(spec: RowFunctionSpec): RowInterface {
  return { columns: spec.columns, parameters: Object.keys(spec.parameters ?? {}), outputs: spec.outputs.length };
}

function refused(...messages: readonly string[]): RefusedRowFunction {
  return { kind: 'refused', reasons: messages.map((message) => ({ line: 1, column: 1, message })) };
}
