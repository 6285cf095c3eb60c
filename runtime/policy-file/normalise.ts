import {
  type AllowRule,
  codeLimits,
  type ColumnGrant,
  type ColumnPolicy,
  type Conditions,
  type JoinStep,
  type PolicyLiteral,
  type PrivacyUnit,
  type Release,
  type TablePolicy,
  type UsagePolicy,
} from '../policy/model.ts';
import type {
  ConditionsDocument,
  GrantDocument,
  JoinStepDocument,
  PolicyDocument,
  RuleDocument,
  TableDocument,
  UnitDocument,
} from './document.ts';

/** Limits that hold when a document names none. */
export const DEFAULT_MAX_ROWS = 100_000;
export const DEFAULT_MAX_BYTES = 2 ** 30;
export const DEFAULT_DELTA = 1e-6;
export const DEFAULT_SECURITY_BITS = 128;
const DEFAULT_ISOLATION = 'namespaced';

/** Turns a well-formed document into the policy the core works with; `version` is what the runtime assigned. */
export function normalise(document: PolicyDocument, version: number): UsagePolicy {
  const flat = { ...document, columns: document.columns };
  const tables =
    document.tables === undefined
      ? [tablePolicy(null, flat)]
      : Object.entries(document.tables).map(([name, table]) => tablePolicy(name, table));
  return {
    dataset: document.metadata.dataset,
    version,
    grade: document.metadata.grade ?? 'important',
    tables,
    defaults: conditionsOf(document.defaults),
    allow: (document.allow ?? []).map(allowRule),
    deny: (document.deny ?? []).map((rule) => ({ id: rule.id, mode: rule.mode, when: conditionsOf(rule.when) })),
    duties: (document.duties ?? []).map((duty) => ({
      do: duty.do,
      on: duty.on ?? (duty.do === 'delete' ? 'after' : 'release'),
      to: duty.to ?? null,
      what: duty.what ?? null,
      withinMs: duty.within === undefined ? null : durationMs(duty.within),
      meter: duty.meter ?? null,
      unitPrice: duty.unitPrice ?? null,
      currency: duty.currency ?? null,
    })),
    onViolation: { stop: document.onViolation?.stop ?? 'job', alert: document.onViolation?.alert ?? 'high' },
  };
}

function tablePolicy(name: string | null, table: TableDocument): TablePolicy {
  const units = table.privacyUnits ?? (table.privacyUnit === undefined ? [] : [table.privacyUnit]);
  return {
    name,
    isPublic: table.public ?? false,
    privacyUnits: units.map(privacyUnit),
    columns: Object.entries(table.columns ?? {}).map(([column, grants]) => columnPolicy(column, grants)),
    rows: table.rows ?? null,
    joins: table.joins ?? 'allowed',
    consumerTables: table.consumerTables ?? false,
  };
}

function privacyUnit(unit: UnitDocument): PrivacyUnit {
  if (unit === 'row') return { columns: [], via: [] };
  if (typeof unit === 'string') return { columns: [unit], via: [] };
  if (Array.isArray(unit)) return { columns: unit, via: [] };
  const via = unit.via === undefined ? [] : Array.isArray(unit.via) ? unit.via : [unit.via];
  return { columns: unit.columns, via: via.map(joinStep) };
}

function joinStep(step: JoinStepDocument): JoinStep {
  if (typeof step !== 'string') return step;
  const [from = '', target = ''] = step.split('->').map((part) => part.trim());
  const [table = '', to = ''] = target.split('.');
  return { from, table, to };
}

function columnPolicy(name: string, document: GrantDocument | readonly GrantDocument[]): ColumnPolicy {
  const grants = Array.isArray(document) ? (document as readonly GrantDocument[]) : [document as GrantDocument];
  return {
    name,
    grants: grants.map(columnGrant),
    grade: grants.find((grant) => grant.grade !== undefined)?.grade ?? null,
  };
}

function columnGrant(grant: GrantDocument): ColumnGrant {
  const aggregates = grant.rights.includes('aggregate');
  return {
    consumers: grant.consumers ?? null,
    rights: grant.rights,
    functions: grant.functions ?? (aggregates ? ['sum', 'avg', 'count'] : []),
    bounds: grant.bounds === undefined ? null : { low: grant.bounds[0], high: grant.bounds[1] },
    values:
      grant.values === undefined || grant.values === 'public' ? (grant.values ?? null) : grant.values.map(literal),
    bins: grant.bins ?? null,
  };
}

function literal(value: string | number | boolean): PolicyLiteral {
  if (typeof value === 'string') return { kind: 'text', value };
  return typeof value === 'number' ? { kind: 'number', text: String(value) } : { kind: 'boolean', value };
}

