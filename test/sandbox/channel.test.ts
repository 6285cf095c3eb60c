import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from '../property.ts';
import {
  ChannelError,
  FrameDecoder,
  channelLimits,
  dataPayloads,
  encodeFrame,
  frameType,
  jsonPayload,
  parseJsonPayload,
  payloadLimit,
  type Frame,
} from '../../runtime/sandbox/channel.ts';

const types = Object.values(frameType);
const frames = fc.array(fc.record({ type: fc.constantFrom(...types), payload: fc.uint8Array({ maxLength: 300 }) }), {
  maxLength: 12,
});

function cut(bytes: Buffer, sizes: readonly number[]): readonly Buffer[] {
  const pieces: Buffer[] = [];
  let at = 0;
  for (let turn = 0; at < bytes.length; turn += 1) {
    const size = sizes.length === 0 ? bytes.length : sizes[turn % sizes.length]!;
    pieces.push(bytes.subarray(at, at + size));
    at += size;
  }
  return pieces;
}

test('frames arrive as they were sent, however the bytes are cut', () => {
  fc.assert(
    fc.property(frames, fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 5 }), (sent, sizes) => {
      const bytes = Buffer.concat(sent.flatMap(({ type, payload }) => [...encodeFrame(type, payload)]));
      const decoder = new FrameDecoder();
      const received = cut(bytes, sizes).flatMap((piece): readonly Frame[] => decoder.push(piece));
      assert.deepEqual(
        received.map(({ type, payload }) => ({ type, payload: [...payload] })),
        sent.map(({ type, payload }) => ({ type, payload: [...payload] })),
      );
      assert.equal(decoder.isMidFrame, false);
    }),
  );
});

test('random bytes are either frames or a refusal that lasts, never anything else', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 10 }), (pieces) => {
      const decoder = new FrameDecoder();
      let isRefused = false;
      for (const piece of pieces) {
        try {
          for (const frame of decoder.push(Buffer.from(piece))) assert.ok(types.includes(frame.type));
          assert.equal(isRefused, false);
        } catch (error) {
          assert.ok(error instanceof ChannelError);
          isRefused = true;
        }
      }
    }),
  );
});

test('a header that promises too much is refused before its payload comes', () => {
  for (const type of types) {
    const header = Buffer.alloc(5);
    header.writeUInt32LE(payloadLimit(type) + 1, 0);
    header[4] = type;
    assert.throws(() => new FrameDecoder().push(header), ChannelError);
    assert.throws(() => encodeFrame(type, { byteLength: payloadLimit(type) + 1 } as Uint8Array), ChannelError);
  }
});

test('bytes of any length are cut into frames of legal size', () => {
  const bytes = new Uint8Array(2 * channelLimits.dataFrameBytes + 1);
  assert.deepEqual(
    [...dataPayloads(bytes)].map((part) => part.length),
    [channelLimits.dataFrameBytes, channelLimits.dataFrameBytes, 1],
  );
});

test('a control payload is a JSON object of bounded depth, or refused', () => {
  assert.deepEqual(parseJsonPayload(jsonPayload({ a: [1] })), { a: [1] });
  const deep = `${'{"a":'.repeat(40)}1${'}'.repeat(40)}`;
  const long = `{"a":${'['.repeat(500_000)}`;
  for (const text of ['', 'null', '[]', '1', '"x"', '{', '{"a":1}}', deep, long]) {
    assert.throws(() => parseJsonPayload(Buffer.from(text)), ChannelError, text.slice(0, 20));
  }
  assert.throws(() => parseJsonPayload(Buffer.from([0x7b, 0xff, 0x7d])), ChannelError);
});
