import { wireKind } from '../columns.ts';
import type { ColumnPlace, ColumnSpec } from '../columns.ts';
import { printRowFunction } from './print.ts';
import type { PrintTerms } from './print.ts';
import type { RowProgram } from './program.ts';
import { pairsOf } from './reducer.ts';
import type { Grid, Reducer, ReducerPlan } from './reducer.ts';

/** Rows are summed per declared public key of one column; rows of any other key are left out. */
export interface GroupTerms {
  readonly column: string;
  /** the keys as the column stores them: numbers, dictionary codes, or 0 and 1; undefined for a text no row holds */
  readonly keys: readonly (number | undefined)[];
}

export interface KernelTerms extends Pick<PrintTerms, 'parameters' | 'codeOf'> {
  readonly columns: readonly ColumnSpec[];
  readonly reducer: Reducer;
  readonly plan: ReducerPlan;
  readonly groupBy?: GroupTerms | undefined;
  /** when unit numbers travel with the rows: how many units there are and how many rows each may contribute */
  readonly units?: { readonly count: number; readonly rowsPerUnit: number; readonly isCounted: boolean } | undefined;
}

/**
 * Prints the trusted loop around a checked row function. The completion value is `run(buffer, rows, ...offsets)`, which
 * adds a batch to its cells (`buffer` null: in the buffer of the call before), and `run()`, which returns the cells and
 * starts again from zero.
 *
 * The row function stands outside of the scope of the loop: a name in it can never reach the running sums.
 */
export function printKernel(program: RowProgram, terms: KernelTerms): string {
  const { columns, plan, groupBy, units } = terms;
  const outputs = plan.grids.length;
  const width = plan.cells.length;
  const groups = groupBy === undefined ? 1 : groupBy.keys.length;
  const rowFunction = printRowFunction(program, { ...terms, outputs });
  const names = columns.map((_, index) => `a${index}`);
  const views = [...names, ...(units === undefined ? [] : ['u'])];
  const cells = cellNames(terms.reducer, groupBy === undefined ? width : undefined);
  const perRow = [
    groupBy === undefined
      ? 'const at=0;'
      : `const g=${groupIndex(groupBy, columns)};if(g<0)continue;const at=g*${width};`,
    units?.isCounted === true ? countUnit(groups, units.count) : '',
    valuesText(names, columns, outputs),
    reduceText(terms.reducer, plan, cells.of),
  ];
  return [
    `(function(){'use strict';const f=${rowFunction};return (function(){`,
    `const cells=new Float64Array(${groups * width}),o=new Float64Array(${outputs});let buffer;`,
    terms.reducer.kind === 'histogram'
      ? terms.reducer.edges.map((edges, k) => `const e${k}=Float64Array.of(${edges.map(text).join(',')});`).join('')
      : '',
    terms.reducer.kind === 'gradient' ? `const x=new Float64Array(${outputs});` : '',
    units === undefined ? '' : `const seen=new ${counterOf(units.rowsPerUnit)}(${units.count});`,
    units?.isCounted === true
      ? `const met=new Uint8Array(${Math.ceil((groups * units.count) / 8)}),people=new Float64Array(${groups});`
      : '',
    groupBy === undefined ? '' : groupTable(groupBy, columns),
    `function slice(i,n,${views.join(',')}){`,
    cells.load,
    units === undefined ? `for(;i<n;i++){${perRow.join('')}}` : loopOverUnits(units, perRow.join('')),
    `${cells.store}}`,
    `return function(b,n${views.map((name) => `,${name}o`).join('')}){`,
    `if(b===undefined){const done=${units?.isCounted === true ? 'n===1?people.slice():cells.slice()' : 'cells.slice()'};if(n!==1)cells.fill(0);return done}`,
    'if(b!==null)buffer=b;',
    names.map((name, index) => viewText(name, columnKind(columns, index))).join(''),
    units === undefined ? '' : viewText('u', 'int32'),
    `for(let i=0;i<n;i+=${SLICE_ROWS})slice(i,n<i+${SLICE_ROWS}?n:i+${SLICE_ROWS},${views.join(',')})}})()})()`,
  ].join('');
}

/**
 * Rows of one call of the loop. The engine compiles a function well that is called often and returns: one long loop per batch was
 * compiled in its middle, knew nothing of what follows it, and was thrown away at the end of each batch.
 */
const SLICE_ROWS = 4096;

/** Cells that one loop may hold in variables; more would not fit the registers anyway. */
const CELLS_IN_VARIABLES = 32;

/**
 * What a reducer adds to. Without groups the few cells of a plain sum are variables: adding to an array, each row would wait
 * for the store of the row before. A reducer that picks its cell by value keeps the array, and so do groups.
 */
