import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { readText } from '../client/read-text.ts';
import { GloveboxError } from '../client/error.ts';
import { openCheckpoint } from '../evidence/checkpoint.ts';
import { complianceReport } from '../evidence/compliance-report.ts';
import type { EvidenceEvent } from '../evidence/entry.ts';
import { lineageOf, lineageSvg } from '../evidence/lineage.ts';
import { leafHash, MerkleTree } from '../evidence/merkle.ts';
import { formatVerifierKey, parseVerifierKey, type VerifierKey } from '../evidence/note.ts';
import { openLineageOf } from '../evidence/openlineage.ts';
import { exportLog, type ReadLogFile, verifyLog } from '../evidence/verify-log.ts';
import { act, type CommonOptions, defaultDataDirectory, withCommon } from './command.ts';
import { tableText, UsageError } from './output.ts';
import { writeWhole } from './write-file.ts';

/** Commands that need only a copy of the log, and no runtime: a supervisor runs them on a machine of its own. */
export function addEvidenceLog(program: Command, evidence: Command): void {
  withCommon(
    evidence
      .command('verify-log <log>')
      .description(
        'verify a whole log: its folder (tlog-tiles), a file from `evidence export`, or where it is served (http…)',
      ),
    'glovebox evidence verify-log data/evidence --key log.pub',
  )
    .option('--key <file>', 'file with the verifier key; default: the one in the log itself, which proves less')
    .action((log: string, options: CommonOptions & { key?: string }) =>
      act(options, async (out) => {
        const { entries, keyText, isOwnKey } = visited(await opened(log), options.key, () => undefined);
        out.answer({ isValid: true, entries, verifierKey: keyText, isOwnKey }, () =>
          [
            `valid: all ${entries} entries are those of the signed root`,
            ...(isOwnKey ? ['the key came with the log: compare it with one that you got elsewhere'] : []),
            keyText,
          ].join('\n'),
        );
        return 0;
      }),
    );
  const compliance = program.command('compliance').description('what the log says about how the runtime was used');
  withCommon(
    compliance.command('report <log>').description('decisions, releases and what must not happen, from a verified log'),
    'glovebox compliance report evidence.bundle --key log.pub',
  )
    .option('--key <file>', 'file with the verifier key; default: the one in the log itself')
    .action((log: string, options: CommonOptions & { key?: string }) =>
      act(options, (out) => {
        const { visit, report } = complianceReport();
        visited(readerOf(log), options.key, visit);
        const said = report();
        const isClean = said.releasedWhileStopped.length + said.releasedTwice.length === 0;
        const counted = (counts: Readonly<Record<string, number>>): (string | number)[][] => Object.entries(counts);
        out.answer(said, () =>
          [
            `${said.entries} verified entries, ${timeOf(said.firstMs)} to ${timeOf(said.lastMs)}`,
            tableText(['event', 'times'], counted(said.byKind)),
            tableText(['verdict', 'times'], counted(said.verdicts)),
            tableText(['reason of denials', 'times'], counted(said.reasons)),
            tableText(['released', 'sum'], counted(said.released)),
            isClean
              ? 'nothing was released while everything was stopped, and nothing twice'
              : `NOT CLEAN: ${said.releasedWhileStopped.length} releases while stopped, ${said.releasedTwice.length} jobs released twice`,
          ].join('\n'),
        );
        return Promise.resolve(isClean ? (0 as const) : (1 as const));
      }),
    );
  const lineage = program.command('lineage').description('where results come from, and where datasets went');
  withCommon(
    lineage
      .command('show <thing>')
      .description('a result/JOB, job/ID, dataset/NAME[@VERSION], policy/… or agreement/…, from a verified log'),
    'glovebox lineage show dataset/hospital/visits --svg lineage.svg',
  )
    .option('--log <log>', 'folder or exported file; default: the log in the data directory')
    .option('--key <file>', 'file with the verifier key; default: the one in the log itself')
    .option('--svg <file>', 'write a picture')
    .action((thing: string, options: CommonOptions & { log?: string; key?: string; svg?: string }) =>
      act(options, (out) => {
        const { visit, of } = lineageOf();
        visited(readerOf(options.log ?? join(options.data ?? defaultDataDirectory(), 'evidence')), options.key, visit);
        const found = of(thing);
        if (found === undefined) throw new UsageError(`the log names no \`${thing}\``);
        if (options.svg !== undefined) writeWhole(options.svg, lineageSvg(found));
        out.answer(found, () =>
          [
            tableText(
              ['input', 'output'],
              found.edges.map(({ from, to }) => [from, to]),
            ),
            tableText(
              ['thing', 'sha256'],
              found.nodes.map(({ name, sha256 }) => [name, sha256]),
            ),
          ].join('\n'),
        );
        return Promise.resolve(0 as const);
      }),
    );
  withCommon(
    lineage
      .command('export')
      .description('every job of a verified log as OpenLineage 2-0-2 run events, one JSON object a line'),
    'glovebox lineage export --out lineage.ndjson',
  )
    .option('--log <log>', 'folder or exported file; default: the log in the data directory')
    .option('--key <file>', 'file with the verifier key; default: the one in the log itself')
    .option('--out <file>', 'write to a file; default: standard output')
    .action((options: CommonOptions & { log?: string; key?: string; out?: string }) =>
      act(options, (out) => {
        const lines: string[] = [];
        const log = options.log ?? join(options.data ?? defaultDataDirectory(), 'evidence');
        const origin = keyOf(readerOf(log), options.key).name;
        const { visit } = openLineageOf(origin, (event) => lines.push(`${JSON.stringify(event)}\n`));
        visited(readerOf(log), options.key, visit);
        if (options.out === undefined) process.stdout.write(lines.join(''));
        else {
          writeWhole(options.out, lines.join(''));
          out.answer(
            { events: lines.length, file: options.out },
            () => `${lines.length} events written to ${options.out}`,
          );
        }
        return Promise.resolve(0 as const);
      }),
    );
}

