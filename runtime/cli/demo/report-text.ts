import type { IsolationReport } from '../../sandbox/probe.ts';
import { tableText } from '../output.ts';
import type { Answered, Attacked, DemoReport, ReceiptCheck, Step } from './report.ts';

const heading = (text: string): string => `\n== ${text}`;

export function headText(isolation: Pick<IsolationReport, 'level' | 'advice'>): string {
  return [
    'Published data of 929 patients with colon cancer, 312 with liver cirrhosis and 7,874 citizens lies at a provider.',
    'The consumer `acme` may ask for aggregates over at least 10 patients, and for nothing else.',
    `Computations run in jailed processes; isolation level of this machine: ${isolation.level}`,
    ...isolation.advice.map((text) => `  ${text}`),
  ].join('\n');
}

export function stepsText(steps: readonly Step[]): string {
  return [
    heading('Set up'),
    tableText(
      ['step', 'ms'],
      steps.map(({ name, ms }) => [name, Math.round(ms)]),
    ),
  ].join('\n');
}

export function questionText(answer: Answered): string {
  const { title, sql, columns, rows, ms, groupsWithheld, cellsWithheld, isExact } = answer;
  const groups = groupsWithheld === 1 ? '1 group' : `${groupsWithheld} groups`;
  const told = cellsWithheld === null ? 'how many cells is too little to say' : `${cellsWithheld} cells, says the job`;
  return [
    heading(title),
    indented(sql),
    '',
    rows.length === 0 ? '(no rows)' : tableText(columns, rows),
    ...(groupsWithheld === 0 ? [] : [`withheld: ${groups} of fewer than 10 patients (${told})`]),
    `${mark(isExact)} ${isExact ? 'exactly what the files say' : 'NOT what the files say'}; ${Math.round(ms)} ms from request to table`,
  ].join('\n');
}

export function attacksText(attacks: readonly Attacked[]): string {
  return [
    heading('Attempts at rows'),
    tableText(
      ['', 'attempt', 'query', 'ms'],
      attacks.map(({ isRefused, title, sql, ms }) => [mark(isRefused), title, sql, Math.round(ms)]),
    ),
    '',
    ...attacks.flatMap(({ isRefused, title, code, message, remedy }) => [
      `${title}: ${isRefused ? 'refused' : 'NOT REFUSED AS PROMISED'}`,
      `  ${message} [${code}]`,
      ...(remedy === null ? [] : [`  what would be allowed: ${remedy}`]),
    ]),
  ].join('\n');
}

export function receiptText({ job, says, tamperedRefused, isAsPromised }: ReceiptCheck): string {
  return [
    heading('The receipt of the first answer, verified offline with the public key of the log'),
    `${mark(isAsPromised)} ${job}: ${says}`,
    `${mark(tamperedRefused !== null)} a copy that claims one more row: ${tamperedRefused ?? 'TAKEN, and must not be'}`,
  ].join('\n');
}

export function verdictText({ isAsPromised, answers, attacks, steps }: DemoReport): string {
  const seconds = steps.reduce((sum, { ms }) => sum + ms, 0) / 1000;
  const end = isAsPromised
    ? `everything came out as promised: ${answers.length} questions answered exactly, ${attacks.length} attacks refused, one receipt verified`
    : 'NOT everything came out as promised: see the lines marked ✗';
  return `\n${end}; ${seconds.toFixed(1)} s in all, nothing left behind`;
}

const mark = (isGood: boolean): string => (isGood ? '✓' : '✗');
const indented = (text: string): string => text.replaceAll(/^/gm, '  ');
