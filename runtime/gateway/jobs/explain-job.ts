import type { ExplainJobResponse, RuleOrigin } from '../../gen/messages.ts';
import { agreementsOf } from '../../job/admit.ts';
import type { AdmittedPermit, AgreementForJob } from '../../job/admission.ts';
import { priceBefore } from '../../job/charge.ts';
import type { Job } from '../../job/job.ts';
import type { JobNeeds } from '../../job/needs.ts';
import { rehearse } from '../../job/run-job.ts';
import { ruleInWords } from '../../policy/in-words.ts';
import type { Reason } from '../../policy/reason.ts';
import { knownColumns } from '../../query/repair/known-columns.ts';
import { placedReason } from '../../query/repair/place.ts';
import { repairQuery } from '../../query/repair/repair.ts';
import { cellForecast, type ForecastNeeds } from './forecast-cells.ts';
import { columnsOf, errorMessage } from './job-message.ts';
import { codeDiagnostics, type CodeDiagnosticsNeeds } from '../javascript/diagnostics.ts';
import type { GatewayNeeds } from '../needs.ts';
import { clauseOrigin, ruleLine, sourceOf } from '../policies/policy-source.ts';
import { spendsBefore } from './spends-before.ts';

export interface ExplainNeeds extends GatewayNeeds, ForecastNeeds, CodeDiagnosticsNeeds {
  readonly jobNeeds: JobNeeds;
}

/**
 * What would happen to a job: steps 1–3 of it and nothing more. Reserves and records nothing and reads no row; what it
 * predicts comes from the policy and from synthetic rows.
 */
export async function explainJob(needs: ExplainNeeds, job: Job, signal: AbortSignal): Promise<ExplainJobResponse> {
  const rehearsed = await rehearse(needs.jobNeeds, job, signal);
  if (rehearsed.kind === 'denied') {
    const { reasons, queryShape } = rehearsed;
    const answer = await refused(needs, job, reasons, signal);
    if (queryShape === undefined) return answer;
    return { ...answer, queryShape: { rows: BigInt(queryShape.rows), columns: queryShape.columns } };
  }
  const { admission, prepared } = rehearsed;
  const { terms } = prepared;
  const touched = admission.permits.filter(({ agreement }) =>
    prepared.datasets.some(({ name }) => name === agreement.dataset),
  );
  const used = touched.length === 0 ? admission.permits : touched;
  return {
    ...blank(needs),
    wouldRun: true,
    rules: used.map(({ permit }) => permit.clause),
    origins: used.map((permit) => originOf(needs, permit)),
    enforced: prepared.inWords,
    enforcedSql: prepared.enforcedSql ?? '',
    guarantee: prepared.guarantee,
    errors: (prepared.errors ?? []).map(errorMessage),
    suppression:
      terms.minUnits === null
        ? 'no threshold'
        : `cells over fewer than ${terms.minUnits} units are withheld (${terms.smallGroups})`,
    forecast: await cellForecast(needs, prepared, used),
    diagnostics: await codeDiagnostics(needs, job, signal),
    ruleId: used[0]?.permit.rule.id ?? '',
    mode: admission.mode,
    columns: columnsOf(terms.outputs),
    datasets: prepared.datasets.map(({ name }) => name),
    budget: await spendsBefore(needs, prepared),
    ...priceBefore(touched, prepared),
  };
}

/** A refusal with its places, in the query and in the policy, and a query that would pass where one is found. */
async function refused(
  needs: ExplainNeeds,
  job: Job,
  reasons: readonly Reason[],
  signal: AbortSignal,
): Promise<ExplainJobResponse> {
  const found = agreementsOf(needs.jobNeeds, job);
  const agreements = 'kind' in found ? [] : found;
  const sources = agreements.flatMap((agreement) => sourceOf(needs, agreement) ?? []);
  const answer = {
    ...blank(needs),
    clauseOrigins: reasons.map((reason) => clauseOrigin(sources, reason)),
    datasets: agreements.map(({ dataset }) => dataset),
  };
  const { computation } = job;
  if (computation.kind !== 'sql') return { ...answer, reasons };
  const placed = reasons.map((reason) => placedReason(computation.text, reason));
  const repaired = await repairQuery(computation.text, reasons, columnsFor(job, agreements), async (text) => {
    signal.throwIfAborted();
    const again = await rehearse(needs.jobNeeds, { ...job, computation: { ...computation, text } }, signal);
    return again.kind === 'denied' ? again.reasons : null;
  });
  return { ...answer, reasons: placed, repaired: repaired?.text ?? '', repairs: repaired?.changes ?? [] };
}

const columnsFor = ({ asker }: Job, agreements: readonly AgreementForJob[]): ReturnType<typeof knownColumns> =>
  agreements.flatMap(({ dataset, policy }) => knownColumns(dataset, policy.tables, asker));

function originOf(needs: ExplainNeeds, { agreement, permit }: AdmittedPermit): RuleOrigin {
  const source = sourceOf(needs, agreement);
  return {
    dataset: agreement.dataset,
    version: permit.policy.version,
    policyDigest: `sha256:${agreement.policyDigest}`,
    agreementId: agreement.id,
    ruleId: permit.rule.id,
    fileName: source?.fileName ?? '',
    line: source === undefined ? 0 : ruleLine(source, permit.rule.id),
    inWords: ruleInWords(permit.rule),
  };
}

const blank = (needs: Pick<GatewayNeeds, 'isolation'>): ExplainJobResponse => ({
  wouldRun: false,
  reasons: [],
  rules: [],
  enforced: [],
  guarantee: '',
  errors: [],
  suppression: '',
  budget: [],
  priceMicros: null,
  currency: '',
  repaired: '',
  ruleId: '',
  mode: 'unspecified',
  columns: [],
  diagnostics: [],
  isolation: needs.isolation,
  datasets: [],
  enforcedSql: '',
  origins: [],
  clauseOrigins: [],
  repairs: [],
  forecast: null,
  queryShape: null,
});
