import { type Fields, FieldsReader, isFields } from './fields-reader.ts';
import { imageLibraries } from './libraries.ts';
import { javascriptLimits } from './limits.ts';
import type { Language } from './prepare.ts';
import { complaintsAboutOutput, planReducer } from './row-function/reducer.ts';
import type { OutputSpec, Reducer } from './row-function/reducer.ts';
import type { IterationPlan } from './iterate.ts';
import type { GroupBy, GroupKey } from './source.ts';
import type { TableColumn } from './worker-job.ts';

interface Common {
  readonly language: Language;
  readonly source: string;
  /** libraries of the image, by name; none for a row function */
  readonly libraries?: readonly string[];
}

interface OverTable extends Common {
  readonly table: string;
  readonly columns: readonly string[];
}

/** A checked function per row and a trusted reducer: the guarantee is differential privacy by construction. */
export interface RowFunctionComputation extends OverTable {
  readonly mode: 'rowFunction';
  readonly outputs: readonly OutputSpec[];
  readonly reducer: Reducer;
  readonly parameters?: Readonly<Record<string, number>>;
  /** rows are computed per key; every declared key is in the result, also an empty one */
  readonly groupBy?: GroupBy;
  readonly iterate?: IterationPlan;
}

/** Any code on disjoint blocks of units: the guarantee is differential privacy of the aggregate over blocks. */
export interface BlocksComputation extends OverTable {
  readonly mode: 'blocks';
  readonly outputs: readonly (OutputSpec & { readonly default: number })[];
  readonly blocks: {
    /** absent: the number that `explain` recommends */
    readonly count?: number;
    readonly timeoutMs: number;
    readonly aggregate: 'mean' | 'median';
  };
}

/** Code that people approved by its digest: the guarantee is their review, and thresholds on the units of each group. */
export interface ApprovedComputation extends OverTable {
  readonly mode: 'approved';
  readonly result: readonly TableColumn[];
  readonly maxRowsPerGroup: number;
  readonly groupBy?: GroupBy;
  readonly timeoutMs: number;
}

/** Code over results that were released already: it can tell nothing that they do not tell. */
export interface PostComputation extends Common {
  readonly mode: 'post';
  /** the released results it reads, by job id */
  readonly results: readonly string[];
  readonly timeoutMs: number;
}

/** What a consumer submits as sandboxed code. */
export type JavaScriptComputation = RowFunctionComputation | BlocksComputation | ApprovedComputation | PostComputation;

export type ParsedComputation =
  | { readonly kind: 'ok'; readonly computation: JavaScriptComputation }
  | { readonly kind: 'refused'; readonly reasons: readonly string[] };

/** Accepts plain data from outside as a computation; every unknown, missing or ill-formed field is named with its path. */
export function parseComputation(value: unknown): ParsedComputation {
  const reader = new Reader();
  const computation = reader.computation(value);
  if (computation === undefined || reader.reasons.length > 0) {
    return { kind: 'refused', reasons: reader.reasons.slice(0, javascriptLimits.reasons) };
  }
  return { kind: 'ok', computation };
}

const commonFields = ['mode', 'language', 'source', 'libraries'];
const reducerKinds = ['sum', 'mean', 'variance', 'covariance', 'histogram', 'gradient', 'clusterSums'] as const;
const maxTimeoutMs = javascriptLimits.programTimeoutMs;

