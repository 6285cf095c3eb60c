/** All bytes of a stream, and what it returned at its end. */
export async function collect<T>(
  stream: AsyncGenerator<Uint8Array, T>,
): Promise<{ readonly bytes: Uint8Array; readonly value: T }> {
  const chunks: Uint8Array[] = [];
  for (;;) {
    const step = await stream.next();
    if (step.done === true) return { bytes: Buffer.concat(chunks), value: step.value };
    chunks.push(step.value);
  }
}
