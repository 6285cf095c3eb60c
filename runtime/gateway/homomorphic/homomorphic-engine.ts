import type { DecryptResponse } from '../../gen/messages.ts';
import type { ColumnTotals } from '../../homomorphic/column.ts';
import { PRODUCTS } from '../../homomorphic/contribution.ts';
import { explainProgram } from '../../homomorphic/explain.ts';
import { HomomorphicFault } from '../../homomorphic/fault.ts';
import { planProgram, type Plan } from '../../homomorphic/plan.ts';
import { parseProgram } from '../../homomorphic/program.ts';
import { readResult } from '../../homomorphic/result-file.ts';
import { runHomomorphicJob } from '../../homomorphic/run-job.ts';
import { signTranscript, transcriptOf } from '../../homomorphic/transcript.ts';
import type { AdmittedPermit } from '../../job/admission.ts';
import type {
  HomomorphicEngine,
  HomomorphicRequest,
  OpenProgram,
  ProgramResult,
  Scalar,
} from '../../job/prepare-homomorphic.ts';
import { type Denied, denied, reason } from '../../policy/reason.ts';
import { grantsFor } from '../../policy/rights.ts';
import type { StoredRecord } from '../../store/records.ts';
import type { ColumnFacts } from './ciphertext-intake.ts';
import { problemOfBounds } from './encrypted-bounds.ts';
import { decryptorId } from './encrypted-dataset.ts';
import { openEncryptedQuery } from './encrypted-query.ts';
import type { HomomorphicEngineNeeds } from './engine-needs.ts';
import { type CiphertextBody, type DatasetBody, type DecryptorBody, type EncryptedBody, objectId } from '../records.ts';

/** Most scalars that one program declares: a count, a sum and a mean for each of 256 groups. */
const MAX_SCALARS = 1024;

/** The homomorphic path over real workers and real decryptors. */
export function homomorphicEngine(needs: HomomorphicEngineNeeds): HomomorphicEngine {
  return {
    image: needs.image,
    open: async (request, permit, asker) => {
      const dataset = needs.store.peek<DatasetBody>('dataset', permit.agreement.dataset);
      if (dataset === undefined) throw new Error(`dataset ${permit.agreement.dataset} is not registered`);
      try {
        const program = parseProgram({
          name: request.name,
          columns: request.columns,
          weights: request.weights,
          parameters: request.parameters,
        });
        if (dataset.body.encrypted === undefined) {
          if (program.shape === 'encryptedQuery')
            return await openEncryptedQuery(needs, { request, permit, asker, program });
          return denied(
            reason(
              'mode-not-available',
              `\`${program.name}\` cannot run: the columns of \`${dataset.id}\` are not encrypted`,
            ),
          );
        }
        if (program.shape === 'encryptedQuery') {
          return denied(
            reason('bad-program', `\`${program.name}\` runs over plaintext columns, and these are encrypted`),
          );
        }
        return await openEncryptedData(needs, {
          request,
          permit,
          asker,
          dataset,
          encrypted: dataset.body.encrypted,
          program,
        });
      } catch (error) {
        if (!(error instanceof HomomorphicFault) || error.blame !== 'caller') throw error;
        return denied(
          reason(error.code, error.message, {
            remedy: 'see docs/homomorphic.md for what each program takes',
          }),
        );
      }
    },
  };
}

interface DataInput {
  readonly request: HomomorphicRequest;
  readonly permit: AdmittedPermit;
  readonly asker: { readonly party: string; readonly groups: readonly string[] };
  readonly dataset: StoredRecord<DatasetBody>;
  readonly encrypted: EncryptedBody;
  readonly program: ReturnType<typeof parseProgram>;
}

