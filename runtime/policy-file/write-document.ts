import { stringify } from 'yaml';
import type { CodeLimits, ColumnGrant, Conditions, Duty, Release, TablePolicy, UsagePolicy } from '../policy/model.ts';

/** A policy as the document that a provider would write: `parsePolicy` of it gives the same policy again. */
export function policyDocumentOf(policy: UsagePolicy): string {
  const { dataset, version, grade } = policy;
  const [only] = policy.tables;
  const isFlat = policy.tables.length === 1 && only?.name === null;
  return stringify(
    {
      apiVersion: 'glovebox/v1',
      kind: 'UsagePolicy',
      metadata: { dataset, version, grade },
      ...(isFlat
        ? tableOf(only)
        : { tables: Object.fromEntries(policy.tables.map((one) => [one.name ?? '', tableOf(one)])) }),
      ...without({ defaults: conditionsOf(policy.defaults) }),
      allow: policy.allow.map(({ id, mode, when, release }) => ({
        id,
        mode,
        ...without({ when: conditionsOf(when) }),
        release: releaseOf(release),
      })),
      deny: policy.deny.map(({ id, mode, when }) => ({ id, mode, ...without({ when: conditionsOf(when) }) })),
      duties: policy.duties.map(dutyOf),
      onViolation: policy.onViolation,
    },
    { version: '1.2', schema: 'core', lineWidth: 0, aliasDuplicateObjects: false },
  );
}

function tableOf(table: TablePolicy): object {
  const { privacyUnits, rows } = table;
  return without({
    public: table.isPublic,
    privacyUnits:
      privacyUnits.length === 0
        ? undefined
        : privacyUnits.map(({ columns, via }) =>
            columns.length === 0 ? 'row' : { columns, ...(via.length === 0 ? {} : { via }) },
          ),
    rows: rows ?? undefined,
    joins: table.joins,
    consumerTables: table.consumerTables,
    columns: Object.fromEntries(
      table.columns.map((column) => [
        column.name,
        column.grants.map((grant, index) => ({
          ...grantOf(grant),
          ...(index === 0 && column.grade !== null ? { grade: column.grade } : {}),
        })),
      ]),
    ),
  });
}

function grantOf(grant: ColumnGrant): object {
  const { consumers, rights, functions, bounds, values, bins } = grant;
  return without({
    consumers: consumers ?? undefined,
    rights,
    functions: functions.length === 0 ? undefined : functions,
    bounds: bounds === null ? undefined : [bounds.low, bounds.high],
    values:
      values === null || values === 'public'
        ? (values ?? undefined)
        : values.map((one) => (one.kind === 'number' ? Number(one.text) : one.value)),
    bins: bins ?? undefined,
  });
}

function conditionsOf(when: Conditions): object | undefined {
  const { notBefore, notAfter, count, isolationAtLeast } = when;
  const said = without({
    consumers: when.consumers,
    purposes: when.purposes,
    notBefore: notBefore === null ? null : new Date(notBefore).toISOString(),
    notAfter: notAfter === null ? null : new Date(notAfter).toISOString(),
    elapsedTime: durationOf(when.elapsedMs),
    count: count === null ? null : without({ max: count.max, per: durationOf(count.perMs) }),
    isolation: isolationAtLeast === null ? null : { atLeast: isolationAtLeast },
    images: when.images,
    digests: when.digests,
    approvals: when.approvals,
    recipientOutside: when.recipientOutside,
    recipientInside: when.recipientInside,
    credentials: when.credentials,
    condition: when.condition,
  });
  return Object.keys(said).length === 0 ? undefined : said;
}

function releaseOf(release: Release): object {
  switch (release.mode) {
    case 'aggregate': {
      const { mode: _mode, differencingGuard, ...rest } = release;
      return without({ ...rest, differencing: differencingGuard ? 'guard' : 'off' });
    }
    case 'differentialPrivacy': {
      const {
        mode: _mode,
        microEpsilonPerJob,
        microEpsilonTotal,
        microEpsilonDataset,
        budgetPeriodMs,
        ...rest
      } = release;
      return without({
        ...rest,
        epsilonPerJob: microEpsilonPerJob / 1e6,
        epsilonTotal: microEpsilonTotal / 1e6,
        epsilonDataset: microEpsilonDataset === null ? null : microEpsilonDataset / 1e6,
        per: durationOf(budgetPeriodMs),
      });
    }
    case 'sandbox': {
      const { mode: _mode, microEpsilonPerJob, microEpsilonTotal, microEpsilonDataset, limits, ...rest } = release;
      return without({
        ...rest,
        epsilonPerJob: microEpsilonPerJob / 1e6,
        epsilonTotal: microEpsilonTotal === null ? null : microEpsilonTotal / 1e6,
        epsilonDataset: microEpsilonDataset === null ? null : microEpsilonDataset / 1e6,
        limits: limitsOf(limits),
      });
    }
    case 'homomorphic': {
      const { mode: _mode, ...rest } = release;
      return without(rest);
    }
    case 'approvedCode': {
      const { mode: _mode, limits, ...rest } = release;
      return without({ ...rest, limits: limitsOf(limits) });
    }
  }
}

function limitsOf(limits: CodeLimits): object | undefined {
  const said = without({ ...limits });
  return Object.keys(said).length === 0 ? undefined : said;
}

function dutyOf(duty: Duty): object {
  const { withinMs, ...rest } = duty;
  return without({ ...rest, within: durationOf(withinMs) });
}

/** Documents say durations in whole seconds. */
const durationOf = (ms: number | null): string | null => (ms === null ? null : `PT${Math.floor(ms / 1000)}S`);

function without(object: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== null && value !== undefined));
}
