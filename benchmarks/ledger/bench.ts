import { mkdirSync } from 'node:fs';
import { measurement, type Measurement } from '../measurement.ts';
import { measureEvidence, measureLedger } from './ledger.ts';

/** The durable ledger and the evidence log, on the disk of the cache folder. */
export async function benchLedger(options: {
  readonly cache: string;
  readonly isQuick: boolean;
  readonly progress: (text: string) => void;
}): Promise<{ readonly measurements: readonly Measurement[] }> {
  const { cache: root, isQuick, progress } = options;
  mkdirSync(root, { recursive: true, mode: 0o700 });
  progress('durable debits');
  const ledger = await measureLedger({ root, debits: isQuick ? 800 : 4000 });
  progress('evidence log');
  const evidence = await measureEvidence({ root, entries: isQuick ? 8000 : 40_000 });
  const rate = (group: string, name: string, value: number, floor?: { name: string; value: number }): Measurement =>
    measurement({
      section: 'ledger',
      group,
      name,
      unit: '/s',
      runs: [value],
      ...(floor === undefined ? {} : { floor: { name: floor.name, runs: [floor.value] } }),
      checked: 'each call answered that it is durable',
    });
  const sync = { name: '256-byte append and fdatasync', value: ledger.rawSyncsPerSecond };
  return {
    measurements: [
      rate('durable debits', 'one after the other', ledger.singleDebitsPerSecond, sync),
      rate('durable debits', '256 callers sharing commits', ledger.groupedDebitsPerSecond, sync),
      rate('durable debits', 'whole jobs (reserve and release), 256 callers', ledger.jobsPerSecond, sync),
      rate('evidence log', 'durable signed entries', evidence.durableAppendsPerSecond, sync),
      rate('evidence log', 'tree appends', evidence.treeAppendsPerSecond),
      rate('evidence log', 'inclusion proofs', evidence.inclusionProofsPerSecond),
    ],
  };
}
