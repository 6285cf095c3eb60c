import { Socket } from 'node:net';
import {
  FrameDecoder,
  channelLimits,
  closeStrayDescriptors,
  dataPayloads,
  frameType,
  jsonPayload,
  writeFrame,
  type Frame,
  type FrameType,
} from './channel.ts';

/** The worker's end: `for await (const frame of channel.frames())` and `await channel.send(...)`. */
export class WorkerChannel {
  readonly #input: Socket;
  readonly #output: Socket;
  #last: Promise<void> = Promise.resolve();

  constructor(fds: { readonly input: number; readonly output: number } = { input: 3, output: 4 }) {
    closeStrayDescriptors();
    this.#input = new Socket({ fd: fds.input, readable: true, writable: false });
    this.#output = new Socket({ fd: fds.output, readable: false, writable: true });
    this.#output.on('error', () => process.exit(0)); // the gateway is gone: nobody to answer to
  }

  /** Frames from the gateway; ends when the gateway closes its end. */
  async *frames(): AsyncGenerator<Frame, void, void> {
    const decoder = new FrameDecoder();
    for await (const chunk of this.#input) {
      for (const frame of decoder.push(chunk as Buffer)) {
        if (frame.type === frameType.PING) await this.send(frameType.PONG, frame.payload);
        else yield frame;
      }
    }
  }

  /** Sends one frame and resolves when the pipe took it, so that awaiting each send bounds the memory. */
  send(type: FrameType, payload: Uint8Array): Promise<void> {
    this.#last = this.#last.then(() => writeFrame(this.#output, type, payload));
    return this.#last;
  }

  /** Sends one JSON frame. */
  sendJson(type: FrameType, value: unknown): Promise<void> {
    return this.send(type, jsonPayload(value));
  }

  /** Sends bytes of any length as DATA frames. */
  async sendData(bytes: Uint8Array): Promise<void> {
    for (const part of dataPayloads(bytes)) await this.send(frameType.DATA, part);
  }

  /** Tells the gateway that this worker can take a job. */
  ready(details: Readonly<Record<string, unknown>> = {}): Promise<void> {
    return this.sendJson(frameType.READY, { protocol: channelLimits.protocol, node: process.version, ...details });
  }
}
