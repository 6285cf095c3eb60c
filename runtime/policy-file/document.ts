import * as z from 'zod';

/**
 * The policy document as a provider writes it (YAML or JSON). Strict everywhere: an unknown key is a complaint, never
 * ignored. The JSON Schema in policies/usage-policy.schema.json is generated from here.
 */

/** Where something stands in a document: keys and positions from its root. */
export type Path = readonly (string | number)[];

const name = z
  .string()
  .regex(
    /^[A-Za-z_][A-Za-z0-9_.\- ]{0,62}$/,
    'a name of 1–63 letters, digits, `_`, `.`, `-` or spaces that begins with a letter or `_`',
  );
export const datasetName = z
  .string()
  .max(128)
  .regex(
    /^[a-z0-9][a-z0-9._-]*(\/[a-z0-9][a-z0-9._-]*)*$/,
    'a dataset name: lower-case words separated by `/`, e.g. hospital/visits',
  );
const id = z.string().regex(/^[A-Za-z][A-Za-z0-9_-]{0,62}$/, 'an id of letters, digits, `_` and `-`');
const party = z.string().regex(/^(group:)?[a-z0-9][a-z0-9._-]{0,62}$/, 'a party name in lower case, or group:NAME');
const group = z.string().regex(/^[a-z0-9][a-z0-9._-]{0,62}$/, 'a name in lower case');
const country = z.string().regex(/^[A-Z]{2}$/, 'an ISO 3166-1 code of two capitals, e.g. CN');
const digest = z.string().regex(/^sha256:[0-9a-f]{64}$/, 'sha256: and 64 hexadecimal digits');
const money = z.string().regex(/^\d{1,12}(\.\d{1,6})?$/, 'an amount as text, e.g. "0.80"');
export const duration = z
  .string()
  .regex(
    /^P(?=\d|T\d)(\d+W)?(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+S)?)?$/,
    'an ISO 8601 duration in weeks, days, hours, minutes or seconds, e.g. P30D or PT1H',
  );
export const instant = z
  .string()
  .regex(
    /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,3})?)?(Z|[+-]\d{2}:\d{2}))?$/,
    'a date (2026-01-01) or an instant with zone (2026-01-01T00:00:00Z)',
  )
  .refine((text) => !Number.isNaN(Date.parse(text)), 'a date that exists');
const list = <T extends z.ZodType>(item: T) => z.array(item).min(1).max(10_000);

const grade = z.enum(['public', 'internal', 'important', 'core']);
const right = z.enum(['join', 'group', 'filter', 'compare', 'order', 'countDistinct', 'aggregate', 'extremum']);
const aggregateFunction = z.enum([
  'sum',
  'avg',
  'count',
  'variance',
  'stddev',
  'correlation',
  'regressionSlope',
  'quantile',
  'histogram',
]);
const mode = z.enum(['aggregate', 'differentialPrivacy', 'homomorphic', 'sandbox', 'approvedCode']);
const isolation = z.strictObject({ atLeast: z.enum(['none', 'process', 'confined', 'namespaced', 'vm']) });

const grant = z.strictObject({
  rights: list(right).describe('What may be done with the column; each right is separate'),
  consumers: list(party).optional().describe('Parties this grant is for; all admitted ones when absent'),
  functions: list(aggregateFunction).optional().describe('Aggregate functions allowed; needs the right `aggregate`'),
  bounds: z.tuple([z.number(), z.number()]).optional().describe('[low, high]: values are clipped to it before use'),
  values: z
    .union([z.literal('public'), list(z.union([z.string(), z.number(), z.boolean()]))])
    .optional()
    .describe('Key values that are no secret'),
  bins: list(z.number()).optional().describe('Inner edges of histogram bins, ascending'),
  grade: grade.optional(),
});
const column = z.union([grant, z.array(grant).min(1).max(32)]);

const joinStep = z.union([
  z.strictObject({ from: name, table: name, to: name }),
  z.string().regex(/^[^\s>]+\s*->\s*[^\s.]+\.[^\s.]+$/, 'a step `column -> table.column`'),
]);
const unit = z.union([
  z.literal('row').describe('Every row is a unit of its own'),
  name.describe('One key column'),
  list(name).describe('Key columns that together name the unit'),
  z.strictObject({
    columns: list(name),
    via: z
      .union([joinStep, list(joinStep)])
      .optional()
      .describe('Join path to the table that holds the unit'),
  }),
]);

