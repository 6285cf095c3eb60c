import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { destination, pino } from 'pino';
import { connect, type Glovebox } from '../../client/connect.ts';
import { registerFiles } from '../../client/upload.ts';
import { ROOT } from '../../container.ts';
import { CLINICAL_TABLES, readClinicalFiles } from './clinical-files.ts';
import { ATTACKS, QUESTIONS, SMALL_GROUP } from './questions.ts';
import {
  answerTo,
  type Answered,
  attackOn,
  type Attacked,
  checkReceipt,
  type DemoReport,
  type Step,
} from './report.ts';
import { attacksText, headText, questionText, receiptText, stepsText, verdictText } from './report-text.ts';
import type { ExitCode, Output } from '../output.ts';
import { startServer } from '../start-server.ts';

const DATASET = 'clinical';
const HOST = '127.0.0.1';
/** Enough for a slow disk; the files are small. */
const REGISTER_TIMEOUT_MS = 300_000;

/** The demo from start to end, with its folder gone afterwards. */
export async function runDemo(out: Output): Promise<ExitCode> {
  const folder = mkdtempSync(join(tmpdir(), 'glovebox-demo-'));
  const clean = (): void => rmSync(folder, { recursive: true, force: true });
  const interrupted = (): never => {
    clean();
    process.exit(3);
  };
  process.once('SIGINT', interrupted);
  process.once('SIGTERM', interrupted);
  try {
    await using closing = new AsyncDisposableStack();
    const report = await story(folder, closing, (text) => {
      if (!out.isJson) process.stdout.write(`${text}\n`);
    });
    out.answer(report, verdictText);
    return report.isAsPromised ? 0 : 3;
  } finally {
    clean();
    process.off('SIGINT', interrupted);
    process.off('SIGTERM', interrupted);
  }
}

/** What happens, in its order; `tell` gets each part as soon as it is known. */
async function story(folder: string, closing: AsyncDisposableStack, tell: (text: string) => void): Promise<DemoReport> {
  const steps: Step[] = [];
  const step = async <T>(name: string, work: () => Promise<T>): Promise<T> => {
    const started = performance.now();
    const result = await work();
    steps.push({ name, ms: performance.now() - started });
    return result;
  };

  const logFile = join(folder, 'log.jsonl');
  const { credential, runtime } = await step('start a runtime', () =>
    startServer(
      {
        dataDirectory: join(folder, 'data'),
        host: HOST,
        port: 0,
        log: pino({ level: 'warn' }, destination({ dest: logFile, sync: true })),
      },
      closing,
    ),
  );
  tell(headText(runtime.pool.isolation));
  const provider = closing.adopt(connect({ credential }), (open) => open.close());
  const consumer = await step('admit the consumer `acme`', () => admitted(provider, folder, closing));
  await step('register four tables of patient data', () => register(provider));
  await step('attach the policy', () => attachPolicy(provider));
  await step('sign an agreement, both sides', () => agree(provider, consumer));
  tell(stepsText(steps));

  const files = readClinicalFiles(join(ROOT, 'examples', 'data', 'clinical'));
  const answers: Answered[] = [];
  for (const question of [...QUESTIONS, SMALL_GROUP]) {
    const answer = await step(`ask: ${question.title}`, () => answerTo(consumer, question, files));
    answers.push(answer);
    tell(questionText(answer));
  }
  const attacks: Attacked[] = [];
  for (const attack of ATTACKS) attacks.push(await step(`attack: ${attack.title}`, () => attackOn(consumer, attack)));
  tell(attacksText(attacks));

  const receipt = await step('verify a receipt offline', async () => {
    const { verifierKey } = await consumer.evidence.getCheckpoint({});
    return checkReceipt(answers[0]?.job ?? null, verifierKey);
  });
  tell(receiptText(receipt));
  const isAsPromised =
    answers.every(({ isExact }) => isExact) && attacks.every(({ isRefused }) => isRefused) && receipt.isAsPromised;
  return { isAsPromised, isolation: runtime.pool.isolation.level, answers, attacks, receipt, steps };
}

async function admitted(provider: Glovebox, folder: string, closing: AsyncDisposableStack): Promise<Glovebox> {
  const { credential } = await provider.parties.add({ name: 'acme', roles: ['consumer'], days: 1 });
  const file = join(folder, 'acme.credential.json');
  writeFileSync(file, credential, { mode: 0o600 });
  return closing.adopt(connect({ credential: file }), (open) => open.close());
}

async function register(provider: Glovebox): Promise<void> {
  const files = CLINICAL_TABLES.map((table) => ({
    path: join(ROOT, 'examples', 'data', 'clinical', `${table}.csv`),
    table,
  }));
  const header = { name: DATASET, description: 'published clinical trials' };
  for await (const { reasons } of registerFiles(provider.catalogue, header, files, { timeoutMs: REGISTER_TIMEOUT_MS }))
    if (reasons[0] !== undefined) throw new Error(`the demo data was not taken: ${reasons[0].message}`);
}

async function attachPolicy(provider: Glovebox): Promise<void> {
  const fileName = join(ROOT, 'policies', 'clinical.yaml');
  const { policy, complaints, reasons } = await provider.policies.attach({
    document: readFileSync(fileName, 'utf8'),
    fileName,
    dataset: DATASET,
  });
  if (policy === null)
    throw new Error(`the demo policy was not taken: ${complaints[0]?.message ?? reasons[0]?.message ?? 'no reason'}`);
}

async function agree(provider: Glovebox, consumer: Glovebox): Promise<void> {
  const { agreement, reasons } = await provider.agreements.offer({ dataset: DATASET, consumer: 'acme' });
  if (agreement === null) throw new Error(`the agreement was not offered: ${reasons[0]?.message ?? 'no reason'}`);
  await consumer.agreements.accept({ id: agreement.id });
}
