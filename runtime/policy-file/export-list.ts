import * as z from 'zod';
import { type ExportList, isField } from '../policy/export-list.ts';
import { durationMs } from './normalise.ts';
import { readYaml } from './read-yaml.ts';
import { sayIssue } from './say-issue.ts';

const MAX_BYTES = 256 * 1024;
const MAX_COMPLAINTS = 50;

const document = z.strictObject({
  apiVersion: z.literal('glovebox/v1'),
  kind: z.literal('ExportList'),
  metadata: z.strictObject({
    name: z.string().regex(/^[A-Za-z0-9._/-]{1,100}$/),
    version: z.int().min(1).max(1_000_000_000),
  }),
  inside: z
    .array(z.string().regex(/^[A-Z]{2}$/, 'a country is two capital letters (ISO 3166-1), e.g. CN'))
    .min(1)
    .max(300),
  fields: z.array(z.string().refine(isField, 'a field is DATASET:TABLE.COLUMN; each part may be *')).max(10_000),
  perDestination: z
    .strictObject({
      max: z.int().min(0).max(1_000_000_000),
      per: z
        .string()
        .regex(/^P(\d{1,4}D|T\d{1,6}[HMS])$/, 'a period is e.g. P30D or PT12H')
        .optional(),
    })
    .optional(),
});

/** Reads an export list in YAML or JSON; whatever is not known is a complaint. */
export function parseExportList(
  text: string,
):
  | { readonly kind: 'list'; readonly list: ExportList }
  | { readonly kind: 'complaints'; readonly complaints: readonly string[] } {
  if (Buffer.byteLength(text) > MAX_BYTES)
    return { kind: 'complaints', complaints: [`larger than ${MAX_BYTES} bytes`] };
  const read = readYaml(text);
  if (read.kind === 'troubles')
    return {
      kind: 'complaints',
      complaints: read.troubles.map(({ line, column, message }) => `${line}:${column} ${message}`),
    };
  const parsed = document.safeParse(read.value);
  if (!parsed.success)
    return {
      kind: 'complaints',
      complaints: parsed.error.issues
        .slice(0, MAX_COMPLAINTS)
        .map((issue) => `${issue.path.join('.')}: ${sayIssue(issue)}`),
    };
  const { metadata, inside, fields, perDestination } = parsed.data;
  const limit =
    perDestination === undefined
      ? null
      : { max: perDestination.max, perMs: perDestination.per === undefined ? null : durationMs(perDestination.per) };
  return { kind: 'list', list: { ...metadata, inside, fields, perDestination: limit } };
}
