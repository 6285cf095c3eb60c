/** A waiting line in which parties take turns: whoever has least in hand goes first, then whoever waited longest for a turn. */
export class FairQueue<T extends { readonly party: string }> {
  readonly #lines = new Map<string, T[]>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  add(item: T): void {
    const line = this.#lines.get(item.party);
    if (line === undefined) this.#lines.set(item.party, [item]);
    else line.push(item);
    this.#size += 1;
  }

  /** Removes an item; false when it was not waiting. `wasServed` moves its party to the end of the turns. */
  remove(item: T, options: { readonly wasServed: boolean } = { wasServed: false }): boolean {
    const line = this.#lines.get(item.party);
    const index = line?.indexOf(item) ?? -1;
    if (line === undefined || index === -1) return false;
    line.splice(index, 1);
    this.#size -= 1;
    if (line.length === 0 || options.wasServed) this.#lines.delete(item.party);
    if (line.length > 0 && options.wasServed) this.#lines.set(item.party, line);
    return true;
  }

  /** Every waiting item in the order in which they should be served: first items of all parties, then second ones, … */
  inTurn(inHand: (party: string) => number): readonly T[] {
    const lines = [...this.#lines].map(([party, items]) => ({ items, inHand: inHand(party) }));
    const ordered: { readonly item: T; readonly round: number }[] = [];
    for (const { items, inHand: held } of lines) {
      for (const [index, item] of items.entries()) ordered.push({ item, round: held + index });
    }
    return ordered.toSorted((a, b) => a.round - b.round).map(({ item }) => item);
  }
}
