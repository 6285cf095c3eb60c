import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { connect, type Glovebox } from '../../runtime/client/connect.ts';
import type { CredentialBundle } from '../../runtime/identity/credential.ts';
import {
  callHeaders,
  END_HEADERS,
  END_STREAM,
  field,
  FRAME,
  frame,
  NEWEST_INDEXED,
  type RawConnection,
  rawConnection,
} from './raw-frames.ts';
import { type SmallRuntime, startSmallRuntime } from './small-runtime.ts';

const HEADERS = callHeaders('/glovebox.v1.PartyService/WhoAmI');
const CANCEL = Buffer.of(0, 0, 0, 8);
const many = (count: number, make: (at: number) => Buffer): Buffer =>
  Buffer.concat(Array.from({ length: count }, (_, at) => make(at)));
/** Streams of a client have odd numbers. */
const streamOf = (at: number): number => 2 * at + 1;

let runtime: SmallRuntime;
let insider: CredentialBundle;
let honest: Glovebox;
before(async () => {
  runtime = await startSmallRuntime();
  insider = await runtime.addParty('insider');
  honest = connect({ credential: await runtime.addParty('honest') });
});
after(() => {
  honest.close();
  runtime.close();
});

interface Attack {
  readonly name: string;
  /** One turn; it is repeated until the connection is over or `turns` are done. */
  readonly turn: (at: number) => Buffer;
  readonly turns: number;
  readonly first?: Buffer;
  /** Whether the sender reads what it is told; who does not must not fill our memory. */
  readonly isDeaf?: boolean;
}

/** Those that only make sense as an attack: the connection is ended. */
const CUT_OFF: readonly Attack[] = [
  {
    name: 'streams that are opened and reset at once (CVE-2023-44487)',
    turn: (turn) =>
      many(100, (at) => {
        const stream = streamOf(turn * 100 + at);
        return Buffer.concat([
          frame(FRAME.headers, END_HEADERS, stream, HEADERS),
          frame(FRAME.reset, 0, stream, CANCEL),
        ]);
      }),
    turns: 50,
  },
  {
    name: 'streams on which the server is made to reset (CVE-2025-8671)',
    turn: (turn) =>
      many(100, (at) => {
        const stream = streamOf(turn * 100 + at);
        return Buffer.concat([
          frame(FRAME.headers, END_HEADERS, stream, HEADERS),
          frame(FRAME.window, 0, stream, Buffer.alloc(4)),
        ]);
      }),
    turns: 50,
  },
  {
    name: 'a header block that goes on and on (CVE-2024-27983)',
    first: frame(FRAME.headers, 0, 1, HEADERS),
    turn: (turn) => frame(FRAME.continuation, 0, 1, field(`x-${turn}`, 'a'.repeat(4000))),
    turns: 2000,
  },
  {
    name: 'a header block of empty parts',
    first: frame(FRAME.headers, 0, 1, HEADERS),
    turn: () => many(500, () => frame(FRAME.continuation, 0, 1)),
    turns: 200,
  },
  {
    name: 'settings whose acknowledgement nobody reads',
    turn: () => many(1000, () => frame(FRAME.settings, 0, 0)),
    turns: 2000,
    isDeaf: true,
  },
  {
    name: 'pings whose answers nobody reads',
    turn: () => many(1000, () => frame(FRAME.ping, 0, 0, Buffer.alloc(8))),
    turns: 2000,
    isDeaf: true,
  },
  {
    name: 'a window that is larger than windows can be',
    turn: () => frame(FRAME.window, 0, 0, Buffer.of(0x7f, 0xff, 0xff, 0xff)),
    turns: 200,
  },
  {
    name: 'frames of a stream that was never opened',
    turn: () => many(100, () => frame(FRAME.data, 0, 99, Buffer.alloc(10))),
    turns: 200,
  },
];

/** Those that an honest client could send, too, though not so many: they may cost their sender time, and nobody else. */
const ENDURED: readonly Attack[] = [
  {
    name: 'headers that are small on the wire and large in memory',
    first: frame(
      FRAME.headers,
      END_HEADERS | END_STREAM,
      1,
      Buffer.concat([HEADERS, field('x-large', 'a'.repeat(3900), true)]),
    ),
    turn: (turn) =>
      many(10, (at) =>
        frame(
          FRAME.headers,
          END_HEADERS | END_STREAM,
          streamOf(1 + turn * 10 + at),
          Buffer.concat([HEADERS, Buffer.alloc(12_000, NEWEST_INDEXED)]),
        ),
      ),
    turns: 5,
  },
  {
    name: 'windows that grow byte by byte',
    turn: () => many(1000, () => frame(FRAME.window, 0, 0, Buffer.of(0, 0, 0, 1))),
    turns: 20,
  },
  {
    name: 'empty parts of a request',
    first: frame(FRAME.headers, END_HEADERS, 1, HEADERS),
    turn: () => many(1000, () => frame(FRAME.data, 0, 1)),
    turns: 20,
  },
];

describe('an insider that misuses HTTP/2', () => {
  for (const attack of CUT_OFF) {
    it(`is cut off: ${attack.name}`, async () => {
      const raw = await rawConnection(runtime.server.port, insider);
      const sent = await run(raw, attack);
      await raw.closed;
      assert.ok(sent < attack.turns, `${sent} of ${attack.turns} turns were taken`);
      await honest.parties.whoAmI({});
    });
  }
  for (const attack of ENDURED) {
    it(`holds up nobody else: ${attack.name}`, async () => {
      const raw = await rawConnection(runtime.server.port, insider);
      await Promise.all([run(raw, attack), honest.parties.whoAmI({})]);
      raw.socket.destroy();
      await honest.parties.whoAmI({});
    });
  }
});

it('somebody without a certificate hears a few refusals, one by one, and is then cut off', async () => {
  const raw = await rawConnection(runtime.server.port, null);
  const heard: Buffer[] = [];
  const answers = (): number => typesOf(Buffer.concat(heard)).filter((type) => type === FRAME.headers).length;
  let asked = 0;
  const ask = (): void => {
    asked += 1;
    void raw.send(frame(FRAME.headers, END_HEADERS | END_STREAM, streamOf(asked), HEADERS));
  };
  raw.socket.on('data', (chunk: Buffer) => {
    heard.push(chunk);
    if (answers() === asked && asked < 200) ask();
  });
  ask();
  await raw.closed;
  assert.ok(answers() > 3 && answers() <= 40, `${answers()} answers`);
  await honest.parties.whoAmI({});
});

/** The types of frames, in order. */
function typesOf(bytes: Buffer): readonly number[] {
  const types: number[] = [];
  for (let at = 0; at + 9 <= bytes.length; at += 9 + bytes.readUIntBE(at, 3)) types.push(bytes.readUInt8(at + 3));
  return types;
}

/** Turns that were sent before the connection ended. */
async function run(raw: RawConnection, { first, turn, turns, isDeaf = false }: Attack): Promise<number> {
  if (!isDeaf) raw.socket.resume();
  if (first !== undefined) await raw.send(first);
  for (let at = 0; at < turns; at += 1) {
    if (!(await raw.send(turn(at)))) return at;
    // Lets the end be seen: this is one process.
    await new Promise((resolve) => void setImmediate(resolve));
  }
  if (isDeaf) raw.socket.resume();
  return turns;
}
