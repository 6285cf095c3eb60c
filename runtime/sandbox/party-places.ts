/** Counts the workers that each party holds, so that none holds all of them and no job waits for ever for its second one. */
export class PartyPlaces {
  readonly #limits: { readonly maxWorkers: number; readonly maxPerParty: number };
  readonly #held = new Map<string, number>();
  /** Of them those whose job needs a second worker before it ends. */
  readonly #holding = new Map<string, number>();

  constructor(limits: { readonly maxWorkers: number; readonly maxPerParty: number }) {
    this.#limits = limits;
  }

  /** Workers that all parties hold. */
  get total(): number {
    return sum(this.#held);
  }

  /** Workers that this party holds. */
  of(party: string): number {
    return this.#held.get(party) ?? 0;
  }

  /**
   * Whether the party may have one more. A job that runs code holds its worker while another one reads rows for it. Of the
   * places of a party, and of all places, one is kept from such holders: else jobs that all hold and all wait for a reader
   * would wait for each other.
   */
  mayTake(party: string, needsSecond: boolean): boolean {
    const { maxWorkers, maxPerParty } = this.#limits;
    if (this.of(party) >= maxPerParty) return false;
    if (!needsSecond) return true;
    const mine = this.#holding.get(party) ?? 0;
    return mine < Math.max(1, maxPerParty - 1) && sum(this.#holding) < Math.max(1, maxWorkers - 1);
  }

  take(party: string, needsSecond: boolean): void {
    add(this.#held, party, 1);
    if (needsSecond) add(this.#holding, party, 1);
  }

  giveBack(party: string, needsSecond: boolean): void {
    add(this.#held, party, -1);
    if (needsSecond) add(this.#holding, party, -1);
  }
}

function sum(counts: ReadonlyMap<string, number>): number {
  let all = 0;
  for (const held of counts.values()) all += held;
  return all;
}

function add(counts: Map<string, number>, party: string, by: number): void {
  const held = (counts.get(party) ?? 0) + by;
  if (held <= 0) counts.delete(party);
  else counts.set(party, held);
}
