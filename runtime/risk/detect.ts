/** What happened to one job, as far as risk is concerned: no row, no result, no text. */
export interface Decided {
  readonly atMs: number;
  /** Hour of the day where the runtime is, 0 to 23. */
  readonly hour: number;
  readonly party: string;
  readonly datasets: readonly string[];
  readonly verdict: 'permit' | 'deny';
  /** Reason codes of a denial. */
  readonly codes: readonly string[];
  /** Digest of the question. */
  readonly question: string;
  /** Digest of what the question is about, without its constants and spelling (shape.ts). */
  readonly shape: string;
  /** Digest of code that the party wrote; null when it wrote none. */
  readonly code: string | null;
  /** What the job draws on, of which limit; limits that nobody reaches are left out. */
  readonly draws: readonly { readonly budget: string; readonly amount: bigint; readonly limit: bigint }[];
  /** What the policy wants alerted when a deny rule is hit. */
  readonly violationAs: Severity;
}

export const SEVERITIES = ['low', 'medium', 'high'] as const;
export type Severity = (typeof SEVERITIES)[number];

export const DETECTORS = [
  'denial-burst',
  'rule-hit',
  'differencing-pattern',
  'budget-burn',
  'new-code',
  'odd-hour',
] as const;
export type Detector = (typeof DETECTORS)[number];

export interface Finding {
  readonly detector: Detector;
  readonly severity: Severity;
  readonly party: string;
  /** Empty when it is about the party as a whole. */
  readonly dataset: string;
  /** What was counted: denials, questions, percent of a budget. */
  readonly count: number;
}

/** When a detector speaks. */
export interface RiskLimits {
  readonly denials: { readonly medium: number; readonly high: number; readonly withinMs: number };
  /** Different questions of one shape over one dataset that were answered. */
  readonly differencing: { readonly medium: number; readonly high: number; readonly withinMs: number };
  /** Different questions of any shape of one party over one dataset that were answered. */
  readonly questions: { readonly medium: number; readonly high: number; readonly withinMs: number };
  /** Percent of a budget drawn. */
  readonly burn: { readonly medium: number; readonly high: number; readonly withinMs: number };
  /** Jobs of a party before its hours are known. */
  readonly knownAfter: number;
  /** The same finding is not told again before. */
  readonly againAfterMs: number;
}

const HOUR_MS = 3_600_000;
export const DEFAULT_RISK_LIMITS: RiskLimits = {
  denials: { medium: 10, high: 50, withinMs: HOUR_MS / 6 },
  differencing: { medium: 12, high: 60, withinMs: HOUR_MS },
  questions: { medium: 200, high: 500, withinMs: HOUR_MS },
  burn: { medium: 50, high: 80, withinMs: HOUR_MS },
  knownAfter: 30,
  againAfterMs: HOUR_MS,
};

/** Keys that one table remembers; the one that was quiet longest is forgotten. */
export const MAX_REMEMBERED = 20_000;
/** Events of one key inside its window; more are not counted one by one. */
const MAX_EVENTS = 512;

/**
 * Watches the stream of decisions for what single decisions do not show. It holds no clock and no text, bounds what it
 * remembers, and never decides: a finding is told to people, a job is refused by policies and budgets alone.
 */
export class RiskDetectors {
  readonly #limits: RiskLimits;
  readonly #denials = new Windows<string>();
  readonly #shapes = new Windows<string>();
  readonly #questions = new Windows<string>();
  /** Of all parties together, by who asked. */
  readonly #together = new Windows<{ readonly party: string; readonly question: string }>();
  readonly #draws = new Windows<bigint>((older, newer) => older + newer);
  readonly #codes = new Remembered<true>();
  readonly #hours = new Remembered<{ jobs: number; readonly perHour: number[] }>();
  readonly #told = new Remembered<{ readonly severity: number; readonly atMs: number }>();

  constructor(limits: RiskLimits = DEFAULT_RISK_LIMITS) {
    this.#limits = limits;
  }

