import { HomomorphicFault } from './fault.ts';
import { bodyBytes } from './layout.ts';
import { segmentCount, type Plan } from './plan.ts';
import { outputShape, type ResultPart } from './run.ts';

const PART_HEAD_BYTES = 12;

/** Result parts as bytes: `u32le output | u32le segment | u32le length | residues` for each, in order. */
export function writeResult(parts: readonly ResultPart[]): Uint8Array {
  const bytes = Buffer.alloc(parts.reduce((sum, part) => sum + PART_HEAD_BYTES + part.body.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    bytes.writeUInt32LE(part.output, at);
    bytes.writeUInt32LE(part.segment, at + 4);
    bytes.writeUInt32LE(part.body.byteLength, at + 8);
    bytes.set(part.body, at + PART_HEAD_BYTES);
    at += PART_HEAD_BYTES + part.body.byteLength;
  }
  return bytes;
}

/** Reads result parts from untrusted bytes: exactly the outputs, segments and lengths that the plan can have. */
export function readResult(plan: Plan, bytes: Uint8Array): readonly ResultPart[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const parts: ResultPart[] = [];
  let last: ResultPart | null = null;
  for (let at = 0; at < bytes.byteLength;) {
    if (bytes.byteLength - at < PART_HEAD_BYTES) throw bad();
    const [output, segment, length] = [
      view.getUint32(at, true),
      view.getUint32(at + 4, true),
      view.getUint32(at + 8, true),
    ];
    const planned = plan.outputs[output];
    if (planned === undefined || segment >= segmentCount(plan, planned)) throw bad();
    const isNext =
      last === null
        ? segment === 0
        : output === last.output
          ? segment === last.segment + 1
          : output > last.output && segment === 0;
    if (!isNext || length !== bodyBytes(outputShape(plan, planned)) || bytes.byteLength - at - PART_HEAD_BYTES < length)
      throw bad();
    last = { output, segment, body: bytes.subarray(at + PART_HEAD_BYTES, at + PART_HEAD_BYTES + length) };
    parts.push(last);
    at += PART_HEAD_BYTES + length;
  }
  return parts;
}

function bad(): HomomorphicFault {
  return new HomomorphicFault('bad-ciphertext', 'these bytes are not a result of this program');
}
