import { fc } from '../../property.ts';
import type { Request } from '../../../runtime/policy/decide.ts';
import type { AllowRule, Conditions, Duty, Release, UsagePolicy } from '../../../runtime/policy/model.ts';

/** Any policy that a provider could attach, with few words, so that requests often meet its conditions. */

const some = <T>(words: readonly T[]): fc.Arbitrary<T[]> => fc.subarray([...words], { minLength: 1 });
const maybe = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | null> => fc.option(arbitrary, { nil: null, freq: 1 });

const T0 = Date.UTC(2026, 0, 1);
const PARTIES = ['acme', 'bank', 'group:lab', 'group:risk'];
const PURPOSES = ['RiskManagement', 'CreditChecking', 'MedicalResearch', 'urn:own:purpose'];
const DIGESTS = [`sha256:${'0'.repeat(64)}`, `sha256:${'1'.repeat(64)}`];
const COUNTRIES = ['CN', 'DE', 'FR'];
const CONDITIONS = ['country == "CN"', 'consumer == "acme"', '"lab" in groups', 'purpose.matches("[")'];

const conditions: fc.Arbitrary<Conditions> = fc.record({
  consumers: maybe(some(PARTIES)),
  purposes: maybe(some(PURPOSES)),
  notBefore: maybe(fc.integer({ min: 0, max: 50 }).map((day) => T0 + day * 86_400_000)),
  notAfter: maybe(fc.integer({ min: 51, max: 100 }).map((day) => T0 + day * 86_400_000)),
  elapsedMs: maybe(fc.constantFrom(0, 1000, 40 * 86_400_000)),
  count: maybe(fc.record({ max: fc.integer({ min: 1, max: 500 }), perMs: maybe(fc.constantFrom(1000, 86_400_000)) })),
  isolationAtLeast: maybe(fc.constantFrom('none', 'process', 'confined', 'namespaced', 'vm')),
  images: maybe(some(['sql', 'javascript'])),
  digests: maybe(some(DIGESTS)),
  approvals: maybe(fc.record({ quorum: fc.integer({ min: 1, max: 3 }), by: some(['owner', 'dpo', 'board']) })),
  recipientOutside: maybe(some(COUNTRIES)),
  recipientInside: maybe(some(COUNTRIES)),
  credentials: maybe(some(['lab', 'risk', 'iso27001'])),
  condition: maybe(fc.constantFrom(...CONDITIONS)),
});

const count = fc.integer({ min: 1, max: 1_000_000 });
const limits = {
  wallMs: maybe(fc.integer({ min: 100, max: 86_400_000 })),
  cpuMs: maybe(fc.integer({ min: 100, max: 86_400_000 })),
  memoryMiB: maybe(fc.integer({ min: 64, max: 65_536 })),
};

const release: fc.Arbitrary<Release> = fc.oneof(
  fc.record({
    mode: fc.constant('aggregate' as const),
    minUnits: count,
    smallGroups: fc.constantFrom('drop', 'remainder', 'null', 'refuse'),
    dominance: maybe(
      fc.record({
        n: fc.integer({ min: 1, max: 100 }),
        share: fc.double({ min: 0, max: 1, minExcluded: true, maxExcluded: true, noNaN: true }),
      }),
    ),
    maxRows: count,
    maxBytes: count,
    differencingGuard: fc.boolean(),
  }),
  fc
    .record({
      mode: fc.constant('differentialPrivacy' as const),
      microEpsilonPerJob: fc.integer({ min: 1, max: 1_000_000 }),
      microEpsilonTotal: fc.integer({ min: 1_000_000, max: 4_000_000 }),
      microEpsilonDataset: fc.constant(8_000_000),
      accounting: fc.constantFrom('pure', 'zcdp'),
      delta: fc.constantFrom(1e-6, 1.5e-9, 0.25),
      deltaTotal: maybe(fc.constantFrom(1e-5, 0.5)),
      maxRowsPerUnit: fc.integer({ min: 1, max: 100_000 }),
      minUnits: maybe(count),
      noise: fc.constantFrom('laplace', 'gaussian'),
      budgetPeriodMs: maybe(fc.constantFrom(3_600_000, 604_800_000)),
      maxRows: count,
    })
    .map((one): Release => one),
  fc.record({
    mode: fc.constant('homomorphic' as const),
    schemes: some(['bgv', 'bfv', 'ckks'] as const),
    securityBits: fc.constantFrom(128, 192, 256),
    programs: some(['sum', 'mean', 'dot']),
    minUnits: count,
    maxQueries: maybe(count),
  }),
  fc
    .record({
      mode: fc.constant('sandbox' as const),
      methods: some(['rowFunction', 'blocks', 'post'] as const),
      microEpsilonPerJob: fc.integer({ min: 1, max: 1_000_000 }),
      microEpsilonTotal: maybe(fc.integer({ min: 1, max: 4_000_000 })),
      microEpsilonDataset: fc.constant(8_000_000),
      // zCDP needs a delta above 0.
      adding: fc.constantFrom(
        { accounting: 'pure', delta: 0 } as const,
        { accounting: 'pure', delta: 1e-6 } as const,
        { accounting: 'zcdp', delta: 1e-6 } as const,
      ),
      outputs: fc.integer({ min: 1, max: 64 }),
      maxRowsPerUnit: fc.integer({ min: 1, max: 100_000 }),
      tier: fc.constantFrom('balanced', 'strict'),
      limits: fc.record({
        ...limits,
        blocks: maybe(fc.integer({ min: 2, max: 2000 })),
        rounds: maybe(fc.integer({ min: 1, max: 100 })),
      }),
    })
    .map(({ adding, ...rest }): Release => ({ ...rest, ...adding })),
  fc.record({
    mode: fc.constant('approvedCode' as const),
    minUnits: count,
    maxRows: count,
    maxBytes: count,
    limits: fc.record({ ...limits, blocks: fc.constant(null), rounds: fc.constant(null) }),
  }),
);