const timeOf = (ms: number | null): string => (ms === null ? 'never' : new Date(ms).toISOString());

/** Verifies a log and shows its entries; throws when it is not valid. */
function visited(
  read: ReadLogFile,
  keyFile: string | undefined,
  visit: (event: EvidenceEvent, index: number) => void,
): { readonly entries: number; readonly keyText: string; readonly isOwnKey: boolean } {
  const key = keyOf(read, keyFile);
  const verdict = verifyLog(read, key, visit);
  if (verdict.kind === 'refused') throw notValid(`${verdict.path}: ${verdict.reason}`);
  return { entries: verdict.entries, keyText: formatVerifierKey(key), isOwnKey: keyFile === undefined };
}

/** The key that the log is judged by: the one that is given, or the one that came with it. */
function keyOf(read: ReadLogFile, keyFile: string | undefined): VerifierKey {
  const text = keyFile === undefined ? Buffer.from(read('vkey') ?? []).toString('utf8') : readText(keyFile);
  const key = parseVerifierKey(text.trim());
  if (key === undefined) throw new UsageError('the verifier key is missing or not one: it looks like NAME+HEX+BASE64');
  return key;
}

/** A log that does not hold what its root says is an answer of the check, not a mistake in typing. */
function notValid(message: string): GloveboxError {
  return new GloveboxError(`the log is NOT valid: ${message}`, { status: 9, code: 'log-not-valid' });
}

const opened = async (log: string): Promise<ReadLogFile> =>
  /^https?:\/\//.test(log) ? (await import('./fetch-log.ts')).fetchLog(log) : readerOf(log);

function readerOf(log: string): ReadLogFile {
  if (statSync(log, { throwIfNoEntry: false }) === undefined) throw new UsageError(`there is no log \`${log}\``);
  if (statSync(log).isDirectory()) {
    return (path) => {
      try {
        return readFileSync(join(log, path));
      } catch {
        return undefined;
      }
    };
  }
  const [head = '', ...lines] = readText(log).split('\n');
  const { checkpoint, verifierKey, start } = headOf(head);
  const entries = lines.filter((line) => line !== '').map((line) => Buffer.from(line, 'base64'));
  const key = parseVerifierKey(verifierKey);
  const opened = key === undefined ? undefined : openCheckpoint(checkpoint, key);
  if (opened === undefined || start !== 0 || opened.size !== entries.length)
    throw notValid('the file does not hold the whole log of its checkpoint');
  const tree = new MerkleTree();
  for (const entry of entries) tree.append(leafHash(entry));
  const files = exportLog(
    tree,
    (from, to) => entries.slice(from, to),
    { size: opened.size, note: checkpoint },
    verifierKey,
  );
  const byPath = new Map(files.map((file) => [file.path, file.bytes]));
  return (path) => byPath.get(path);
}

function headOf(line: string): { readonly checkpoint: string; readonly verifierKey: string; readonly start: number } {
  try {
    const { format, checkpoint, verifierKey, start } = JSON.parse(line) as Readonly<Record<string, unknown>>;
    if (format === 'glovebox-evidence/1' && typeof checkpoint === 'string' && typeof verifierKey === 'string')
      return { checkpoint, verifierKey, start: Number(start) };
  } catch {
    // Told below.
  }
  throw new UsageError('the file is not one of `evidence export`');
}
