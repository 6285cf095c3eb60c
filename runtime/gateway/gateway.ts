import { createHash, randomBytes } from 'node:crypto';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DatasetError } from '../dataset/dataset-error.ts';
import { DEFAULT_ENGINE_LIMITS } from '../dataset/engine.ts';
import { registerDataset, removeUnfinished } from '../dataset/ingest.ts';
import { buildLayout } from '../dataset/layout.ts';
import type { DatasetManifest } from '../dataset/metadata.ts';
import { jailedReader } from '../dataset/read-in-worker.ts';
import { verifyDataset } from '../dataset/verify.ts';
import type { Caller } from '../identity/party.ts';
import type { AgreementForJob } from '../job/admission.ts';
import type { JobNeeds, LedgerJob } from '../job/needs.ts';
import { ParsedQueries } from '../job/parsed-queries.ts';
import { prepareHomomorphic } from '../job/prepare-homomorphic.ts';
import { prepareJavaScript } from '../job/prepare-javascript.ts';
import { prepareSql } from '../job/prepare-sql.ts';
import { evaluateCondition } from '../policy-file/condition.ts';
import { purposeIncludes } from '../policy/purposes.ts';
import { SEVERITIES, type Severity } from '../risk/detect.ts';
import type { Application } from '../rpc/application.ts';
import { issueCredential, issueServerCertificate } from '../rpc/authority.ts';
import { listImages } from '../sandbox/image.ts';
import type { Store } from '../store/store.ts';
import { activeAgreements } from './jobs/active-agreements.ts';
import { agreementService } from './agreements/agreement-service.ts';
import { AlertBook } from './alerts/alerts.ts';
import { budgetService, budgetsOf } from './accounts/budget-service.ts';
import { catalogService } from './datasets/catalog-service.ts';
import { CiphertextFiles } from './homomorphic/ciphertext-files.ts';
import { debugCode, runOnSyntheticRows } from './code/code-debug.ts';
import { submittedProgram } from './code/code-registry.ts';
import { codeService } from './code/code-service.ts';
import { ConsumerTables } from './datasets/consumer-tables.ts';
import type { DataDirectory } from './data-directory.ts';
import { decryptorLinks } from './homomorphic/decryptor-link.ts';
import { deliverByHttp } from './alerts/deliver.ts';
import { DutyBook } from './policies/duties.ts';
import { verifyEncrypted } from './homomorphic/encrypted-dataset.ts';
import type { StoreLedger } from './jobs/ended-jobs.ts';
import { evidenceService } from './evidence/evidence-service.ts';
import { exportListOf } from './policies/export-lists.ts';
import type { Gateway, GatewayParts } from './gateway-parts.ts';
import { homomorphicEngine } from './homomorphic/homomorphic-engine.ts';
import { homomorphicService } from './homomorphic/homomorphic-service.ts';
import { checkImages } from './code/image-seals.ts';
import { imageService } from './code/image-service.ts';
import { javaScriptEngine } from './javascript/engine.ts';
import { jobLedger } from './jobs/job-ledger.ts';
import { jobService, type JobServiceNeeds } from './jobs/job-service.ts';
import { layoutNeeds } from './datasets/layout-needs.ts';
import { JobQueue } from './jobs/live-jobs.ts';
import { Manifests } from './datasets/manifests.ts';
import { meterService } from './accounts/meter-service.ts';
import { type GatewayNeeds, newId } from './needs.ts';
import { operatorService } from './operator-service.ts';
import { OutsideCheckpoints } from './evidence/outside-checkpoints.ts';
import { admitLocal, admitOperator } from './parties/own-parties.ts';
import { identify, partyService } from './parties/party-service.ts';
import { enforcePolicies } from './jobs/policy-monitor.ts';
import { counterPolicy, type PolicyNeeds, policyService } from './policies/policy-service.ts';
import { Pseudonyms } from './pseudonyms.ts';
import type { CiphertextBody, DatasetBody } from './records.ts';
import { openRelease, sweepTickets } from './results/release-tickets.ts';
import { releasedRows } from './results/released-rows.ts';
import { repeatsIn } from './jobs/repeats.ts';
import { Results } from './results/results.ts';
import { believeAgain, stopForOtherHistory } from './evidence/rolled-back.ts';
import { historiesIn } from './jobs/sketch-records.ts';
import { layoutSpecFor, sqlEngine } from './jobs/sql-engine.ts';
import { tableService } from './datasets/table-service.ts';
import { publicTranscriptKey, keyOfSeed } from './homomorphic/transcript-key.ts';
import { trustedAuthorities } from './parties/trust-list.ts';
import { WarmWorkers } from './jobs/warm-workers.ts';

