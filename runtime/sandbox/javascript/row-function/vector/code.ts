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

  /** The function's body with so many vectors as locals. */
  body(locals: number): Uint8Array {
    const head = new Code();
    head.raw(1);
    head.#leb(locals);
    head.raw(0x7b);
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
