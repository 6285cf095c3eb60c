import { dirname, join } from 'node:path';
import { readText } from '../client/read-text.ts';
import type { JavaScriptProgram } from '../gen/messages.ts';
import { UsageError } from './output.ts';

/** Options that name sandboxed code: its source, and the file that describes it. */
export interface ProgramOptions {
  readonly program?: string;
  readonly spec?: string;
}

/**
 * The program of `--program FILE.ts --spec SPEC.yaml`. One of them may be left out: a description can name its source, and a
 * YAML or JSON file given as the program is the description.
 */
export async function programOf({ program, spec }: ProgramOptions): Promise<JavaScriptProgram> {
  const isDescription = program !== undefined && spec === undefined && /\.(ya?ml|json)$/.test(program);
  const description = isDescription ? program : spec;
  if (description === undefined)
    throw new UsageError('describe the program in a file: --spec SPEC.yaml (what it reads, what it returns)');
  const { readProgram } = await import('../program-file/read-program.ts');
  const read = readProgram(textOf(description), description);
  if (read.kind === 'complaints') throw new UsageError(read.complaints.join('\n'));
  const own = read.sourceFile === null ? undefined : join(dirname(description), read.sourceFile);
  const source = isDescription ? own : (program ?? own);
  if (source === undefined) {
    if (read.program.codeDigest !== '') return read.program;
    throw new UsageError(`${description} names no source: give --program FILE.ts, or \`source:\` in the file`);
  }
  return { ...read.program, source: textOf(source), isTypeScript: /\.[mc]?ts$/.test(source) };
}

function textOf(file: string): string {
  try {
    return readText(file);
  } catch (cause) {
    throw new UsageError(`cannot read \`${file}\``, { cause });
  }
}
