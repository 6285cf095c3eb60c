/**
 * Compressed requests. grpc-js unpacks every message of a chunk at once, whoever waits for it: four kilobytes become
 * four megabytes, and a party's streams together gigabytes, while only what came over the wire was counted.
 */
import type { ServerInterceptingCallInterface, StatusObject } from '@grpc/grpc-js';

/** How grpc-js unpacks one message of a call. */
type Unpack = (message: Buffer, encoding: string) => Buffer | Promise<Buffer>;

export class Unpacking {
  /** What each party waits for: one message of a party is unpacked at a time. */
  readonly #turns = new Map<string, Promise<unknown>>();

  /**
   * Lets a call unpack only in its party's turn, and only while `mayHold` says yes to the length of what came out.
   * `partyOf`: null while nobody is admitted. Answers what was counted for each message. Throws when grpc-js no longer
   * has what is replaced here.
   */
  guard(
    call: ServerInterceptingCallInterface,
    partyOf: () => string | null,
    mayHold: (bytes: number) => boolean,
    refusal: StatusObject,
  ): WeakMap<Buffer, number> {
    const counted = new WeakMap<Buffer, number>();
    const inner = call as { decompressMessage?: Unpack };
    const unpack = inner.decompressMessage?.bind(call);
    if (unpack === undefined) throw new Error('grpc-js unpacks messages in another way');
    inner.decompressMessage = (message, encoding) => {
      const party = partyOf();
      if (encoding === 'identity' || party === null) return unpack(message, encoding);
      return this.#inTurn(party, async () => {
        // Whoever holds too much already gets nothing more unpacked.
        if (!mayHold(0)) throw refusal;
        const unpacked = await unpack(message, encoding);
        counted.set(unpacked, unpacked.length);
        if (!mayHold(unpacked.length)) throw refusal;
        return unpacked;
      });
    };
    return counted;
  }

  #inTurn<T>(party: string, work: () => Promise<T>): Promise<T> {
    const turn = (this.#turns.get(party) ?? Promise.resolve()).then(work);
    const settled = turn.catch(() => undefined);
    this.#turns.set(party, settled);
    void settled.then(() => {
      if (this.#turns.get(party) === settled) this.#turns.delete(party);
    });
    return turn;
  }
}