const allowRule = fc.tuple(conditions, release).map(([when, terms]): Omit<AllowRule, 'id'> => {
  const runsCode = terms.mode === 'sandbox' || terms.mode === 'approvedCode';
  const isolationAtLeast = runsCode ? (when.isolationAtLeast ?? 'namespaced') : when.isolationAtLeast;
  const digests = terms.mode === 'approvedCode' && when.approvals === null ? (when.digests ?? DIGESTS) : when.digests;
  return { mode: terms.mode, when: { ...when, isolationAtLeast, digests }, release: terms };
});

const blank = { to: null, what: null, withinMs: null, meter: null, unitPrice: null, currency: null };
const duty: fc.Arbitrary<Duty> = fc.oneof(
  fc.constant<Duty>({ ...blank, do: 'log', on: 'denial' }),
  fc
    .record({ to: fc.constantFrom('hospital', 'https://hook.example/x?y=1'), withinMs: maybe(fc.constant(60_000)) })
    .map((more): Duty => ({ ...blank, ...more, do: 'notify', on: 'release' })),
  fc.constantFrom('0.80', '12', '0.000001').map((unitPrice): Duty => ({
    ...blank,
    do: 'pay',
    on: 'release',
    meter: 'job',
    unitPrice,
    currency: 'CNY',
  })),
  fc.constant<Duty>({ ...blank, do: 'delete', on: 'after', what: 'sandbox', withinMs: 3_600_000 }),
  fc.constant<Duty>({ ...blank, do: 'attribute', on: 'before', to: 'hospital' }),
);

const number = fc.double({ min: -1e6, max: 1e6, noNaN: true }).map((one) => (Object.is(one, -0) ? 0 : one));
const grant = fc
  .record({
    consumers: maybe(some(PARTIES)),
    rights: some(['join', 'group', 'filter', 'compare', 'order', 'countDistinct', 'aggregate', 'extremum'] as const),
    functions: some(['sum', 'avg', 'count', 'variance', 'quantile', 'histogram'] as const),
    bounds: maybe(
      fc.tuple(number, fc.integer({ min: 1, max: 1000 })).map(([low, more]) => ({ low, high: low + more })),
    ),
    values: fc.oneof(
      fc.constant(null),
      fc.constant('public' as const),
      fc.array(
        fc.oneof(
          fc.string().map((value) => ({ kind: 'text' as const, value })),
          number.map((value) => ({ kind: 'number' as const, text: String(value) })),
          fc.boolean().map((value) => ({ kind: 'boolean' as const, value })),
        ),
        { minLength: 1, maxLength: 4 },
      ),
    ),
    bins: maybe(
      fc.uniqueArray(fc.integer(), { minLength: 1, maxLength: 4 }).map((edges) => edges.toSorted((a, b) => a - b)),
    ),
  })
  .map((one) => ({ ...one, functions: one.rights.includes('aggregate') ? one.functions : [] }));

