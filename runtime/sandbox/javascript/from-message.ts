import type { JavaScriptProgram } from '../../gen/messages.ts';
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
  const { source, table, columns } = program;
  const common = { language: program.isTypeScript ? 'typescript' : 'javascript', source };
  const outputs = program.outputs.map(({ name, low, high }) => ({ name, range: [low, high] }));
  switch (program.method) {
    case 'unspecified':
    case 'rowFunction': {
      const own: readonly string[] = ownParameters;
      const parameters = Object.fromEntries(Object.entries(program.parameters).filter(([name]) => !own.includes(name)));
      return parseComputation({
        mode: 'rowFunction',
        ...common,
        table,
        columns,
        outputs,
        ...reducerOf(program),
        parameters,
      });
    }
    case 'blocks': {
      const count = program.blocks === 0 ? {} : { count: program.blocks };
      const aggregate = program.reducer === '' ? {} : { aggregate: program.reducer };
      const withDefaults = outputs.map((output, i) => ({ ...output, default: program.outputs[i]?.defaultValue ?? 0 }));
      return parseComputation({
        mode: 'blocks',
        ...common,
        table,
        columns,
        outputs: withDefaults,
        blocks: { ...count, timeoutMs: 1000, ...aggregate },
      });
    }
    case 'approved':
      // The message declares numbers; a text column of a result cannot be declared in it.
      return parseComputation({
        mode: 'approved',
        ...common,
        table,
        columns,
        result: program.outputs.map(({ name }) => ({ name, kind: 'float64' })),
      });
    case 'post':
      return parseComputation({ mode: 'post', ...common, results: program.inputJobIds });
  }
}

function reducerOf(program: JavaScriptProgram): { readonly reducer: unknown; readonly iterate?: unknown } {
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