/**
 * What a gateway that was killed had begun: uploads that nobody will finish, datasets and layouts half written. What it
 * did not make is not its to remove: an operator's own copies lie in `backups`, or the folder is a link to another disk.
 */
async function removeLeftBehind({ uploads, backups, data }: DataDirectory, store: Store): Promise<void> {
  for (const [folder, own] of [
    [uploads, /^(upload|table)-[0-9a-f]{20}$/],
    [backups, /^state\.db(-journal|-wal|-shm)?$/],
  ] as const)
    for (const name of await readdir(folder))
      if (own.test(name)) await rm(join(folder, name), { recursive: true, force: true });
  await removeUnfinished(data, (dataset) => store.peek<DatasetBody>('dataset', dataset)?.body.version ?? 0);
}

const strictestAlert = (asked: readonly Severity[]): Severity =>
  SEVERITIES.findLast((one) => asked.includes(one)) ?? 'low';

/** Joins store, pool and datasets to what the RPC layer calls; removes first what a killed gateway had begun. */
export async function assembleGateway(parts: GatewayParts): Promise<Gateway> {
  const { store, pool, directory, nowMs } = parts;
  const queue = new JobQueue(parts.jobLimits);
  await removeLeftBehind(directory, store);
  const results = await Results.open(
    directory.results,
    async (id) => (await store.job(id))?.state === 'released',
    (job) => parts.log({ level: 'error', event: 'result.changed', facts: { job } }),
  );
  const sha256 = (content: Uint8Array | string): string => createHash('sha256').update(content).digest('hex');
  const layout = layoutNeeds(pool, directory.data, parts.secrets.units);
  const outside = new OutsideCheckpoints({
    witnesses: [],
    timestampUrl: null,
    timestampEveryMs: 0,
    ...parts.outside,
    store,
    nowMs,
    folder: join(directory.path, 'evidence'),
    log: parts.log,
    onOtherHistory: async (witness, seen) => {
      const quorum = parts.outside?.witnessQuorum ?? 1;
      const answer = await stopForOtherHistory({ store, nowMs, sha256, log: parts.log, quorum }, witness, seen);
      if (answer === 'stopped') queue.stop(() => true);
    },
    onCosigned: (witness) => believeAgain({ store, nowMs }, witness),
  });
  // Before anything is served: a witness may know that this state is an older copy.
  if ((parts.outside?.witnesses.length ?? 0) > 0) await outside.work();
  const pseudonyms = new Pseudonyms(store, { shared: parts.secrets.pseudonyms, randomBytes });
  let onTrustChange = (): void => {};
  const needs: GatewayNeeds = {
    store,
    receiptOf: (position) =>
      store.receipt(position, position < (outside.witnessed?.size ?? 0) ? outside.witnessed : undefined),
    nowMs,
    randomBytes: (count) => randomBytes(count),
    sha256,
    pseudonymOf: (party) => pseudonyms.of(party),
    pseudonyms,
    isolation: pool.isolation.level,
    version: parts.version,
    log: parts.log,
    live: queue,
    authority: parts.authority.name,
    trustChanged: () => onTrustChange(),
    issueCredential: async ({ party, roles, days }) => {
      const issued = await issueCredential(parts.authority, {
        party,
        roles,
        days,
        server: parts.address(),
        nowMs: parts.wallMs(),
      });
      const { bundle, fingerprint, spiffeId, notAfterMs } = issued;
      return {
        bundle: `${JSON.stringify(bundle, null, 2)}\n`,
        fingerprint,
        spiffeId,
        expiresAtMs: notAfterMs,
        signingPublicKey: bundle.signingPublicKey,
      };
    },
  };
  const manifests = new Manifests(store, directory.data);
  const manifestOf = (dataset: string, version: number): Promise<DatasetManifest> => manifests.of(dataset, version);
  const tables = await ConsumerTables.open({
    ...needs,
    layout: { ...layout, root: directory.tables },
    reader: (party) => jailedReader(pool, party),
  });
  const engine = sqlEngine({
    pool,
    layout,
    tables,
    image: await pool.imageDigest('sql'),
    manifestOf: (dataset) => manifests.latest(dataset),
    isEncrypted: (dataset) => manifests.encrypted(dataset) !== null,
  });
  const files = await CiphertextFiles.open(directory.ciphertexts);
  const decryptors = decryptorLinks(parts.authority, nowMs);
  const transcriptKey = keyOfSeed(parts.secrets.transcripts);
  const homomorphic = homomorphicEngine({
    ...needs,
    pool,
    files,
    decryptors,
    transcriptKey,
    image: await pool.imageDigest('homomorphic'),
    sql: engine,
  });
  const code = javaScriptEngine(
    {
      pool,
      open: engine.open,
      entropy: parts.entropy ?? { bytes: (count) => randomBytes(count) },
      nowMs,
      resultOf: releasedRows(needs, results),
    },
    await pool.imageDigest('javascript'),
  );
  const duties = await DutyBook.open({
    ...needs,
    removeResult: (jobId) => results.remove(jobId),
    deliver: deliverByHttp,
    allowedWebhooks: parts.webhooks ?? [],
  });
  const agreementsOf = ({ party, agreements }: LedgerJob): readonly AgreementForJob[] =>
    activeAgreements({ ...needs, duties }, party).filter(({ id }) => agreements.includes(id));
  const alerts = await AlertBook.open({
    ...needs,
    violationOf: (job) => strictestAlert(agreementsOf(job).map(({ policy }) => policy.onViolation.alert)),
    newId: () => newId(needs, 'alert'),
    webhook: parts.alertWebhook ?? null,
    deliver: deliverByHttp,
  });
  const texts = new ParsedQueries((...args) => engine.parse(...args));
  const jobNeeds: Omit<JobNeeds, 'ledger'> & { readonly ledger: StoreLedger } = {
    nowMs,
    randomBytes: needs.randomBytes,
    pseudonymOf: needs.pseudonymOf,
    sha256,
    isolation: pool.isolation.level,
    knowledge: { purposeIncludes, evaluate: evaluateCondition },
    activeAgreements: (party) => activeAgreements({ ...needs, duties }, party),
    exportList: () => exportListOf(needs),
    preparers: {
      sql: prepareSql(engine, { sha256, randomBytes: needs.randomBytes, nowMs, histories: historiesIn(store) }, texts),
      javascript: prepareJavaScript(code, { sha256 }),
      homomorphic: prepareHomomorphic(homomorphic, { sha256 }),
    },
    ledger: jobLedger({ ...needs, duties, alerts, agreementsOf }),
    repeats: repeatsIn(store, results),
    openResult: (jobId, schema) => results.create(jobId, schema),
  };
  const debugNeeds = {
    pool,
    jobNeeds,
    manifestOf: (dataset: string) =>
      manifestOf(dataset, store.peek<DatasetBody>('dataset', dataset)?.body.version ?? 1),
  };
  const jobServiceNeeds: JobServiceNeeds = {
    ...needs,
    queue,
    results,
    jobNeeds,
    parseAhead: (...args) => texts.ahead(...args),
    manifestOf,
    programOf: (message) => submittedProgram(needs, message),
    debugCode: (asker, request, signal) => debugCode(debugNeeds, asker, request, signal),
    runOnSyntheticRows: (asker, computation, run) => runOnSyntheticRows(debugNeeds, asker, computation, run),
  };
  const images = await Promise.all((await listImages(parts.root)).map((name) => pool.image(name)));
  if ((await checkImages(parts.directory, images)) === 'signed')
    parts.log({ level: 'info', event: 'images.signed', facts: { images: images.length } });
  let insecureCaller: Caller | null = null;

  const warmWorkers = new WarmWorkers({ ...needs, pool, layout, manifestOf });
  warmWorkers.begin();

  const policyNeeds: PolicyNeeds = {
    ...needs,
    knowledge: jobNeeds.knowledge,
    allowedWebhooks: parts.webhooks ?? [],
    manifestOf,
    prepareLayout: async (manifest, policy) => {
      if (manifests.encrypted(manifest.dataset) !== null) return [];
      try {
        const { path } = await buildLayout(layout, manifest, layoutSpecFor(manifest, policy));
        warmWorkers.over(path);
        return [];
      } catch (error) {
        if (error instanceof DatasetError) return [error.message];
        throw error;
      }
    },
  };

  const application: Application = {
    identify: (credential) => identify(needs, credential),
    get insecureCaller() {
      return insecureCaller;
    },
    jobs: jobService(jobServiceNeeds),
    catalogue: catalogService({
      ...needs,
      uploads: directory.uploads,
      results,
      register: (dataset, sources, onProgress) =>
        registerDataset(
          { root: directory.data, reader: jailedReader(pool, 'provider'), limits: DEFAULT_ENGINE_LIMITS },
          dataset,
          sources,
          ({ table, rows, isTableDone }) =>
            onProgress({ step: isTableDone ? 'stored' : 'rows', done: rows, total: 0, subject: table }),
        ),
      manifestOf,
      verify: (dataset, version, digest) => {
        const record = store.peek<DatasetBody>('dataset', dataset);
        return record?.body.encrypted === undefined
          ? verifyDataset(directory.data, dataset, version, digest === '' ? null : digest)
          : verifyEncrypted(files, record, (id) => store.peek<CiphertextBody>('ciphertext', id)?.body);
      },
    }),
    policies: policyService(policyNeeds),
    agreements: agreementService({
      ...needs,
      duties,
      counterPolicy: (document, base, isProvider) => counterPolicy(policyNeeds, { document, base, isProvider }),
    }),
    parties: partyService(needs),
    evidence: evidenceService(needs),
    budgets: budgetService(needs),
    meters: meterService(needs),
    images: imageService(images),
    tables: tableService({ ...needs, uploads: directory.uploads, tables }),
    code: codeService({ ...needs, queue, duties }),
    homomorphic: homomorphicService({
      ...needs,
      pool,
      files,
      isReachable: (decryptor) => decryptors.isReachable(decryptor),
      transcriptKey: publicTranscriptKey(transcriptKey),
    }),
    operator: operatorService({
      ...needs,
      alerts,
      pool,
      queue,
      startedAtMs: nowMs(),
      drain: (deadlineMs) => queue.drain(deadlineMs),
      backups: directory.backups,
    }),
    openRelease: (caller, ticket) => openRelease(jobServiceNeeds, caller, ticket),
  };

  return {
    application,
    queue,
    authorityCertificate: parts.authority.certificate,
    authorities: () => [parts.authority.certificate, ...trustedAuthorities(needs)],
    whenTrustChanges: (listener) => {
      onTrustChange = listener;
    },
    serverCertificate: (hosts) => issueServerCertificate(parts.authority, { hosts, nowMs: parts.wallMs() }),
    bootstrap: () => admitOperator(needs, directory, parts.address()),
    allowInsecure: async () => {
      insecureCaller = await admitLocal(needs, directory);
    },
    enforce: async () => {
      const { stopped } = await enforcePolicies({ ...needs, queue, jobNeeds });
      await duties.work();
      await alerts.work();
      // Not waited for: an outsider that is slow must not hold up the next look.
      void outside.work();
      if (stopped > 0) parts.log({ level: 'warn', event: 'jobs.stopped', facts: { stopped } });
    },
    budgets: () => budgetsOf(needs, () => true),
    sweep: async () => {
      await results.sweep(nowMs());
      await tables.sweep();
      await sweepTickets(store, nowMs());
    },
  };
}
