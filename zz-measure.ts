import { DuckDBInstance } from '/work/wt/sandbox/node_modules/@duckdb/node-api/lib/index.js';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { startCodeRuntime, statisticsOf } from '/work/wt/sandbox/test/end-to-end/code-runtime.ts';
const file = '/tmp/sbx5m/big.parquet';
if (!existsSync(file)) { const i = await DuckDBInstance.create(':memory:'); const c = await i.connect();
 await c.run(`COPY (SELECT (i//2)::INTEGER AS id, ((i*7919)%101)::DOUBLE AS x, ((i*104729)%97)::DOUBLE AS y FROM range(5000000) r(i)) TO '${file}' (FORMAT parquet)`); c.closeSync(); }
const policy = `
apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: big, grade: internal }
tables:
  big:
    privacyUnit: [id]
    columns:
      id: { rights: [countDistinct] }
      x:  { rights: [filter, aggregate], bounds: [0, 100] }
      y:  { rights: [filter, aggregate], bounds: [0, 100] }
allow:
  - { id: code, mode: sandbox, release: { methods: [rowFunction, blocks, post], epsilonPerJob: 2, epsilonTotal: 100, outputs: 4, maxRowsPerUnit: 2 } }
`;
const code = await startCodeRuntime({ dataset: 'big', files: [{ path: file, table: 'big' }], policy });
const acme = await code.join('acme');
// memory of descendants by name
const peaks = new Map<string, number>();
const base = process.memoryUsage().rss;
const timer = setInterval(() => {
  for (const pid of readdirSync('/proc').filter((n) => /^\d+$/.test(n))) {
    try { const st = readFileSync(`/proc/${pid}/status`, 'utf8'); const cmd = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
      const ppid = Number(/PPid:\s+(\d+)/.exec(st)![1]);
      const rss = Number(/VmRSS:\s+(\d+)/.exec(st)?.[1] ?? 0) / 1024;
      const image = /app\/(\S+)\.ts/.exec(cmd)?.[1] ?? /\/(\S+worker\S*)/.exec(cmd)?.[1];
      if (Number(pid) === process.pid) peaks.set('gateway', Math.max(peaks.get('gateway') ?? 0, rss));
      else if (/worker/.test(cmd) && !/bwrap/.test(cmd.split(' ')[0]!)) peaks.set(cmd.split(' ').at(-2) ?? '', Math.max(peaks.get(cmd.split(' ').at(-2) ?? '') ?? 0, rss));
    } catch {}
  }
}, 50);
const run = async (name: string, program: any) => { peaks.clear(); const c0 = process.cpuUsage(); const t = performance.now(); const found = await statisticsOf(acme, program); const c = process.cpuUsage(c0);
  console.log(name, [...found].map(([k, v]) => `${k}=${v.value.toFixed(3)} [${v.low.toFixed(3)}, ${v.high.toFixed(3)}]`).join(' '), `${((performance.now() - t) / 1000).toFixed(1)} s wall, gateway cpu ${((c.user + c.system) / 1e6).toFixed(1)} s`, [...peaks].map(([k, v]) => `${k}: ${v.toFixed(0)} MiB`).join(', ')); };
console.log('base', (base / 2 ** 20).toFixed(0));
await run('rowFunction', { method: 'rowFunction', source: 'row => row.x * 3 + row.y', table: 'big', columns: ['x', 'y'], outputs: [{ name: 's', low: 0, high: 400 }], reducer: 'mean' });
await run('blocks', { method: 'blocks', source: '(input) => { const { x } = input.columns; let s = 0; for (let i = 0; i < x.length; i++) s += x[i]; return s / x.length; }', table: 'big', columns: ['x', 'y'], outputs: [{ name: 'm', low: 0, high: 100, defaultValue: 50, hasDefault: true }], blocks: 200, timeoutMs: 20, reducer: 'mean' });
clearInterval(timer);
await code.close();
