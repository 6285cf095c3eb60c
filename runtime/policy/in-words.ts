import type { AllowRule, Conditions, TablePolicy, UsagePolicy } from './model.ts';

/** A policy as sentences that a person can check against what was meant. */
export function policyInWords(policy: UsagePolicy): readonly string[] {
  return [
    `policy of dataset ${policy.dataset}, version ${policy.version}, grade ${policy.grade}; what is not listed here is denied`,
    ...policy.tables.flatMap(tableInWords),
    ...conditionsInWords(policy.defaults).map((text) => `always: ${text}`),
    ...policy.allow.map(ruleInWords),
    ...policy.deny.map((rule) => `denied (${rule.id}): ${rule.mode}${joined(conditionsInWords(rule.when))}`),
    ...policy.duties.map(
      (duty) =>
        `duty: ${duty.do}${duty.to === null ? '' : ` to ${duty.to}`}${duty.unitPrice === null ? '' : ` ${duty.unitPrice} ${duty.currency ?? ''}`} on ${duty.on}`,
    ),
  ];
}

function tableInWords(table: TablePolicy): readonly string[] {
  const name = table.name ?? 'the table';
  const units = table.privacyUnits.map(({ columns, via }) => {
    const last = via.at(-1);
    return columns.length === 0 ? 'each row' : `${columns.join(' + ')}${last === undefined ? '' : ` of ${last.table}`}`;
  });
  return [
    table.isPublic ? `${name} is public` : `${name} protects ${units.join(' and ')}`,
    ...(table.rows === null ? [] : [`${name}: only rows where ${table.rows}`]),
    ...table.columns.flatMap((column) =>
      column.grants.map((grant) => {
        const who = grant.consumers === null ? '' : ` for ${grant.consumers.join(', ')}`;
        const functions = grant.rights.includes('aggregate') ? ` (${grant.functions.join(', ')})` : '';
        const bounds = grant.bounds === null ? '' : `, clipped to ${grant.bounds.low}…${grant.bounds.high}`;
        return `${name}.${column.name}: ${grant.rights.join(', ')}${functions}${bounds}${who}`;
      }),
    ),
  ];
}

const overall = (microEpsilon: number | null): string =>
  microEpsilon === null ? '' : `, ${microEpsilon / 1e6} over all consumers`;

function ruleInWords(rule: AllowRule): string {
  const { release } = rule;
  const terms = ((): string => {
    switch (release.mode) {
      case 'aggregate':
        return `aggregates over at least ${release.minUnits} units, small groups: ${release.smallGroups}, at most ${release.maxRows} rows`;
      case 'differentialPrivacy':
        return `differential privacy, epsilon ${release.microEpsilonPerJob / 1e6} a job and ${release.microEpsilonTotal / 1e6} in all${overall(release.microEpsilonDataset)}${release.accounting === 'zcdp' ? ' (added up as zCDP)' : ''}, at most ${release.maxRowsPerUnit} rows a unit`;
      case 'homomorphic':
        return `homomorphic programs ${release.programs.join(', ')} at ${release.securityBits} bits or more, over at least ${release.minUnits} units`;
      case 'sandbox':
        return `sandboxed code by ${release.methods.join(', ')}, epsilon ${release.microEpsilonPerJob / 1e6} a job${overall(release.microEpsilonDataset)}, at most ${release.outputs} outputs`;
      case 'approvedCode':
        return `approved code over at least ${release.minUnits} units, at most ${release.maxRows} rows`;
    }
  })();
  return `allowed (${rule.id}): ${terms}${joined(conditionsInWords(rule.when))}`;
}

function conditionsInWords(when: Conditions): readonly string[] {
  const list = (words: string, values: readonly string[] | null): readonly string[] =>
    values === null ? [] : [`${words} ${values.join(', ')}`];
  const at = (words: string, ms: number | null): readonly string[] =>
    ms === null ? [] : [`${words} ${new Date(ms).toISOString()}`];
  return [
    ...list('consumers', when.consumers),
    ...list('purposes', when.purposes),
    ...at('from', when.notBefore),
    ...at('before', when.notAfter),
    ...(when.count === null
      ? []
      : [
          `at most ${when.count.max} uses${when.count.perMs === null ? '' : ` in ${when.count.perMs / 86_400_000} days`}`,
        ]),
    ...(when.isolationAtLeast === null ? [] : [`isolation ${when.isolationAtLeast} or more`]),
    ...list('images', when.images),
    ...list('code digests', when.digests),
    ...(when.approvals === null ? [] : [`approved by ${when.approvals.quorum} of ${when.approvals.by.join(', ')}`]),
    ...list('recipients inside', when.recipientInside),
    ...list('recipients outside', when.recipientOutside),
    ...(when.condition === null ? [] : [`if ${when.condition}`]),
  ];
}

const joined = (texts: readonly string[]): string => (texts.length === 0 ? '' : `; ${texts.join('; ')}`);