const table = {
  public: z.boolean().optional().describe('A table that protects nobody: no privacy unit, all named columns readable'),
  privacyUnit: unit.optional().describe('Whom or what the table protects'),
  privacyUnits: list(unit).optional().describe('Several units: each must reach its minimum'),
  columns: z.record(z.string(), column).optional().describe('A column that is not named here cannot be used at all'),
  rows: z.string().min(1).max(4096).optional().describe("Row scope as an SQL condition, e.g. region = 'EU'"),
  joins: z
    .enum(['allowed', 'required', 'onlyOnUnit', 'forbidden'])
    .optional()
    .describe('Joins with private tables of other datasets'),
  consumerTables: z
    .union([z.boolean(), z.literal('onUnit')])
    .optional()
    .describe(
      'Whether tables that a consumer brings may be joined on columns that grant `join`; onUnit: on the privacy unit too',
    ),
};

const conditions = {
  consumers: list(party).optional(),
  purposes: list(z.string().min(1).max(256)).optional().describe('W3C DPV purposes; narrower ones are included'),
  notBefore: instant.optional(),
  notAfter: instant.optional(),
  elapsedTime: duration.optional().describe('How long after the agreement is signed by all it may be used'),
  count: z
    .strictObject({ max: z.int().min(1), per: duration.optional() })
    .optional()
    .describe('Most uses per period, or over the life of the agreement'),
  isolation: isolation.optional().describe('Least isolation level of the machine'),
  images: list(id).optional(),
  digests: list(digest).optional(),
  approvals: z.strictObject({ quorum: z.int().min(1).max(100), by: list(party) }).optional(),
  recipientOutside: list(country).optional(),
  recipientInside: list(country).optional(),
  credentials: list(group)
    .optional()
    .describe('What the operator must have attested of the party, all of them: its groups'),
  condition: z.string().min(1).max(4096).optional().describe('A condition in CEL over the request'),
};
const when = z.strictObject(conditions).optional();

// Losses are counted in millionths: less is none at all, with which nothing can be answered.
const epsilon = z.number().min(0.000_001).max(1000);
const epsilonDataset = epsilon.describe('What all consumers together may spend on the dataset, whatever the mode');
const delta = z.number().gte(0).lt(1);
const minUnits = z.int().min(1).max(1_000_000).describe('Least distinct privacy units behind every released cell');
const maxRows = z.int().min(1).max(1_000_000_000);
const maxBytes = z
  .int()
  .min(1)
  .max(2 ** 40);

const codeLimits = {
  wallMs: z
    .int()
    .min(100)
    .max(86_400_000)
    .optional()
    .describe('From the start of a run to its answer, rows read included, milliseconds'),
  cpuMs: z
    .int()
    .min(100)
    .max(86_400_000)
    .optional()
    .describe('Processor time of the workers that run the code of one job, milliseconds'),
  memoryMiB: z
    .int()
    .min(64)
    .max(65_536)
    .optional()
    .describe('Memory of each worker that runs the code, inside and outside of its heap, MiB'),
};