function conditionsOf(document: ConditionsDocument | undefined): Conditions {
  const when = document ?? {};
  return {
    consumers: when.consumers ?? null,
    purposes: when.purposes ?? null,
    notBefore: when.notBefore === undefined ? null : Date.parse(when.notBefore),
    notAfter: when.notAfter === undefined ? null : Date.parse(when.notAfter),
    elapsedMs: when.elapsedTime === undefined ? null : durationMs(when.elapsedTime),
    count:
      when.count === undefined
        ? null
        : { max: when.count.max, perMs: when.count.per === undefined ? null : durationMs(when.count.per) },
    isolationAtLeast: when.isolation?.atLeast ?? null,
    images: when.images ?? null,
    digests: when.digests ?? null,
    approvals: when.approvals ?? null,
    recipientOutside: when.recipientOutside ?? null,
    recipientInside: when.recipientInside ?? null,
    credentials: when.credentials ?? null,
    condition: when.condition ?? null,
  };
}

function allowRule(rule: RuleDocument): AllowRule {
  const when = conditionsOf(rule.when);
  const runsConsumerCode = rule.mode === 'sandbox' || rule.mode === 'approvedCode';
  return {
    id: rule.id,
    mode: rule.mode,
    // Consumer code defaults to the full jail; a provider may say less, but has to say it.
    when: runsConsumerCode ? { ...when, isolationAtLeast: when.isolationAtLeast ?? DEFAULT_ISOLATION } : when,
    release: releaseOf(rule),
  };
}

function releaseOf(rule: RuleDocument): Release {
  switch (rule.mode) {
    case 'aggregate':
      return {
        mode: 'aggregate',
        minUnits: rule.release.minUnits,
        smallGroups: rule.release.smallGroups === null ? 'null' : (rule.release.smallGroups ?? 'drop'),
        dominance: rule.release.dominance ?? null,
        maxRows: rule.release.maxRows ?? DEFAULT_MAX_ROWS,
        maxBytes: rule.release.maxBytes ?? DEFAULT_MAX_BYTES,
        differencingGuard: rule.release.differencing === 'guard',
      };
    case 'differentialPrivacy':
      return {
        mode: 'differentialPrivacy',
        microEpsilonPerJob: microEpsilon(rule.release.epsilonPerJob),
        microEpsilonTotal: microEpsilon(rule.release.epsilonTotal),
        microEpsilonDataset: microEpsilonOrNull(rule.release.epsilonDataset),
        accounting: rule.release.accounting ?? 'pure',
        delta: rule.release.delta ?? DEFAULT_DELTA,
        deltaTotal: rule.release.deltaTotal ?? null,
        maxRowsPerUnit: rule.release.maxRowsPerUnit,
        minUnits: rule.release.minUnits ?? null,
        noise: rule.release.noise ?? 'laplace',
        budgetPeriodMs: rule.release.per === undefined ? null : durationMs(rule.release.per),
        maxRows: rule.release.maxRows ?? DEFAULT_MAX_ROWS,
      };
    case 'homomorphic':
      return {
        mode: 'homomorphic',
        schemes: rule.release.schemes ?? ['bgv', 'ckks'],
        securityBits: rule.release.securityBits ?? DEFAULT_SECURITY_BITS,
        programs: rule.release.programs,
        minUnits: rule.release.minUnits,
        maxQueries: rule.release.maxQueries ?? null,
      };
    case 'sandbox':
      return {
        mode: 'sandbox',
        methods: rule.release.methods,
        microEpsilonPerJob: microEpsilon(rule.release.epsilonPerJob),
        microEpsilonTotal: microEpsilonOrNull(rule.release.epsilonTotal),
        microEpsilonDataset: microEpsilonOrNull(rule.release.epsilonDataset),
        accounting: rule.release.accounting ?? 'pure',
        delta: rule.release.delta ?? DEFAULT_DELTA,
        outputs: rule.release.outputs,
        maxRowsPerUnit: rule.release.maxRowsPerUnit ?? 1,
        tier: rule.release.tier ?? 'balanced',
        limits: codeLimits(rule.release.limits),
      };
    case 'approvedCode':
      return {
        mode: 'approvedCode',
        minUnits: rule.release.minUnits,
        maxRows: rule.release.maxRows,
        maxBytes: rule.release.maxBytes ?? DEFAULT_MAX_BYTES,
        limits: codeLimits(rule.release.limits),
      };
  }
}

/** Rounded down: a policy never allows more than it says. */
const microEpsilon = (epsilon: number): number => Math.floor(epsilon * 1e6 + 1e-9);

const microEpsilonOrNull = (epsilon: number | undefined): number | null =>
  epsilon === undefined ? null : microEpsilon(epsilon);

/** Milliseconds of an ISO 8601 duration without months or years (their length varies). */
export function durationMs(text: string): number {
  const match = /^P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?$/.exec(text);
  if (match === null) throw new Error(`not a duration: ${text}`);
  const [weeks, days, hours, minutes, seconds] = match.slice(1).map((part) => Number(part ?? 0));
  return (
    ((((weeks ?? 0) * 7 + (days ?? 0)) * 24 + (hours ?? 0)) * 60 + (minutes ?? 0)) * 60_000 + (seconds ?? 0) * 1000
  );
}