function cellNames(
  reducer: Reducer,
  width: number | undefined,
): { readonly of: (cell: number) => string; readonly load: string; readonly store: string } {
  const isFixed =
    reducer.kind === 'sum' || reducer.kind === 'mean' || reducer.kind === 'variance' || reducer.kind === 'covariance';
  if (!isFixed || width === undefined || width > CELLS_IN_VARIABLES)
    return { of: (cell) => `cells[at+${cell}]`, load: '', store: '' };
  const all = Array.from({ length: width }, (_, cell) => cell);
  return {
    of: (cell) => `s${cell}`,
    load: `let ${all.map((cell) => `s${cell}=cells[${cell}]`).join(',')};`,
    store: all.map((cell) => `cells[${cell}]=s${cell};`).join(''),
  };
}

/**
 * Takes of each unit no more rows than the bound. Rows of one unit mostly come one after the other, so they are counted run by
 * run (`w` is the unit of rows `i` to `end`, the first of them up to `stop` are taken), and the loop over rows stays bare.
 */
function loopOverUnits({ count, rowsPerUnit }: NonNullable<KernelTerms['units']>, body: string): string {
  return (
    `for(;i<n;){const w=u[i];let end=i+1;while(end<n&&u[end]===w)end++;let stop=i;` +
    `if(w>=0&&w<${count}){const c=seen[w];stop=end-i>${rowsPerUnit}-c?i+${rowsPerUnit}-c:end;seen[w]=c+stop-i}` +
    `for(;i<stop;i++){${body}}i=end}`
  );
}

function columnKind(columns: readonly ColumnSpec[], index: number): ColumnPlace['kind'] {
  const column = columns[index];
  if (column === undefined) throw new RangeError('no such column');
  return wireKind(column);
}

const arrayOf: Readonly<Record<ColumnPlace['kind'], string>> = {
  float64: 'Float64Array',
  int32: 'Int32Array',
  dictionary: 'Int32Array',
  boolean: 'Int8Array',
};

function viewText(name: string, kind: ColumnPlace['kind']): string {
  return `const ${name}=new ${arrayOf[kind]}(buffer,${name}o,n);`;
}

/** The row function's arguments: numbers as they are stored (NaN when missing), a missing boolean is `undefined`, a text is its code. */
function valuesText(names: readonly string[], columns: readonly ColumnSpec[], outputs: number): string {
  const values = columns.map((column, index) => {
    const cell = `${names[index]}[i]`;
    if (column.kind !== 'boolean') return cell;
    return column.isNullable ? `(${cell}<0?undefined:${cell}===1)` : `(${cell}===1)`;
  });
  const call = `f(${[...values, 'o'].join(',')})`;
  return outputs === 1
    ? `let y0=+${call};`
    : `${call};${Array.from({ length: outputs }, (_, k) => `let y${k}=o[${k}];`).join('')}`;
}

/** Clamp, then round to the grid; the caller has sorted out NaN. */
function gridText(grid: Grid, name: string): string {
  const clamped = `(${name}<${text(grid.lo)}?${text(grid.lo)}:${name}>${text(grid.hi)}?${text(grid.hi)}:${name})`;
  const moved = grid.origin === 0 ? clamped : `(${clamped}-${text(grid.origin)})`;
  // Multiplying by the inverse of a power of two is exact; any other step is divided by.
  const scaled = Number.isInteger(Math.log2(grid.step))
    ? `${moved}*${text(1 / grid.step)}`
    : `${moved}/${text(grid.step)}`;
  return `Math.round(${scaled})`;
}

