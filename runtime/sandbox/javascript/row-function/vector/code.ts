/** The instructions of one function as bytes, appended one after the other. */
export class Code {
  #bytes = Buffer.allocUnsafe(4096);
  #length = 0;

  /** Bytes as they are: at most a few. */
  raw(...bytes: readonly number[]): void {
    for (const byte of bytes) this.#byte(byte);
  }

  get(local: number): void {
    this.#byte(0x20);
    this.#leb(local);
  }

  set(local: number): void {
    this.#byte(0x21);
    this.#leb(local);
  }

  tee(local: number): void {
    this.#byte(0x22);
    this.#leb(local);
  }

  /** A whole number from 0 to 2^31 − 1. */
  int32(value: number): void {
    this.#byte(0x41);
    let rest = value;
    for (; rest >= 64; rest >>= 7) this.#byte((rest & 127) | 128);
    this.#byte(rest);
  }

  int64(value: bigint): void {
    this.#byte(0x42);
    for (let rest = value; ; rest >>= 7n) {
      const low = Number(rest & 127n);
      const isLast = rest >> 6n === (rest < 0n ? -1n : 0n);
      this.#byte(isLast ? low : low | 128);
      if (isLast) return;
    }
  }

  float64(value: number): void {
    this.#byte(0x44);
    this.#room(8);
    this.#bytes.writeDoubleLE(value, this.#length);
    this.#length += 8;
  }

  simd(opcode: number): void {
    this.#byte(0xfd);
    this.#leb(opcode);
  }

  /** A vector operation on memory, so many bytes behind the address; nothing is promised of how it is aligned. */
  access(opcode: number, offset: number): void {
    this.simd(opcode);
    this.#byte(0);
    this.#leb(offset);
  }

  constant(low: bigint, high: bigint): void {
    this.simd(0x0c);
    this.#room(16);
    this.#bytes.writeBigUInt64LE(low, this.#length);
    this.#bytes.writeBigUInt64LE(high, this.#length + 8);
    this.#length += 16;
  }

  /** The function's body with so many locals of one type, and its length in front. */
  functionBody(locals: number, type: number): Uint8Array {
    const body = this.#body(locals, type);
    const length = new Code();
    length.#leb(body.length);
    return Buffer.concat([length.#bytes.subarray(0, length.#length), body]);
  }

  #body(locals: number, type: number): Uint8Array {
    const head = new Code();
    head.raw(1);
    head.#leb(locals);
    head.raw(type);
    return Buffer.concat([head.#bytes.subarray(0, head.#length), this.#bytes.subarray(0, this.#length)]);
  }

  #leb(value: number): void {
    let rest = value;
    for (; rest >= 128; rest >>>= 7) this.#byte((rest & 127) | 128);
    this.#byte(rest);
  }

  #byte(value: number): void {
    this.#room(1);
    this.#bytes[this.#length] = value;
    this.#length += 1;
  }

  #room(bytes: number): void {
    if (this.#length + bytes <= this.#bytes.length) return;
    this.#bytes = Buffer.concat([this.#bytes], 2 * this.#bytes.length);
  }
}