async function openEncryptedData(needs: HomomorphicEngineNeeds, input: DataInput): Promise<OpenProgram | Denied> {
  const { dataset, encrypted, program, permit, asker } = input;
  const units = permit.permit.policy.tables.flatMap(({ privacyUnits }) => privacyUnits.map(({ columns }) => columns));
  if (units.length !== 1 || units[0]?.join() !== encrypted.unitColumn) {
    return denied(
      reason('unit-not-counted', `the policy protects other units than the uploaded hashes stand for`, {
        remedy: `the privacy unit of this dataset is \`${encrypted.unitColumn}\``,
      }),
    );
  }
  const mayGroup = permit.permit.policy.tables
    .flatMap((table) => table.columns)
    .filter(({ name }) => name === encrypted.groupColumn)
    .flatMap((column) => grantsFor(column, asker.party, asker.groups))
    .some(({ rights }) => rights.includes('group'));
  if (program.name === 'groupSums' && !mayGroup) {
    return denied(
      reason('column-right-missing', `the groups of \`${dataset.id}\` may not be told apart`, {
        clause: `columns.${encrypted.groupColumn}`,
        remedy: `column \`${encrypted.groupColumn}\` needs the right \`group\``,
      }),
    );
  }
  const named = program.columns.map((name) => encrypted.columns.find(({ column }) => column === name));
  const singled = PRODUCTS.has(program.name) ? named.find((column) => column?.mayMultiply === false) : undefined;
  if (singled !== undefined) {
    return denied(
      reason('contribution-not-for', `the key holder does not let column \`${singled.column}\` into products`, {
        remedy:
          'another provider chose its values, and a factor can single out a row: `dataset accept --products` allows it',
      }),
    );
  }
  const records = program.columns.map((name, i) => {
    const { digest = '', owner = dataset.owner } = named[i] ?? {};
    const record = needs.store.peek<CiphertextBody>('ciphertext', objectId(owner, digest));
    if (record === undefined)
      throw new HomomorphicFault(
        'bad-program',
        `cannot run ${program.name}: there is no encrypted column ${name.slice(0, 80)}`,
      );
    return record;
  });
  const unfit = problemOfContributions(program.name, records);
  if (unfit !== null) return unfit;
  const columns = records.map(({ owner, body }) => ({ owner, ...(JSON.parse(body.facts) as ColumnFacts) }));
  const wide = problemOfBounds(
    program,
    columns.map(({ header }) => header),
    permit.permit,
    asker,
  );
  if (wide !== null) return wide;
  // each provider's units alone have to be enough: any other column can be subtracted by whoever knows it
  const unitsOf = Math.min(...records.map(({ body }) => body.contribution?.units ?? encrypted.units));
  const key = needs.store
    .peekAll<CiphertextBody>('ciphertext')
    .find(({ owner, body }) => owner === dataset.owner && body.kind === 'publicKey' && body.keyId === encrypted.keyId);
  if (key?.state !== 'stored') {
    return denied(
      reason('key-revoked', 'the key of this dataset is revoked', {
        remedy: 'the provider encrypts it again under a new key',
      }),
    );
  }
  const plan = planProgram(
    program,
    columns.map(({ header, stored }) => ({ header, totals: stored })),
  );
  const decryptor = needs.store.peek<DecryptorBody>('setting', decryptorId(dataset.id));
  if (decryptor === undefined || decryptor.state !== 'set') {
    return denied(
      reason('decryptor-missing', `nobody can decrypt results of \`${dataset.id}\` yet`, {
        remedy: `the provider starts \`glovebox decryptor\` and names it with \`glovebox dataset decryptor ${dataset.id} --at HOST:PORT\``,
      }),
    );
  }
  if (!(await needs.decryptors.isReachable(decryptor.body))) {
    return denied(
      reason('decryptor-not-reachable', `the decryptor of \`${dataset.id}\` does not answer; nothing was spent`, {
        remedy: 'ask the provider to start it, then submit the job again',
      }),
    );
  }
  const { lines, scheme, securityBits, resultBytes, operations } = explainProgram(plan);
  return {
    kind: 'open',
    dataset: { name: dataset.id, version: dataset.body.version, digest: dataset.body.digest.replace('sha256:', '') },
    shape: 'encryptedData',
    scheme,
    securityBits,
    unit: encrypted.unitColumn,
    units: unitsOf,
    rows: Math.max(...columns.map(({ stored }) => stored.rows)),
    canonical: JSON.stringify({ dataset: dataset.body.digest, program }),
    inWords: lines,
    guarantee: `computed on ciphertext (${scheme.toUpperCase()}, ${securityBits}-bit security): the runtime saw no value; the key holder decrypted only after it had run the same program itself; every released number rests on at least the rule’s minimum of privacy units (${encrypted.unitColumn}), by hashes that the runtime counted; no noise was added`,
    resultBytes,
    operations,
    extraction: null,
    run: (jobId, signal) =>
      runEncryptedData(
        needs,
        { ...input, plan, columns, units: unitsOf, decryptor: decryptor.body, key },
        jobId,
        signal,
      ),
  };
}

