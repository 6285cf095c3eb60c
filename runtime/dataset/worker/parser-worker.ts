/** Entry of the parser worker: a jailed process without any data, in which consumers' texts meet the engine's parser. */
import { frameType, parseJsonPayload, type Frame } from '../../sandbox/channel.ts';
import { WorkerChannel } from '../../sandbox/worker-channel.ts';
import { PARSER_LIMITS } from '../limits.ts';
import type { ParseFailCode, ParseJob, ParseResult, PlannedStatement } from '../parse-job.ts';
import { ParseRefusal, StatementParser } from './parse-statements.ts';

const channel = new WorkerChannel();
const parser = new StatementParser();

const fail = (code: ParseFailCode): Promise<void> => channel.sendJson(frameType.FAIL, { code });

async function serve(job: ParseJob): Promise<void> {
  let texts: readonly string[];
  try {
    texts = await parser.answer(job);
  } catch (error) {
    return fail(error instanceof ParseRefusal ? error.code : 'failed');
  }
  const bytes = texts.map((text) => Buffer.from(text));
  await channel.sendData(Buffer.concat(bytes));
  await channel.sendJson(frameType.RESULT, { lengths: bytes.map(({ length }) => length) } satisfies ParseResult);
}

function jobOf(frame: Frame): ParseJob | null {
  const { op, sql, schema, statements } = parseJsonPayload(frame.payload);
  if (op === 'serialize') return typeof sql === 'string' ? { op, sql } : null;
  if (op !== 'plan' || !Array.isArray(schema) || !Array.isArray(statements)) return null;
  const isWhole =
    schema.length <= PARSER_LIMITS.maxSchemaStatements &&
    statements.length <= PARSER_LIMITS.maxPlanStatements &&
    schema.every((statement) => typeof statement === 'string') &&
    statements.every((s: Partial<PlannedStatement>) => typeof s?.sql === 'string' && typeof s.isRun === 'boolean');
  return isWhole ? { op, schema: schema as string[], statements: statements as PlannedStatement[] } : null;
}

// The library and the first instance are loaded before the worker calls itself ready.
await parser.answer({ op: 'serialize', sql: 'SELECT 1' });
await channel.ready({ kind: 'parser' });
let running: Promise<void> | null = null;
for await (const frame of channel.frames()) {
  if (frame.type === frameType.CANCEL) parser.interrupt();
  else if (frame.type === frameType.JOB) {
    const job: ParseJob | null = running === null ? jobOf(frame) : null;
    if (job === null) await fail('bad-job');
    else {
      running = serve(job).finally(() => {
        running = null;
      });
    }
  }
}
parser[Symbol.dispose]();
process.exit(0);
