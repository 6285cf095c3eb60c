import { createPublicKey } from 'node:crypto';
import type { Command } from 'commander';
import { readText } from '../client/read-text.ts';
import type { Glovebox } from '../client/connect.ts';
import { GloveboxError } from '../client/error.ts';
import type { TrustedRuntime } from '../gen/messages.ts';
import { parseVerifierKey } from '../evidence/note.ts';
import { type KnownLog, type LogOwner, ownerInWords, recogniseReceipt } from '../evidence/known-logs.ts';
import { addEvidenceLog } from './evidence-log.ts';
import { verifierKeyIn } from './verifier-key.ts';
import { addWitness } from './witness.ts';
import { act, actAs, type CommonOptions, withCommon } from './command.ts';
import { tableText, UsageError } from './output.ts';
import { wholeNumber } from './whole-number.ts';
import { WholeFile, writeWhole } from './write-file.ts';

export function addEvidence(program: Command): void {
  const evidence = program.command('evidence').description('receipts and the log behind them');
  withCommon(
    evidence
      .command('verify <receipt>')
      .description('verify a receipt offline: only the file and the public key of the log are needed'),
    'glovebox evidence verify job.receipt --key log.pub',
  )
    .option('--key <file>', 'file with the verifier key of the log (from `evidence key`); default: ask the runtime')
    .option('--witness <file...>', 'verifier keys of witnesses whose cosignatures are looked for')
    .option('--quorum <count>', 'how many of them must have cosigned; default: all')
    .action((file: string, options: CommonOptions & { key?: string; witness?: readonly string[]; quorum?: string }) => {
      const trust = (): Trust => trustOf(options);
      return options.key === undefined
        ? actAs(options, async (glovebox, out) => verify(out, file, await knownLogs(glovebox), trust()))
        : act(options, async (out) =>
            verify(out, file, [logOf(readText(options.key ?? '').trim(), { kind: 'given' })], trust()),
          );
    });
  addWitness(evidence);
  withCommon(
    evidence.command('key').description('the public key that verifies receipts and checkpoints of this runtime'),
    'glovebox evidence key --out log.pub',
  )
    .option('--out <file>', 'write it to a file')
    .option('--pem <file>', 'write it as PEM, for tools that verify statements')
    .action((options: CommonOptions & { out?: string; pem?: string }) =>
      actAs(options, async (glovebox, out) => {
        const { verifierKey } = await glovebox.evidence.getCheckpoint({});
        if (options.out !== undefined) writeWhole(options.out, `${verifierKey}\n`);
        if (options.pem !== undefined) writeWhole(options.pem, pemOf(verifierKey));
        out.answer({ verifierKey }, () => verifierKey);
      }),
    );
  withCommon(
    evidence
      .command('statement [job]')
      .description(
        'what was decided about a job as an in-toto statement in a DSSE envelope, for tools that know no logs',
      ),
    'glovebox evidence statement job-… --out release.dsse.json',
  )
    .requiredOption('--out <file>', 'where to write it')
    .option('--entry <index>', 'an entry of the log instead of a job (operators and auditors)')
    .option('--bundle', 'in a Sigstore bundle')
    .action((job: string | undefined, options: CommonOptions & { out: string; entry?: string; bundle?: boolean }) =>
      actAs(options, async (glovebox, out) => {
        const { entry } = options;
        if ((job === undefined) === (entry === undefined)) throw new UsageError('name a job, or --entry INDEX');
        if (entry !== undefined && !/^\d{1,15}$/.test(entry)) throw new UsageError('--entry is a place in the log');
        const { receipt } = await glovebox.evidence.getReceipt({
          of:
            job === undefined
              ? {
                  kind: 'logIndex',
                  logIndex: BigInt(wholeNumber('--entry', entry ?? '0', { to: Number.MAX_SAFE_INTEGER })),
                }
              : { kind: 'jobId', jobId: job },
          form: options.bundle === true ? 'sigstore' : 'dsse',
        });
        writeWhole(options.out, receipt?.document ?? '');
        out.answer(
          { file: options.out, logIndex: receipt?.logIndex },
          () => `entry ${receipt?.logIndex ?? ''} written to ${options.out}; its key: glovebox evidence key --pem FILE`,
        );
      }),
    );
  withCommon(
    evidence.command('show').description('entries of the log: digests and pseudonyms, no data'),
    'glovebox evidence show --limit 20',
  )
    .option('--start <index>', 'first entry', '0')
    .option('--limit <count>', 'how many', '100')
    .action((options: CommonOptions & { start: string; limit: string }) =>
      actAs(options, async (glovebox, out) => {
        const answer = await glovebox.evidence.listEntries({
          start: BigInt(wholeNumber('--start', options.start, { to: Number.MAX_SAFE_INTEGER })),
          limit: wholeNumber('--limit', options.limit, { from: 1 }),
        });
        out.answer(answer, () =>
          tableText(
            ['entry', 'kind', 'when', 'job'],
            answer.entries.map((one) => [one.index, one.kind, new Date(one.recordedAtMs).toISOString(), one.jobId]),
          ),
        );
      }),
    );
  withCommon(
    evidence.command('checkpoint').description('the latest signed checkpoint'),
    'glovebox evidence checkpoint',
  ).action((options: CommonOptions) =>
    actAs(options, async (glovebox, out) => {
      const answer = await glovebox.evidence.getCheckpoint({});
      out.answer(answer, () => answer.checkpoint);
    }),
  );
  withCommon(
    evidence.command('export <file>').description('the whole log with its checkpoint and key, for a supervisor'),
    'glovebox evidence export evidence.bundle',
  ).action((file: string, options: CommonOptions) =>
    actAs(options, async (glovebox, out) => {
      using target = new WholeFile(file, 0o600);
      let bytes = 0;
      for await (const { chunk } of glovebox.evidence.export({})) {
        bytes += chunk.byteLength;
        target.write(chunk);
      }
      target.end();
      out.answer({ file, bytes }, () => `${bytes} bytes written to ${file}`);
    }),
  );
  addEvidenceLog(program, evidence);
}

