/**
 * How a block (or a whole program) ended. Only the gateway and the operator's log see it: to a consumer every status but
 * `ok` is the same, and in `blocks` it is silently the declared default.
 */
export const blockStatuses = [
  'failed',
  'ok',
  'wrongType',
  'wrongShape',
  'threw',
  'timeout',
  'memory',
  'notCompiled',
  'lost',
] as const;
export type BlockStatus = (typeof blockStatuses)[number];

/** Returns the byte of a status on the wire. */
export function statusByte(status: BlockStatus): number {
  return blockStatuses.indexOf(status);
}

/** Returns the status of a byte, or undefined for a byte that no worker of ours sends; `lost` is only ever said here. */
export function statusOf(byte: number | undefined): BlockStatus | undefined {
  const status = byte === undefined ? undefined : blockStatuses[byte];
  return status === 'lost' ? undefined : status;
}