async function runEncryptedData(
  needs: HomomorphicEngineNeeds,
  input: DataInput & {
    readonly plan: Plan;
    readonly columns: readonly (ColumnFacts & { readonly owner: string })[];
    readonly units: number;
    readonly decryptor: DecryptorBody;
    readonly key: StoredRecord<CiphertextBody>;
  },
  jobId: string,
  signal: AbortSignal,
): Promise<ProgramResult> {
  const { plan, columns, dataset, permit, asker } = input;
  const started = performance.now();
  // the bundle goes to the worker as it was uploaded: the gateway parses no key
  const bundle = plan.logistic === null ? [] : [needs.files.read(dataset.owner, input.key.body.digest)];
  const worker = await needs.pool.lease({ kind: 'homomorphic', party: asker.party, signal });
  let output: Uint8Array;
  try {
    const files = columns.map(({ owner, upload }) => needs.files.read(owner, upload.digest));
    const outcome = await runHomomorphicJob(
      worker,
      {
        kind: 'encryptedData',
        program: plan.program,
        columns: plan.inputs.map(({ header, totals }) => ({ header, totals: totalsOf(totals) })),
        relinearisationKeys: plan.logistic === null ? [] : ['ckks-deep'],
      },
      [...bundle, ...files],
    );
    ({ output } = outcome);
    worker.release();
  } catch (error) {
    await worker.destroy();
    // Which worker died of what is for the operator; the asker's job fails like any other.
    if (signal.aborted) throw error;
    needs.log({ level: 'warn', event: 'homomorphic.failed', facts: { job: jobId }, cause: error });
    return { kind: 'failed' };
  }
  signal.throwIfAborted();
  const parts = readResult(plan, output);
  const transcript = signTranscript(
    transcriptOf(plan, parts, {
      jobId,
      agreementId: permit.agreement.id,
      consumer: asker.party,
      units: input.units,
      minUnits: leastUnits(permit),
      createdAtMs: needs.nowMs(),
      uploadDigests: columns.map(({ upload }) => upload.digest),
    }),
    needs.transcriptKey,
  );
  const cpuMs = Math.ceil(performance.now() - started);
  const answer = await needs.decryptors.decrypt(input.decryptor, { transcript, result: output }, signal);
  signal.throwIfAborted();
  const scalars = answer === null ? null : scalarsOf(answer);
  if (scalars === null) {
    needs.log({ level: 'warn', event: 'decryptor.refused', facts: { job: jobId, dataset: dataset.id } });
    return { kind: 'failed' };
  }
  return { kind: 'scalars', scalars, cpuMs };
}

/** What the rule asks for: every group and category has to rest on as many, which only the key holder can see. */
function leastUnits({ permit: { release } }: AdmittedPermit): number {
  if (release.mode !== 'homomorphic') throw new Error('a homomorphic job was admitted under another mode');
  return release.minUnits;
}

/** What the owners of contributed columns say; they can take them back at any time. */
function problemOfContributions(program: string, records: readonly StoredRecord<CiphertextBody>[]): Denied | null {
  for (const { state, body } of records) {
    if (state !== 'stored')
      return denied(
        reason(
          'contribution-withdrawn',
          `column \`${body.column}\` was taken back by the provider that contributed it`,
          {
            remedy: 'use other columns, or ask the provider',
          },
        ),
      );
    const { contribution } = body;
    if (contribution === undefined) continue;
    if (!contribution.programs.includes(program))
      return denied(
        reason(
          'contribution-not-for',
          `the owner of column \`${body.column}\` does not let it be used by \`${program}\``,
          {
            remedy: `it may be used by: ${contribution.programs.join(', ')}`,
          },
        ),
      );
    if (contribution.units < contribution.minUnits)
      return denied(
        reason('too-few-units', `column \`${body.column}\` has fewer privacy units than its owner asks for`),
      );
  }
  return null;
}

/** The decryptor is the provider's own, and still a process elsewhere: only well-formed scalars are taken. */
function scalarsOf(answer: DecryptResponse): readonly Scalar[] | null {
  if (!answer.isReleased || answer.scalars.length > MAX_SCALARS) return null;
  const scalars = answer.scalars.map(({ name, group, number, exact, errorBound }) => ({
    name,
    group: group === '' ? null : group,
    number,
    exact: exact === '' ? null : exact,
    errorBound,
  }));
  const isWhole = scalars.every(
    ({ name, group, exact, errorBound }) =>
      /^[a-zA-Z]{1,32}$/.test(name) &&
      (group === null || group.length <= 128) &&
      (exact === null || /^-?\d{1,80}(\.\d{1,40})?$/.test(exact)) &&
      errorBound >= 0,
  );
  return isWhole ? scalars : null;
}

const totalsOf = ({ rows, blocks, digest }: ColumnTotals): ColumnTotals => ({ rows, blocks, digest });
