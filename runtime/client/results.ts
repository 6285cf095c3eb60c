import type { RecordBatch, Table } from 'apache-arrow';
import type { CallOptions } from '../rpc/call.ts';
import { codecOf } from '../rpc/translate.ts';
import type { Channel } from './channel.ts';

const DO_GET = '/arrow.flight.protocol.FlightService/DoGet';

/** Streams the record batches behind a ticket; the ticket is used up with the first byte. */
export async function* readBatches(
  channel: Channel,
  ticket: Uint8Array,
  options?: CallOptions,
): AsyncGenerator<RecordBatch, void, void> {
  // Arrow's library takes a while to load and most calls do not need it.
  const { FlightReader } = await import('../rpc/flight-framing.ts');
  const reader = new FlightReader();
  const request = codecOf('arrow.flight.protocol.Ticket').encode({ ticket });
  for await (const message of channel.serverStream(DO_GET, request, options)) {
    const batch = reader.read(message);
    if (batch !== null) yield batch;
  }
}

/** Reads everything behind a ticket as one Arrow table. */
export async function readTable(channel: Channel, ticket: Uint8Array, options?: CallOptions): Promise<Table> {
  const request = codecOf('arrow.flight.protocol.Ticket').encode({ ticket });
  return await tableOf(channel.serverStream(DO_GET, request, options));
}

/** One Arrow table of the messages of a result, schema first. */
export async function tableOf(messages: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<Table> {
  const { FlightReader } = await import('../rpc/flight-framing.ts');
  const { Table } = await import('apache-arrow');
  const reader = new FlightReader();
  const batches: RecordBatch[] = [];
  for await (const message of messages) {
    const batch = reader.read(message);
    if (batch !== null) batches.push(batch);
  }
  return reader.schema === null ? new Table() : new Table(reader.schema, batches);
}
