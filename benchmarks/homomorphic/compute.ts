import type { Backend } from '../../runtime/homomorphic/backend.ts';
import type { ColumnBlock } from '../../runtime/homomorphic/column.ts';
import { readColumnFile } from '../../runtime/homomorphic/column-file.ts';
import type { Plan } from '../../runtime/homomorphic/plan.ts';
import { ProgramRun, type ResultPart } from '../../runtime/homomorphic/run.ts';

/** The blocks of a stored file in memory: wire bytes, not yet validated. */
export async function blocksIn(file: Uint8Array): Promise<readonly ColumnBlock[]> {
  const blocks: ColumnBlock[] = [];
  for await (const event of readColumnFile([file], { check: 'frame' }))
    if (event.kind === 'block') blocks.push(event.block);
  return blocks;
}

/** The compute stage alone: from wire bytes through frame and range checks to result ciphertexts. */
export function computeBlocks(
  plan: Plan,
  backend: Backend,
  columns: readonly (readonly ColumnBlock[])[],
): readonly ResultPart[] {
  using run = new ProgramRun(plan, backend);
  const longest = Math.max(...columns.map((blocks) => blocks.length));
  for (let index = 0; index < longest; index++) {
    for (const [column, blocks] of columns.entries()) {
      const block = blocks[index];
      if (block !== undefined) run.take(column, index, block);
    }
  }
  return run.finish();
}
