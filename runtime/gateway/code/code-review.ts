import { type Reason, reason } from '../../policy/reason.ts';
import type { ApprovedComputation } from '../../sandbox/javascript/computation.ts';
import { computationOfMessage } from '../../sandbox/javascript/from-message.ts';
import type { StoredRecord } from '../../store/records.ts';
import { type CodeBody, programOfText } from './code-registry.ts';

/** Everything that the digest covers, as text: a reviewer sees also that a column was added. */
export function reviewText(record: StoredRecord<CodeBody>): string {
  const { source, table, columns, libraries, result, outputs, groupColumn, groupKeys, maxRowsPerGroup } = programOfText(
    record.body.program,
  );
  const shape = { table, columns, libraries, result, outputs, groupColumn, groupKeys, maxRowsPerGroup };
  return `${JSON.stringify(shape, null, 1)}\n${source}`;
}

/** What a reviewer should look at twice. */
export function findingsOf(record: StoredRecord<CodeBody>): readonly Reason[] {
  const parsed = computationOfMessage(programOfText(record.body.program));
  if (parsed.kind === 'refused') return parsed.reasons.map((text) => reason('program-not-valid', text));
  const computation = parsed.computation as ApprovedComputation;
  const texts = computation.result.filter(({ kind }) => kind === 'text').map(({ name }) => name);
  return [
    reason('reads', `reads ${computation.columns.join(', ')} of ${computation.table}`),
    ...(texts.length === 0
      ? []
      : [reason('returns-text', `returns texts, which can hold values of rows: ${texts.join(', ')}`)]),
    ...(computation.maxRowsPerGroup > 1
      ? [reason('many-rows', `returns up to ${computation.maxRowsPerGroup} rows per group, which can be single rows`)]
      : []),
    ...(/eval|Function\s*\(|\[\s*['"`]constructor/.test(computation.source)
      ? [reason('makes-code', 'seems to make code at run time')]
      : []),
  ];
}