const rule = z.discriminatedUnion('mode', [
  z.strictObject({
    id,
    mode: z.literal('aggregate'),
    when,
    release: z.strictObject({
      minUnits,
      // `null` as YAML reads it, where nobody put it in quotes.
      smallGroups: z.union([z.enum(['drop', 'remainder', 'null', 'refuse']), z.null()]).optional(),
      dominance: z.strictObject({ n: z.int().min(1).max(100), share: z.number().gt(0).lt(1) }).optional(),
      maxRows: maxRows.optional(),
      maxBytes: maxBytes.optional(),
      differencing: z.enum(['guard', 'off']).optional().describe('Whether earlier answers are taken into account'),
    }),
  }),
  z.strictObject({
    id,
    mode: z.literal('differentialPrivacy'),
    when,
    release: z.strictObject({
      epsilonPerJob: epsilon,
      epsilonTotal: epsilon,
      epsilonDataset: epsilonDataset.optional(),
      accounting: z.enum(['pure', 'zcdp']).optional().describe('How the losses of several jobs add up'),
      delta: delta.optional(),
      deltaTotal: delta.optional().describe('The most delta that the jobs of one consumer may add up to'),
      maxRowsPerUnit: z.int().min(1).max(100_000),
      minUnits: minUnits.optional(),
      noise: z.enum(['laplace', 'gaussian']).optional(),
      per: duration.optional(),
      maxRows: maxRows.optional(),
    }),
  }),
  z.strictObject({
    id,
    mode: z.literal('homomorphic'),
    when,
    release: z.strictObject({
      schemes: list(z.enum(['bgv', 'bfv', 'ckks'])).optional(),
      securityBits: z.union([z.literal(128), z.literal(192), z.literal(256)]).optional(),
      programs: list(z.string().regex(/^[a-z][A-Za-z]*$/)),
      minUnits,
      maxQueries: z.int().min(1).optional(),
    }),
  }),
  z.strictObject({
    id,
    mode: z.literal('sandbox'),
    when,
    release: z.strictObject({
      methods: list(z.enum(['rowFunction', 'blocks', 'post'])),
      epsilonPerJob: epsilon,
      epsilonTotal: epsilon.optional(),
      epsilonDataset: epsilonDataset.optional(),
      accounting: z
        .enum(['pure', 'zcdp'])
        .optional()
        .describe('How the losses of several jobs add up; zcdp adds Gaussian noise, pure adds Laplace noise'),
      delta: delta.optional().describe('With zcdp: the delta at which losses are told as epsilon'),
      outputs: z.int().min(1).max(64),
      maxRowsPerUnit: z.int().min(1).max(100_000).optional(),
      tier: z.enum(['balanced', 'strict']).optional(),
      limits: z
        .strictObject({
          ...codeLimits,
          blocks: z.int().min(2).max(2000).optional().describe('Most blocks of a job of the method `blocks`'),
          rounds: z.int().min(1).max(100).optional().describe('Most rounds of an iterative job'),
        })
        .optional()
        .describe('What the code of one job may use, where it is less than the image allows'),
    }),
  }),
  z.strictObject({
    id,
    mode: z.literal('approvedCode'),
    when,
    release: z.strictObject({
      minUnits,
      maxRows,
      maxBytes: maxBytes.optional(),
      limits: z
        .strictObject(codeLimits)
        .optional()
        .describe('What the code of one job may use, where it is less than the image allows'),
    }),
  }),
]);

export const policyDocument = z.strictObject({
  apiVersion: z.literal('glovebox/v1'),
  kind: z.literal('UsagePolicy'),
  metadata: z.strictObject({
    dataset: datasetName,
    version: z.int().min(1).max(1_000_000).optional(),
    grade: grade.optional(),
    title: z.string().max(256).optional(),
    description: z.string().max(4096).optional(),
  }),
  ...table,
  tables: z.record(name, z.strictObject(table)).optional().describe('For a dataset of several tables'),
  defaults: z.strictObject(conditions).optional().describe('Conditions of every allow rule'),
  allow: z.array(rule).max(1000).optional().describe('What is allowed; nothing else is'),
  deny: z
    .array(z.strictObject({ id, mode: z.union([mode, z.enum(['export', 'raw', 'reuse', 'any'])]), when }))
    .max(1000)
    .optional(),
  duties: z
    .array(
      z.strictObject({
        do: z.enum(['log', 'notify', 'pay', 'delete', 'attribute']),
        on: z.enum(['before', 'release', 'after', 'denial']).optional(),
        to: z.string().max(256).optional(),
        what: z.string().max(256).optional(),
        within: duration.optional(),
        meter: z.string().max(64).optional(),
        unitPrice: money.optional(),
        currency: z
          .string()
          .regex(/^[A-Z]{3}$/, 'an ISO 4217 code, e.g. CNY')
          .optional(),
      }),
    )
    .max(1000)
    .optional(),
  onViolation: z
    .strictObject({
      stop: z.enum(['job', 'agreement']).optional(),
      alert: z.enum(['low', 'medium', 'high']).optional(),
    })
    .optional(),
});

export type PolicyDocument = z.infer<typeof policyDocument>;
export type UnitDocument = z.infer<typeof unit>;
export type TableDocument = z.infer<z.ZodObject<typeof table>>;
export type GrantDocument = z.infer<typeof grant>;
export type ConditionsDocument = z.infer<z.ZodObject<typeof conditions>>;
export type RuleDocument = z.infer<typeof rule>;
export type JoinStepDocument = z.infer<typeof joinStep>;