  /** What is worth telling about this decision after those before it; the same is told once in `againAfterMs`. */
  observe(decided: Decided): readonly Finding[] {
    return this.#found(decided).filter((finding) => this.#isNews(finding, decided.atMs));
  }

  /** Takes in a decision of before a restart, oldest first, and tells nothing. */
  remember(decided: Decided): void {
    this.#found(decided);
  }

  /** Takes in what was told before a restart, oldest first: it is not told again too soon. */
  rememberTold(finding: Pick<Finding, 'detector' | 'severity' | 'party' | 'dataset'>, atMs: number): void {
    this.#isNews(finding, atMs);
  }

  #found(decided: Decided): readonly Finding[] {
    return [
      ...this.#denied(decided),
      ...this.#differing(decided),
      ...this.#burning(decided),
      ...this.#newCode(decided),
      ...this.#oddHour(decided),
    ];
  }

  #denied({ verdict, party, codes, atMs, question, datasets, violationAs }: Decided): Finding[] {
    if (verdict !== 'deny') return [];
    const { withinMs, ...steps } = this.#limits.denials;
    const { length } = this.#denials.add(party, question, atMs, withinMs);
    const severity = severityOf(length, steps);
    const hit = { detector: 'rule-hit', severity: violationAs, party, dataset: datasets[0] ?? '', count: 1 } as const;
    return [
      ...(severity === null
        ? []
        : [{ detector: 'denial-burst', severity, party, dataset: '', count: length } as const]),
      ...(codes.includes('rule-forbids') ? [hit] : []),
    ];
  }

  /**
   * One dataset asked the same again and again with other constants: how differences are taken. Also by several parties
   * together, who are told under no name (their own findings have names), with twice the patience; and a party that asks
   * very many questions, however it shapes them.
   */
  #differing(decided: Decided): Finding[] {
    if (decided.verdict !== 'permit') return [];
    return decided.datasets.flatMap((dataset) => {
      const found = this.#mostSevere([
        this.#repeated(this.#shapes, decided, dataset, decided.shape, this.#limits.differencing),
        this.#repeated(this.#questions, decided, dataset, '', this.#limits.questions),
      ]);
      return [...found, ...this.#colluding(decided, dataset)];
    });
  }

  #repeated(
    windows: Windows<string>,
    { party, question, atMs }: Decided,
    dataset: string,
    shape: string,
    { withinMs, ...steps }: RiskLimits['questions'],
  ): Finding[] {
    const count = new Set(windows.add(keyOf(party, dataset, shape), question, atMs, withinMs)).size;
    const severity = severityOf(count, steps);
    return severity === null ? [] : [{ detector: 'differencing-pattern', severity, party, dataset, count }];
  }

  #colluding({ party, question, shape, atMs }: Decided, dataset: string): Finding[] {
    const { withinMs, medium, high } = this.#limits.differencing;
    const asked = this.#together.add(keyOf(dataset, shape), { party, question }, atMs, withinMs);
    if (new Set(asked.map((one) => one.party)).size < 2) return [];
    const count = new Set(asked.map((one) => one.question)).size;
    const severity = severityOf(count, { medium: 2 * medium, high: 2 * high });
    return severity === null ? [] : [{ detector: 'differencing-pattern', severity, party: '', dataset, count }];
  }

  #mostSevere(found: readonly (readonly Finding[])[]): readonly Finding[] {
    return found
      .flat()
      .toSorted((a, b) => SEVERITIES.indexOf(b.severity) - SEVERITIES.indexOf(a.severity))
      .slice(0, 1);
  }

  #burning({ verdict, party, datasets, draws, atMs }: Decided): Finding[] {
    if (verdict !== 'permit') return [];
    const { withinMs, ...steps } = this.#limits.burn;
    return draws.flatMap(({ budget, amount, limit }) => {
      if (amount <= 0n || limit <= 0n) return [];
      const drawn = this.#draws.add(budget, amount, atMs, withinMs).reduce((sum, one) => sum + one, 0n);
      // One job alone may be all that a small budget is for.
      if (drawn === amount) return [];
      const count = Number((drawn * 100n) / limit);
      const severity = severityOf(count, steps);
      return severity === null
        ? []
        : [{ detector: 'budget-burn', severity, party, dataset: datasets[0] ?? '', count } as const];
    });
  }

  #newCode({ verdict, party, datasets, code }: Decided): Finding[] {
    if (verdict !== 'permit' || code === null) return [];
    return datasets.flatMap((dataset) => {
      const key = keyOf(dataset, code);
      if (this.#codes.get(key) !== undefined) return [];
      this.#codes.set(key, true);
      return [{ detector: 'new-code', severity: 'low', party, dataset, count: 1 } as const];
    });
  }

  /** An hour at which the party has never worked, once its hours are known. */
  #oddHour({ party, hour }: Decided): Finding[] {
    const known = this.#hours.get(party) ?? { jobs: 0, perHour: Array.from({ length: 24 }, () => 0) };
    const near = [hour + 23, hour, hour + 1].reduce((sum, one) => sum + (known.perHour[one % 24] ?? 0), 0);
    const isOdd = known.jobs >= this.#limits.knownAfter && near === 0;
    known.jobs += 1;
    known.perHour[hour] = (known.perHour[hour] ?? 0) + 1;
    this.#hours.set(party, known);
    return isOdd ? [{ detector: 'odd-hour', severity: 'low', party, dataset: '', count: hour }] : [];
  }

  #isNews({ detector, party, dataset, severity }: Omit<Finding, 'count'>, atMs: number): boolean {
    const key = keyOf(detector, party, dataset);
    const told = this.#told.get(key);
    const rank = SEVERITIES.indexOf(severity);
    if (told !== undefined && told.severity >= rank && atMs - told.atMs < this.#limits.againAfterMs) return false;
    this.#told.set(key, { severity: rank, atMs });
    return true;
  }
}