/** An Ed25519 key as SubjectPublicKeyInfo in PEM. */
function pemOf(verifierKey: string): string {
  const key = parseVerifierKey(verifierKey);
  if (key === undefined) throw new UsageError('the runtime told no verifier key');
  const x = Buffer.from(key.publicKey).toString('base64url');
  const publicKey = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
  return publicKey.export({ type: 'spki', format: 'pem' }).toString();
}

type Trust = NonNullable<Parameters<typeof recogniseReceipt>[2]>;

function trustOf(options: { readonly witness?: readonly string[]; readonly quorum?: string }): Trust {
  const witnesses = (options.witness ?? []).map(verifierKeyIn);
  const quorum = options.quorum === undefined ? witnesses.length : wholeNumber('--quorum', options.quorum);
  if (!Number.isSafeInteger(quorum) || quorum < 0 || quorum > witnesses.length)
    throw new UsageError(`the quorum is a number from 0 to the ${witnesses.length} witnesses given`);
  return { witnesses, quorum };
}

/** The runtime's own log, and for whom may read the trust list those of the runtimes that are or were on it. */
async function knownLogs(glovebox: Glovebox): Promise<readonly KnownLog[]> {
  const { verifierKey } = await glovebox.evidence.getCheckpoint({});
  const { runtimes } = await glovebox.parties.listTrust({}).catch((error: unknown) => {
    if (error instanceof GloveboxError && error.code === 'role-missing') return { runtimes: [] };
    throw error;
  });
  return [logOf(verifierKey, { kind: 'own' }), ...runtimes.map((one) => logOf(one.verifierKey, trustOwner(one)))];
}

function trustOwner({ authority, isTrusted, isRevoked, sinceMs, endsAtMs }: TrustedRuntime): LogOwner {
  if (isTrusted) return { kind: 'trusted', authority, endsAtMs };
  return isRevoked ? { kind: 'revoked', authority, atMs: sinceMs } : { kind: 'expired', authority, atMs: endsAtMs };
}

function logOf(text: string, owner: LogOwner): KnownLog {
  const key = parseVerifierKey(text);
  if (key === undefined) throw new UsageError('the verifier key is not one: it looks like NAME+HEX+BASE64');
  return { key, owner };
}

function verify(
  out: { answer<T>(value: T, forPeople: (value: T) => string): void },
  file: string,
  logs: readonly KnownLog[],
  trust: Trust,
): 0 | 1 {
  const verdict = recogniseReceipt(readText(file), logs, trust);
  if (verdict.kind === 'refused') {
    out.answer({ isValid: false, isGenuine: false, reason: verdict.reason }, () => `NOT valid: ${verdict.reason}`);
    return 1;
  }
  const { event, index, checkpoint, witnesses, owner } = verdict;
  const told = { isGenuine: true, log: owner, index, size: checkpoint.size, event, witnesses };
  const words = [
    `${event.kind} at ${new Date(event.atMs).toISOString()}`,
    ...witnesses.map(({ name, atSeconds }) => `cosigned by ${name} at ${new Date(atSeconds * 1000).toISOString()}`),
    ...Object.entries(event.facts).map(([name, fact]) => `  ${name}: ${String(fact)}`),
    ...event.subjects.map(({ name, sha256 }) => `  ${name} sha256:${sha256}`),
  ];
  if (verdict.kind === 'trustEnded') {
    out.answer({ isValid: false, reason: verdict.reason, ...told }, () =>
      [`NOT valid: ${verdict.reason}; it says`, ...words].join('\n'),
    );
    return 1;
  }
  out.answer({ isValid: true, ...told }, () =>
    [
      `valid: entry ${index} of a log of ${checkpoint.size} entries, signed by ${checkpoint.origin}`,
      ...(owner.kind === 'trusted' ? [ownerInWords(owner)] : []),
      ...words,
    ].join('\n'),
  );
  return 0;
}
