import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { policyDocument } from './document.ts';

/** Where the published JSON Schema of the policy document lives, from the root of the project. */
export const SCHEMA_PATH = join('policies', 'usage-policy.schema.json');

/** The JSON Schema (draft 2020-12) that editors use; made from the same definition that the parser uses. */
export function policySchemaText(): string {
  const schema = z.toJSONSchema(policyDocument, { io: 'input', unrepresentable: 'any' });
  return `${JSON.stringify({ title: 'Glovebox usage policy (glovebox/v1)', ...schema }, null, 2)}\n`;
}

/** Whether the committed schema is the one that the code implies. */
export const isSchemaCurrent = (root: string): boolean =>
  readFileSync(join(root, SCHEMA_PATH), 'utf8') === policySchemaText();

if (import.meta.main) writeFileSync(join(import.meta.dirname, '..', '..', SCHEMA_PATH), policySchemaText());