function severityOf(count: number, steps: { readonly medium: number; readonly high: number }): Severity | null {
  if (count >= steps.high) return 'high';
  return count >= steps.medium ? 'medium' : null;
}

/** No choice of names makes two keys one. */
const keyOf = (...parts: readonly string[]): string => JSON.stringify(parts);

/** A map that forgets what was not written for longest. */
class Remembered<T> {
  readonly #entries = new Map<string, T>();

  get(key: string): T | undefined {
    return this.#entries.get(key);
  }

  set(key: string, value: T): void {
    this.#entries.delete(key);
    this.#entries.set(key, value);
    if (this.#entries.size <= MAX_REMEMBERED) return;
    const oldest = this.#entries.keys().next();
    if (oldest.done !== true) this.#entries.delete(oldest.value);
  }
}

/** What happened lately, by key. Beyond MAX_EVENTS the oldest is forgotten, or made one with the next where that can be. */
class Windows<T> {
  readonly #events = new Remembered<{ readonly atMs: number; readonly value: T }[]>();
  readonly #join: ((older: T, newer: T) => T) | null;

  constructor(join: ((older: T, newer: T) => T) | null = null) {
    this.#join = join;
  }

  /** Adds an event; answers what lies inside the window now, oldest first. */
  add(key: string, value: T, atMs: number, withinMs: number): readonly T[] {
    const recent = (this.#events.get(key) ?? []).filter((one) => atMs - one.atMs < withinMs);
    recent.push({ atMs, value });
    if (recent.length > MAX_EVENTS) {
      const [oldest] = recent.splice(0, 1);
      const next = recent[0];
      // Many small draws are not to be fewer than they were: what is joined counts for as long as the newer of the two.
      if (this.#join !== null && oldest !== undefined && next !== undefined)
        recent[0] = { atMs: next.atMs, value: this.#join(oldest.value, next.value) };
    }
    this.#events.set(key, recent);
    return recent.map((one) => one.value);
  }
}
