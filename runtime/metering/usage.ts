/** What is measured about a job, by the runtime and never by the caller. All whole numbers. */
export const METERS = [
  'calls',
  'rowsScanned',
  'cellsReleased',
  'bytesReleased',
  'cpuMs',
  'wallMs',
  'heOps',
  'microEpsilon',
] as const;
export type Meter = (typeof METERS)[number];
export type Meters = Readonly<Record<Meter, number>>;

export const NO_USE: Meters = {
  calls: 0,
  rowsScanned: 0,
  cellsReleased: 0,
  bytesReleased: 0,
  cpuMs: 0,
  wallMs: 0,
  heOps: 0,
  microEpsilon: 0,
};

/** What one agreement has of a job: its price is asked for by its own plan. */
export type UsagePart = {
  readonly agreement: string;
  readonly provider: string;
  /** What the job costs under the agreement, minor units of `currency`; 0 without a price. */
  readonly chargeMinor: number;
  /** `XXX` when nothing is to be paid (ISO 4217: no currency). */
  readonly currency: string;
  /** The operator's part of the charge; the rest is the provider's. */
  readonly operatorMinor: number;
  /** Whether it was one of the agreement's free jobs. */
  readonly isFree: boolean;
  /** Rows of the agreement's dataset, as everybody may know them. */
  readonly rowsScanned: number;
  /** Privacy units of the agreement's dataset, as everybody may know them; absent in events of earlier versions. */
  readonly units?: number;
};

/** One job's use, before it becomes an event. */
export interface Usage {
  readonly job: string;
  readonly agreement: string;
  readonly consumer: string;
  readonly provider: string;
  readonly datasets: readonly string[];
  readonly atMs: number;
  readonly meters: Meters;
  /** What the job costs under its agreement, in minor units of `currency`; 0 without a price plan. */
  readonly chargeMinor: number;
  readonly currency: string;
  readonly parts: readonly UsagePart[];
}

/** A usage event in the JSON form of CloudEvents 1.0. Its id is the job's id: whoever sees it twice counts it once. */
export type UsageEvent = {
  readonly specversion: '1.0';
  readonly id: string;
  readonly source: string;
  readonly type: typeof USAGE_TYPE;
  readonly subject: string;
  readonly time: string;
  readonly datacontenttype: 'application/json';
  readonly data: {
    readonly agreement: string;
    readonly consumer: string;
    readonly provider: string;
    readonly datasets: readonly string[];
    readonly meters: Meters;
    /** Of all parts in `currency`. */
    readonly chargeMinor: number;
    readonly currency: string;
    /** One per agreement; absent in events of earlier versions, which had one. */
    readonly parts?: readonly UsagePart[];
  };
};

export const USAGE_TYPE = 'glovebox.usage.committed.v1';

/** A job's usage as an event; `source` names the runtime (a URI reference). Throws a RangeError for a meter that is not a count. */
export function usageEvent(usage: Usage, source: string): UsageEvent {
  const { job, agreement, consumer, provider, datasets, atMs, meters, chargeMinor, currency, parts } = usage;
  for (const meter of METERS) {
    if (!isCount(meters[meter])) throw new RangeError(`meter '${meter}' of job '${job}' cannot be ${meters[meter]}`);
  }
  if (!isCount(chargeMinor)) throw new RangeError(`job '${job}' cannot cost ${chargeMinor}`);
  for (const part of parts) {
    if (
      ![part.chargeMinor, part.operatorMinor, part.rowsScanned, part.units ?? 0].every(isCount) ||
      part.operatorMinor > part.chargeMinor
    )
      throw new RangeError(`job '${job}' has a part under '${part.agreement}' that cannot be`);
  }
  return {
    specversion: '1.0',
    id: job,
    source,
    type: USAGE_TYPE,
    subject: `agreement/${agreement}`,
    time: new Date(atMs).toISOString(),
    datacontenttype: 'application/json',
    data: { agreement, consumer, provider, datasets, meters: { ...NO_USE, ...meters }, chargeMinor, currency, parts },
  };
}

/** The sum of several jobs' meters. */
export function addMeters(one: Meters, other: Meters): Meters {
  const sum = { ...one };
  for (const meter of METERS) sum[meter] += other[meter];
  return sum;
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}
