import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { MachineFacts } from './measurement.ts';

export function machineFacts(isolation: string, loadAtStart: readonly number[]): MachineFacts {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memoryMiB: Math.round(totalmem() / 2 ** 20),
    kernel: release(),
    isolation,
    loadAtStart,
    loadAtEnd: loadavg(),
  };
}

/** Versions of what does the work; read from the installed packages, not from what was asked for. */
export function versions(glovebox: string): Record<string, string> {
  const require = createRequire(import.meta.url);
  const found = ['@duckdb/node-api', '@grpc/grpc-js', 'apache-arrow', 'isolated-vm', 'node-seal'].map((name) => [
    name,
    versionOf(require, name),
  ]);
  return { glovebox, node: process.version, ...(Object.fromEntries(found) as Record<string, string>) };
}

/** Looks where Node.js would: some packages show `require` neither their manifest nor an entry. */
function versionOf({ resolve }: NodeJS.Require, name: string): string {
  for (const folder of resolve.paths(name) ?? []) {
    const path = join(folder, name, 'package.json');
    if (existsSync(path)) return (JSON.parse(readFileSync(path, 'utf8')) as { version: string }).version;
  }
  return 'unknown';
}
