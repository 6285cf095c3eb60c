import type { IterationPlan, JavaScriptProgram } from '../../gen/messages.ts';
import { parseComputation } from './computation.ts';
import type { ParsedComputation } from './computation.ts';

/** Parameters with a meaning of their own: the clip and the step of a regression in rounds. */
const ownParameters = ['clip', 'rate'] as const;

/**
 * Reads a program of the public API as a computation. Reducers: for `rowFunction` "sum", "mean", "variance", "covariance",
 * "histogram" (with the outputs' bins), "gradient" (linear) and "logistic"; more than one round of a gradient is a regression whose
 * parameters `clip` and `rate` say how. For `blocks` "mean" and "median".
 */
export function computationOfMessage(program: JavaScriptProgram): ParsedComputation {
  const { source, table, columns, libraries } = program;
  const common = {
    language: program.isTypeScript ? 'typescript' : 'javascript',
    source,
    ...(libraries.length === 0 ? {} : { libraries }),
  };
  const timeout = program.timeoutMs === 0 ? {} : { timeoutMs: program.timeoutMs };
  const outputs = program.outputs.map(({ name, low, high, step }) => ({
    name,
    range: [low, high],
    ...(step === 0 ? {} : { step }),
  }));
  switch (program.method) {
    case 'unspecified':
    case 'rowFunction': {
      const own: readonly string[] = program.iterate === null ? ownParameters : [];
      const parameters = Object.fromEntries(Object.entries(program.parameters).filter(([name]) => !own.includes(name)));
      return parseComputation({
        mode: 'rowFunction',
        ...common,
        table,
        columns,
        outputs,
        ...reducerOf(program),
        parameters,
        ...groupByOf(program),
      });
    }
    case 'blocks': {
      const count = program.blocks === 0 ? {} : { count: program.blocks };
      const aggregate = program.reducer === '' ? {} : { aggregate: program.reducer };
      const withDefaults = outputs.map((output, i) => {
        const { hasDefault = false, defaultValue = 0 } = program.outputs[i] ?? {};
        return hasDefault || defaultValue !== 0 ? { ...output, default: defaultValue } : output;
      });
      return parseComputation({
        mode: 'blocks',
        ...common,
        table,
        columns,
        outputs: withDefaults,
        blocks: { ...count, timeoutMs: DEFAULT_BLOCK_MS, ...timeout, ...aggregate },
      });
    }
    case 'approved':
      return parseComputation({
        mode: 'approved',
        ...common,
        table,
        columns,
        result:
          program.result.length === 0
            ? program.outputs.map(({ name }) => ({ name, kind: 'float64' }))
            : program.result.map(({ name, kind, maxBytes }) => ({
                name,
                kind,
                ...(maxBytes === 0 ? {} : { maxBytes }),
              })),
        ...(program.maxRowsPerGroup === 0 ? {} : { maxRowsPerGroup: program.maxRowsPerGroup }),
        ...groupByOf(program),
        ...timeout,
      });
    case 'post':
      return parseComputation({ mode: 'post', ...common, results: program.inputJobIds, ...timeout });
  }
}

/** Time of one block when none is declared: the answer leaves when all blocks could have used theirs up. */
const DEFAULT_BLOCK_MS = 100;

function groupByOf({ groupColumn, groupKeys }: JavaScriptProgram): { readonly groupBy?: unknown } {
  if (groupColumn === '' && groupKeys.length === 0) return {};
  const keys = groupKeys.map(({ key }) => {
    switch (key?.kind) {
      case 'text':
        return key.text;
      case 'number':
        return key.number;
      case 'boolean':
        return key.boolean;
      case undefined:
        return null;
    }
  });
  return { groupBy: { column: groupColumn, keys } };
}

/** A plan of rounds in full; the reducer beside it is never run, and is one that any outputs have. */
function iterationOf(plan: IterationPlan): { readonly reducer: unknown; readonly iterate: unknown } {
  const { algorithm, rounds, centres, weights, clip, rate } = plan;
  const iterate =
    algorithm === 'kMeans'
      ? { algorithm, rounds, centres: centres.map(({ coordinates }) => coordinates) }
      : { algorithm, rounds, ...(weights.length === 0 ? {} : { weights }), clip, rate };
  return { reducer: { kind: 'mean' }, iterate };
}

function reducerOf(program: JavaScriptProgram): { readonly reducer: unknown; readonly iterate?: unknown } {
  if (program.iterate !== null) return iterationOf(program.iterate);
  const { clip = 1, rate = 1 } = program.parameters;
  const zeros = program.outputs.map(() => 0);
  switch (program.reducer) {
    case '':
      return { reducer: { kind: 'mean' } };
    case 'histogram':
      return { reducer: { kind: 'histogram', edges: program.outputs.map((output) => output.bins) } };
    case 'gradient':
    case 'logistic': {
      const model = program.reducer === 'logistic' ? 'logistic' : 'linear';
      const reducer = { kind: 'gradient', model, weights: zeros, clip };
      const iterate = { algorithm: `${model}Regression`, rounds: program.rounds, weights: zeros, clip, rate };
      return program.rounds > 1 ? { reducer, iterate } : { reducer };
    }
    default:
      return { reducer: { kind: program.reducer } };
  }
}
