import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os';
import { createRequire } from 'node:module';
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
  const { resolve } = createRequire(import.meta.url);
  const found = ['@duckdb/node-api', '@grpc/grpc-js', 'apache-arrow', 'isolated-vm', 'node-seal'].map((name) => [
    name,
    versionOf(resolve, name),
  ]);
  return { glovebox, node: process.version, ...(Object.fromEntries(found) as Record<string, string>) };
}

function versionOf(resolve: (name: string) => string, name: string): string {
  try {
    const path = resolve(name);
    const folder = path.slice(0, path.lastIndexOf(`node_modules/${name}/`) + `node_modules/${name}/`.length);
    return (JSON.parse(readFileSync(`${folder}package.json`, 'utf8')) as { version: string }).version;
  } catch {
    return 'unknown';
  }
}
