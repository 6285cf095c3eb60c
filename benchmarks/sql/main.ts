/** `node benchmarks/sql/main.ts [--rows N] [--repeats N] [--threads N] [--only TEXT] [--cache DIR]`: one JSON line per query. */
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { measureSql } from './measure.ts';

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '10000000' },
    repeats: { type: 'string', default: '7' },
    threads: { type: 'string', default: '2' },
    only: { type: 'string', default: '' },
    cache: { type: 'string', default: join(tmpdir(), 'glovebox-bench') },
  },
});
const figures = await measureSql({
  rows: Number(values.rows),
  repeats: Number(values.repeats),
  threads: Number(values.threads),
  only: values.only,
  folder: values.cache,
});
for (const figure of figures) console.log(JSON.stringify(figure));
