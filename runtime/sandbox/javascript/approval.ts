import { createHash } from 'node:crypto';
import type { ApprovedComputation } from './computation.ts';

/**
 * The digest that a quorum approves: of the source as reviewers read it (line ends and trailing blanks do not count), the
 * libraries it may use, what it reads and the shape of what it returns. Anything else is another program.
 */
export function approvalDigest(computation: ApprovedComputation): string {
  const { language, source, table, columns, libraries = [], result, maxRowsPerGroup, groupBy } = computation;
  const normalised = source
    .replaceAll('\r\n', '\n')
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n')
    .trim();
  const approved = [
    'glovebox/approved-javascript/1',
    language,
    normalised,
    table,
    columns,
    libraries.toSorted(),
    result.map(({ name, kind, maxBytes }) => [name, kind, maxBytes]),
    maxRowsPerGroup,
    groupBy === undefined ? null : [groupBy.column, groupBy.keys],
  ];
  return `sha256:${createHash('sha256').update(JSON.stringify(approved)).digest('hex')}`;
}
