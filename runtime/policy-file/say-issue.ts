import type { z } from 'zod';

/** What is wrong with a value, in words: the library's own for one that is not there are about its code. */
export function sayIssue(issue: z.core.$ZodIssue): string {
  const isMissing = issue.code === 'invalid_type' && issue.message.endsWith(', received undefined');
  if (isMissing) return `is missing: expected ${issue.expected}`;
  return (issue.message.split('\n')[0] ?? issue.message).replace(/ at line \d+, column \d+:?$/, '');
}
