import type { CellForecast, ClauseOrigin, ExplainJobResponse } from '../gen/messages.ts';
import { reasonLines } from './output.ts';

/** What `job explain` tells people. */
export function explainText(answer: ExplainJobResponse): string {
  return answer.wouldRun ? wouldRun(answer) : wouldNot(answer);
}

function wouldRun(answer: ExplainJobResponse): string {
  const { origins, columns, enforced, enforcedSql, errors, budget, forecast, diagnostics } = answer;
  return [
    `would run under ${answer.rules.join(' and ')}`,
    ...origins.flatMap(({ dataset, version, ruleId, fileName, line, inWords }) => [
      `  ${dataset} v${version}, rule ${ruleId}${line === 0 ? '' : `, written at ${fileName}:${line}`}:`,
      `    ${inWords.replace(/^allowed \([^)]*\): /, '')}`,
    ]),
    `guarantee: ${answer.guarantee}`,
    ...(answer.priceMicros === null
      ? []
      : [`price: at most ${(Number(answer.priceMicros) / 1e6).toFixed(2)} ${answer.currency}`]),
    answer.suppression,
    ...(forecast === null ? [] : forecastLines(forecast)),
    ...errors.map(
      ({ column, halfWidth, confidence }) =>
        `expected error of ${column}: ±${Number(halfWidth.toPrecision(3))} (${confidence * 100} %)`,
    ),
    ...budget.map(budgetLine),
    `result: ${columns.map(({ name, type }) => `${name} ${type}`).join(', ')}`,
    ...(diagnostics.length === 0 ? [] : ['look at this before you run it:', reasonLines(diagnostics)]),
    ...(enforced.length === 0 ? [] : ['what runs, in words:', ...enforced.map((text) => `  ${text}`)]),
    ...(enforcedSql === '' ? [] : ['what runs, in SQL:', ...enforcedSql.split('\n').map((line) => `  ${line}`)]),
  ].join('\n');
}

function budgetLine(spend: ExplainJobResponse['budget'][number]): string {
  const { dataset, microEpsilon, microEpsilonLeft, microEpsilonBefore, usesLeft, usesBefore } = spend;
  const epsilon = (value: bigint): number => Number(value) / 1e6;
  const before = microEpsilonBefore === null ? '' : `; ${epsilon(microEpsilonBefore)} is left now`;
  const after = microEpsilonLeft === null ? '' : `; then ${epsilon(microEpsilonLeft)} is left`;
  const more = usesLeft === null ? '' : `, enough for ${usesLeft} more like it`;
  return microEpsilon > 0n
    ? `costs epsilon ${epsilon(microEpsilon)} of ${dataset}${before}${after}${more}`
    : `counts as a use of ${dataset}: ${usesBefore ?? 0n} left now, ${usesLeft ?? 0n} then`;
}

function forecastLines(forecast: CellForecast): readonly string[] {
  const { declaredGroups, minUnits, unitsNeeded, twinUnits, twinGroups, twinWithheld } = forecast;
  return [
    ...(declaredGroups === null || declaredGroups === 1n || unitsNeeded === null
      ? []
      : [
          `forecast: the declared values make up to ${declaredGroups} groups; all are told only if the rows asked for hold at least ${unitsNeeded} units, ${minUnits} in each`,
        ]),
    ...(twinUnits === 0n
      ? []
      : [
          `forecast: of ${twinGroups} groups of the synthetic twin (${twinUnits} units, your conditions left aside) ${twinWithheld} would be withheld; nothing of the data is in it`,
        ]),
  ];
}

function wouldNot({ reasons, clauseOrigins, repaired, repairs }: ExplainJobResponse): string {
  const origins = clauseOrigins.filter(({ line }) => line > 0).map(originLine);
  return [
    'would be refused:',
    reasonLines(reasons),
    ...new Set(origins),
    // Only what a query says has a place in it; of agreements and budgets no other query knows better.
    ...(repaired === ''
      ? reasons.some(({ at }) => at !== null)
        ? ['no query near it was found that would pass']
        : []
      : ['this would pass:', ...repairs.map((change) => `  # ${change}`), repaired]),
  ].join('\n');
}

const originLine = ({ fileName, line, column, path }: ClauseOrigin): string =>
  `    written at ${fileName}:${line}:${column}${path === '' ? '' : ` (${path})`}`;