const table = (name: string | null): fc.Arbitrary<UsagePolicy['tables'][number]> =>
  fc
    .record({
      name: fc.constant(name),
      isPublic: fc.boolean(),
      privacyUnits: fc.array(
        fc.oneof(
          fc.constant({ columns: [], via: [] }),
          fc.record({
            columns: some(['patient_id', 'site']),
            via: fc.array(fc.constant({ from: 'visit_id', table: 'visits', to: 'id' }), { maxLength: 2 }),
          }),
        ),
        { minLength: 1, maxLength: 2 },
      ),
      columns: fc
        .uniqueArray(fc.constantFrom('patient_id', 'ward', 'cost', 'Date of birth'), { minLength: 1 })
        .chain((names) =>
          fc.tuple(
            ...names.map((one) =>
              fc.record({
                name: fc.constant(one),
                grants: fc.array(grant, { minLength: 1, maxLength: 2 }),
                grade: maybe(fc.constantFrom('public', 'internal', 'important', 'core')),
              }),
            ),
          ),
        ),
      rows: maybe(fc.constantFrom("region = 'EU'", 'year > 2020')),
      joins: fc.constantFrom('allowed', 'required', 'onlyOnUnit', 'forbidden'),
      consumerTables: fc.constantFrom(false, true, 'onUnit' as const),
    })
    .map((one) => ({ ...one, privacyUnits: one.isPublic ? [] : one.privacyUnits }));

export const anyPolicy: fc.Arbitrary<UsagePolicy> = fc
  .record({
    dataset: fc.constantFrom('visits', 'hospital/visits'),
    version: fc.integer({ min: 1, max: 1000 }),
    grade: fc.constantFrom('public', 'internal', 'important', 'core'),
    tables: fc.oneof(
      table(null).map((one) => [one]),
      fc.tuple(table('visits'), table('wards')),
    ),
    defaults: conditions,
    allow: fc.array(allowRule, { maxLength: 4 }),
    deny: fc.array(
      fc.record({
        mode: fc.constantFrom('aggregate', 'sandbox', 'export', 'raw', 'reuse', 'any' as const),
        when: conditions,
      }),
      { maxLength: 2 },
    ),
    duties: fc.array(duty, { maxLength: 3 }),
    onViolation: fc.record({
      stop: fc.constantFrom('job', 'agreement'),
      alert: fc.constantFrom('low', 'medium', 'high'),
    }),
  })
  .map((policy): UsagePolicy => ({
    ...policy,
    allow: policy.allow.map((rule, index) => ({ id: `a${index}`, ...rule })),
    deny: policy.deny.map((rule, index) => ({ id: `d${index}`, ...rule })),
  }))
  // fast-check makes objects without a prototype now and then; a policy is plain JSON.
  .map((policy) => JSON.parse(JSON.stringify(policy)) as UsagePolicy);

/** Few conditions at once, so that permits are not rare. */
export const sparsePolicy: fc.Arbitrary<UsagePolicy> = fc
  .tuple(anyPolicy, fc.array(fc.nat(11), { maxLength: 3 }))
  .map(([policy, kept]) => {
    const thin = (when: Conditions): Conditions =>
      Object.fromEntries(
        Object.entries(when).map(([key, value], index) => [key, kept.includes(index) ? value : null]),
      ) as unknown as Conditions;
    return {
      ...policy,
      defaults: thin(policy.defaults),
      allow: policy.allow.map((rule) => ({ ...rule, when: thin(rule.when) })),
    };
  });

export const anyRequest: fc.Arbitrary<Request> = fc.record({
  consumer: fc.constantFrom('acme', 'bank', 'other'),
  groups: fc.subarray(['lab', 'risk']),
  mode: fc.constantFrom('aggregate', 'differentialPrivacy', 'homomorphic', 'sandbox', 'approvedCode'),
  rule: maybe(fc.constantFrom('a0', 'a1', 'a2')),
  purpose: maybe(fc.constantFrom(...PURPOSES, 'MaintainCreditRatingDatabase', 'Marketing')),
  now: fc.integer({ min: 0, max: 100 }).map((day) => T0 + day * 86_400_000),
  agreedAtMs: maybe(fc.integer({ min: -10, max: 100 }).map((day) => T0 + day * 86_400_000)),
  isolation: fc.constantFrom('none', 'process', 'confined', 'namespaced', 'vm'),
  recipientCountry: maybe(fc.constantFrom('CN', 'DE', 'US')),
  image: maybe(fc.constantFrom('sql', 'javascript')),
  codeDigest: maybe(fc.constantFrom(...DIGESTS)),
  approvers: fc.subarray(['owner', 'dpo', 'mallory']),
});