function reduceText(reducer: Reducer, plan: ReducerPlan, cell: (index: number) => string): string {
  const { grids } = plan;
  const count = grids.length;
  const all = `${grids.map((_, k) => `y${k}===y${k}`).join('&&')}`;
  const quantised = grids.map((grid, k) => `const q${k}=${gridText(grid, `y${k}`)};`).join('');
  switch (reducer.kind) {
    case 'sum':
      return grids.map((grid, k) => `if(y${k}===y${k})${cell(k)}+=${gridText(grid, `y${k}`)};`).join('');
    case 'mean':
      return `if(${all}){${quantised}${grids.map((_, k) => `${cell(k)}+=q${k};`).join('')}${cell(count)}++}`;
    case 'variance':
      return `if(${all}){${quantised}${grids.map((_, k) => `${cell(k)}+=q${k};${cell(count + k)}+=q${k}*q${k};`).join('')}${cell(2 * count)}++}`;
    case 'covariance': {
      const pairs = pairsOf(count);
      const products = pairs.map(([i, j], p) => `${cell(count + p)}+=q${i}*q${j};`).join('');
      return `if(${all}){${quantised}${grids.map((_, k) => `${cell(k)}+=q${k};`).join('')}${products}${cell(count + pairs.length)}++}`;
    }
    case 'histogram': {
      let first = 0;
      return reducer.edges
        .map((edges, k) => {
          const bins = edges.length - 1;
          const start = first;
          first += bins;
          // The last bin holds its upper edge; a value outside of the edges is in no bin.
          return (
            `if(y${k}>=${text(edges[0] ?? 0)}&&y${k}<=${text(edges[bins] ?? 0)}){const e=e${k};` +
            `let l=0,h=${bins};while(h-l>1){const m=(l+h)>>1;if(y${k}>=e[m])l=m;else h=m}cells[at+${start}+l]++}`
          );
        })
        .join('');
    }
    case 'gradient': {
      const first = plan.cells[0];
      if (first === undefined) throw new RangeError('a gradient has no cells');
      const [bias, ...weights] = reducer.weights;
      const clamped = grids
        .map(
          (grid, k) => `y${k}=y${k}<${text(grid.lo)}?${text(grid.lo)}:y${k}>${text(grid.hi)}?${text(grid.hi)}:y${k};`,
        )
        .join('');
      const score = `${text(bias ?? 0)}${weights.map((weight, k) => `+${text(weight)}*y${k + 1}`).join('')}`;
      const predicted = reducer.model === 'logistic' ? `1/(1+Math.exp(-(${score})))` : score;
      const residual = `const r=(${predicted})-y0;x[0]=r;${weights.map((_, k) => `x[${k + 1}]=r*y${k + 1};`).join('')}`;
      const clip = `let s=0;for(let k=0;k<${count};k++)s+=x[k]*x[k];s=Math.sqrt(s);const z=s>${text(reducer.clip)}?${text(reducer.clip)}/s:1;`;
      // Truncation only shortens the vector. `q===q` guards against ∞·0, which declared bounds make unreachable.
      const add = `for(let k=0;k<${count};k++){const q=Math.trunc(x[k]*z*${text(1 / first.step)});if(q===q&&q<=${first.largest}&&q>=${-first.largest})cells[at+k]+=q}`;
      return `if(${all}){${clamped}${residual}${clip}${add}cells[at+${count}]++}`;
    }
    case 'clusterSums': {
      const distances = reducer.centres
        .map((centre, c) => {
          const terms = centre.map((value, k) => `(y${k}-${text(value)})*(y${k}-${text(value)})`).join('+');
          return `{const d=${terms};if(d<best){best=d;c=${c}}}`;
        })
        .join('');
      const clamped = grids
        .map(
          (grid, k) => `y${k}=y${k}<${text(grid.lo)}?${text(grid.lo)}:y${k}>${text(grid.hi)}?${text(grid.hi)}:y${k};`,
        )
        .join('');
      const sums = grids.map((grid, k) => `cells[p+${k}]+=${gridText(grid, `y${k}`)};`).join('');
      return `if(${all}){${clamped}let best=Infinity,c=0;${distances}const p=at+c*${count + 1};${sums}cells[p+${count}]++}`;
    }
  }
}

function groupTable(groupBy: GroupTerms, columns: readonly ColumnSpec[]): string {
  const kind = wireKind(groupColumn(groupBy, columns).column);
  const known = groupBy.keys.flatMap((key, group) => (key === undefined ? [] : [[key, group] as const]));
  if (kind === 'float64' || kind === 'int32') {
    return `const table=new Map([${known.map(([key, group]) => `[${text(key)},${group}]`).join(',')}]);`;
  }
  const size = known.reduce((largest, [key]) => Math.max(largest, key + 1), 0);
  return `const table=new Int32Array(${size}).fill(-1);${known.map(([key, group]) => `table[${key}]=${group};`).join('')}`;
}

function groupIndex(groupBy: GroupTerms, columns: readonly ColumnSpec[]): string {
  const { column, index } = groupColumn(groupBy, columns);
  const kind = wireKind(column);
  const cell = `a${index}[i]`;
  if (kind === 'float64' || kind === 'int32') return `(table.get(${cell})??-1)`;
  return `(${cell}>=0&&${cell}<table.length?table[${cell}]:-1)`;
}

function groupColumn(groupBy: GroupTerms, columns: readonly ColumnSpec[]): { column: ColumnSpec; index: number } {
  const index = columns.findIndex((column) => column.name === groupBy.column);
  const column = columns[index];
  if (column === undefined) throw new RangeError(`group column ${JSON.stringify(groupBy.column)} is not declared`);
  return { column, index };
}

/** The narrowest counter that holds the bound: there is one per unit. */
export function counterOf(rowsPerUnit: number): 'Uint8Array' | 'Uint16Array' | 'Uint32Array' {
  return rowsPerUnit < 2 ** 8 ? 'Uint8Array' : rowsPerUnit < 2 ** 16 ? 'Uint16Array' : 'Uint32Array';
}

function countUnit(groups: number, units: number): string {
  return `{const p=${groups === 1 ? 'w' : `g*${units}+w`},m=1<<(p&7);if((met[p>>>3]&m)===0){met[p>>>3]|=m;people[${groups === 1 ? '0' : 'g'}]++}}`;
}

function text(value: number): string {
  return value < 0 || Object.is(value, -0) ? `(${value})` : String(value);
}