class Reader extends FieldsReader {
  computation(value: unknown): JavaScriptComputation | undefined {
    const mode = isFields(value) ? value.mode : undefined;
    switch (mode) {
      case 'rowFunction': {
        const fields = this.fields(value, '', [
          ...commonFields,
          'table',
          'columns',
          'outputs',
          'reducer',
          'parameters',
          'groupBy',
          'iterate',
        ]);
        const outputs = this.#outputs(fields.outputs);
        const reducer = this.#reducer(fields.reducer);
        const iterate = fields.iterate === undefined ? undefined : this.#iteration(fields.iterate, outputs.length);
        if (this.reasons.length === 0 && iterate === undefined) {
          const planned = planReducer(outputs, reducer);
          if (planned.kind === 'refused') this.reasons.push(...planned.reasons);
        }
        const common = this.#overTable(fields, javascriptLimits.rowFunctionBytes);
        if (common.libraries !== undefined) this.complain('libraries', 'a row function uses none');
        return {
          mode,
          ...common,
          outputs,
          reducer,
          ...optional('parameters', fields.parameters === undefined ? undefined : this.#parameters(fields.parameters)),
          ...optional('groupBy', this.#groupBy(fields.groupBy)),
          ...optional('iterate', iterate),
        };
      }
      case 'blocks': {
        const fields = this.fields(value, '', [...commonFields, 'table', 'columns', 'outputs', 'blocks']);
        const outputs = this.#blockOutputs(fields.outputs);
        const blocks = this.fields(fields.blocks, 'blocks', ['count', 'timeoutMs', 'aggregate']);
        const count =
          blocks.count === undefined
            ? undefined
            : this.integer(blocks.count, 'blocks.count', 2, javascriptLimits.blocks);
        return {
          mode,
          ...this.#overTable(fields),
          outputs,
          blocks: {
            ...optional('count', count),
            timeoutMs:
              blocks.timeoutMs === undefined
                ? 1000
                : this.integer(blocks.timeoutMs, 'blocks.timeoutMs', 1, javascriptLimits.blockTimeoutMs),
            aggregate:
              blocks.aggregate === undefined
                ? 'mean'
                : this.one(blocks.aggregate, 'blocks.aggregate', ['mean', 'median']),
          },
        };
      }
      case 'approved': {
        const fields = this.fields(value, '', [
          ...commonFields,
          'table',
          'columns',
          'result',
          'maxRowsPerGroup',
          'groupBy',
          'timeoutMs',
        ]);
        return {
          mode,
          ...this.#overTable(fields),
          result: this.#result(fields.result),
          maxRowsPerGroup:
            fields.maxRowsPerGroup === undefined
              ? 1
              : this.integer(fields.maxRowsPerGroup, 'maxRowsPerGroup', 1, javascriptLimits.approvedRowsPerGroup),
          ...optional('groupBy', this.#groupBy(fields.groupBy)),
          timeoutMs: this.#timeout(fields.timeoutMs),
        };
      }
      case 'post': {
        const fields = this.fields(value, '', [...commonFields, 'results', 'timeoutMs']);
        return {
          mode,
          ...this.#common(fields),
          results: this.names(fields.results, 'results', 16),
          timeoutMs: this.#timeout(fields.timeoutMs),
        };
      }
      default:
        this.complain('mode', 'must be `rowFunction`, `blocks`, `approved` or `post`');
        return undefined;
    }
  }

  #common(fields: Fields, maxBytes: number = javascriptLimits.sourceBytes): Common {
    const libraries = fields.libraries === undefined ? undefined : this.names(fields.libraries, 'libraries', 16);
    for (const name of libraries ?? []) {
      if (!imageLibraries.some((each) => each.file === name))
        this.complain('libraries', `\`${name}\` is not in the image`);
    }
    const { source } = fields;
    if (typeof source !== 'string' || source.trim() === '') this.complain('source', 'is missing');
    else if (Buffer.byteLength(source) > maxBytes) this.complain('source', `is longer than ${maxBytes} bytes`);
    return {
      language: this.one(fields.language, 'language', ['javascript', 'typescript']),
      source: typeof source === 'string' ? source : '',
      ...optional('libraries', libraries),
    };
  }

  #overTable(
    fields: Fields,
    maxBytes?: number,
  ): Common & { readonly table: string; readonly columns: readonly string[] } {
    const columns = this.names(fields.columns, 'columns', javascriptLimits.columns);
    return { ...this.#common(fields, maxBytes), table: this.text(fields.table, 'table'), columns };
  }

  #outputs(value: unknown, known: readonly string[] = ['name', 'range', 'step']): OutputSpec[] {
    const names = new Set<string>();
    return this.list(value, 'outputs', javascriptLimits.outputs).map((each, i) => {
      const path = `outputs[${i}]`;
      const fields = this.fields(each, path, known);
      const name = this.text(fields.name, `${path}.name`);
      if (names.has(name)) this.complain(`${path}.name`, `\`${name}\` is declared twice`);
      names.add(name);
      const [lo, hi] = this.numbers(fields.range, `${path}.range`, 2);
      const step = fields.step === undefined ? undefined : this.number(fields.step, `${path}.step`);
      const output = { name, range: [lo ?? 0, hi ?? 1] as const, ...optional('step', step) };
      this.reasons.push(...complaintsAboutOutput(output));
      return output;
    });
  }

  /** Outputs of blocks have a default: the middle of the range unless another one is declared. */
  #blockOutputs(value: unknown): (OutputSpec & { readonly default: number })[] {
    return this.#outputs(value, ['name', 'range', 'step', 'default']).map((output, i) => {
      const [lo, hi] = output.range;
      const declared: unknown = Array.isArray(value) && isFields(value[i]) ? value[i].default : undefined;
      const fallback = declared === undefined ? lo / 2 + hi / 2 : this.number(declared, `outputs[${i}].default`);
      if (fallback < lo || fallback > hi) this.complain(`outputs[${i}].default`, 'is outside of the range');
      return { ...output, default: fallback };
    });
  }

  #reducer(value: unknown): Reducer {
    if (value === undefined) return { kind: 'mean' };
    const kind = this.one(isFields(value) ? value.kind : undefined, 'reducer.kind', reducerKinds);
    switch (kind) {
      case 'histogram': {
        const fields = this.fields(value, 'reducer', ['kind', 'edges']);
        const edges = this.list(fields.edges, 'reducer.edges', javascriptLimits.outputs);
        return { kind, edges: edges.map((each, i) => this.numbers(each, `reducer.edges[${i}]`)) };
      }
      case 'gradient': {
        const fields = this.fields(value, 'reducer', ['kind', 'model', 'weights', 'clip']);
        return {
          kind,
          model: this.one(fields.model, 'reducer.model', ['linear', 'logistic']),
          weights: this.numbers(fields.weights, 'reducer.weights'),
          clip: this.number(fields.clip, 'reducer.clip'),
        };
      }
      case 'clusterSums': {
        const fields = this.fields(value, 'reducer', ['kind', 'centres']);
        const centres = this.list(fields.centres, 'reducer.centres', javascriptLimits.bins);
        return { kind, centres: centres.map((each, i) => this.numbers(each, `reducer.centres[${i}]`)) };
      }
      case 'sum':
      case 'mean':
      case 'variance':
      case 'covariance':
        this.fields(value, 'reducer', ['kind']);
        return { kind };
    }
  }

  #iteration(value: unknown, outputs: number): IterationPlan | undefined {
    const algorithm = this.one(isFields(value) ? value.algorithm : undefined, 'iterate.algorithm', [
      'kMeans',
      'linearRegression',
      'logisticRegression',
    ]);
    const rounds = (fields: Fields): number =>
      this.integer(fields.rounds, 'iterate.rounds', 1, javascriptLimits.rounds);
    if (algorithm === 'kMeans') {
      const fields = this.fields(value, 'iterate', ['algorithm', 'rounds', 'centres']);
      const centres = this.list(fields.centres, 'iterate.centres', javascriptLimits.bins).map((each, i) =>
        this.numbers(each, `iterate.centres[${i}]`, outputs),
      );
      return { algorithm, rounds: rounds(fields), centres };
    }
    const fields = this.fields(value, 'iterate', ['algorithm', 'rounds', 'weights', 'clip', 'rate']);
    if (outputs < 2) this.complain('outputs', 'a regression needs the target and at least one feature');
    return {
      algorithm,
      rounds: rounds(fields),
      weights:
        fields.weights === undefined
          ? Array.from({ length: outputs }, () => 0)
          : this.numbers(fields.weights, 'iterate.weights', outputs),
      clip: this.number(fields.clip, 'iterate.clip'),
      rate: this.number(fields.rate, 'iterate.rate'),
    };
  }

  #parameters(value: unknown): Readonly<Record<string, number>> {
    if (!isFields(value)) {
      this.complain('parameters', 'must be an object of numbers');
      return {};
    }
    const entries = Object.entries(value);
    if (entries.length > javascriptLimits.columns) this.complain('parameters', 'are too many');
    return Object.fromEntries(entries.map(([name, each]) => [name, this.number(each, `parameters.${name}`)]));
  }

  #groupBy(value: unknown): GroupBy | undefined {
    if (value === undefined) return undefined;
    const fields = this.fields(value, 'groupBy', ['column', 'keys']);
    const keys = this.list(fields.keys, 'groupBy.keys', javascriptLimits.groupKeys).filter((key): key is GroupKey => {
      const isKey =
        typeof key === 'string' || typeof key === 'boolean' || (typeof key === 'number' && Number.isFinite(key));
      if (!isKey) this.complain('groupBy.keys', 'must be texts, numbers or booleans');
      return isKey;
    });
    if (new Set(keys).size !== keys.length) this.complain('groupBy.keys', 'name a key twice');
    return { column: this.text(fields.column, 'groupBy.column'), keys };
  }

  #result(value: unknown): readonly TableColumn[] {
    const names = new Set<string>();
    return this.list(value, 'result', javascriptLimits.outputs).map((each, i) => {
      const path = `result[${i}]`;
      const fields = this.fields(each, path, ['name', 'kind', 'maxBytes']);
      const name = this.text(fields.name, `${path}.name`);
      if (names.has(name)) this.complain(`${path}.name`, `\`${name}\` is declared twice`);
      names.add(name);
      const kind = this.one(fields.kind, `${path}.kind`, ['float64', 'int32', 'boolean', 'text']);
      const maxBytes =
        fields.maxBytes === undefined
          ? 64
          : this.integer(fields.maxBytes, `${path}.maxBytes`, 1, javascriptLimits.approvedTextBytes);
      return { name, kind, maxBytes: kind === 'text' ? maxBytes : 0 };
    });
  }

  #timeout(value: unknown): number {
    return value === undefined ? 10_000 : this.integer(value, 'timeoutMs', 1, maxTimeoutMs);
  }
}

function optional<K extends string, V>(key: K, value: V | undefined): { readonly [P in K]?: V } {
  return value === undefined ? {} : ({ [key]: value } as { readonly [P in K]?: V });
}
