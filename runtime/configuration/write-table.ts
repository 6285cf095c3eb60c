import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { environmentName, type Setting, SETTINGS } from './settings.ts';
import type { Address } from './values.ts';

/** Where the published table of settings lives, from the root of the project. */
export const TABLE_PATH = join('docs', 'configuration.md');

const INTRODUCTION = `# Configuration

<!-- Written by runtime/configuration/write-table.ts from the settings themselves; do not edit. -->

\`glovebox serve\` takes settings from three sources, each stronger than the one before it: a YAML file (\`--config FILE\`
or \`$GLOVEBOX_CONFIG\`), the environment, flags. \`glovebox config show\` prints every value with its origin;
\`glovebox config check FILE\` complains with \`file:line:column\`. A wrong value anywhere, or a name in the file that is no
setting, stops the start: nothing is guessed. A variable \`GLOVEBOX_…\` that is no setting is only warned about, because
Kubernetes makes such variables from the names of services.

A name with a dot is a group in the file:

\`\`\`yaml
listen: 0.0.0.0:7443
metrics: 127.0.0.1:9464
log:
  file: /var/log/glovebox/gateway.log
  level: info
jobs:
  runningPerParty: 2
\`\`\`

`;

/** docs/configuration.md as the code implies it. */
export function tableText(): string {
  const rows = Object.values(SETTINGS).map((one: Setting) => {
    const flag = one.flag === undefined ? '' : `\`${one.flag}\``;
    return `| \`${one.name}\` | ${one.about} | ${one.kind.allowed} | ${standardOf(one)} | \`${environmentName(one.name)}\` | ${flag} |`;
  });
  const head = '| setting | what it does | allowed | default | environment | flag |\n|---|---|---|---|---|---|';
  return `${INTRODUCTION}${head}\n${rows.join('\n')}\n`;
}

function standardOf({ standard, standardInWords }: Setting): string {
  if (standardInWords !== undefined) return standardInWords;
  if (standard === null || (Array.isArray(standard) && standard.length === 0)) return 'none';
  if (typeof standard === 'object') return `${(standard as Address).host}:${(standard as Address).port}`;
  return typeof standard === 'string' ? standard : JSON.stringify(standard);
}

/** Whether the committed table is the one that the code implies. */
export const isTableCurrent = (root: string): boolean => readFileSync(join(root, TABLE_PATH), 'utf8') === tableText();

if (import.meta.main) writeFileSync(join(import.meta.dirname, '..', '..', TABLE_PATH), tableText());
