import { generateKeyPairSync, createPrivateKey } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Witnessed } from '../../evidence/cosignature.ts';
import {
  decodeBase64,
  ED25519_COSIGNATURE,
  noteSigner,
  type NoteSigner,
  type VerifierKey,
} from '../../evidence/note.ts';
import { answerAddCheckpoint, MAX_ADD_CHECKPOINT_BYTES } from '../../evidence/witness.ts';
import { writeDurably } from '../../store/durable-file.ts';
import { servePlainHttp } from './plain-http.ts';

const MAX_CONNECTIONS = 64;

/** A witness's key and what it has seen, in a folder of its own. */
export class WitnessState {
  readonly signer: NoteSigner;
  readonly #file: string;
  readonly #seen: Map<string, Witnessed>;

  /** Opens the folder; makes it, and a key, when there is none. Throws when what was seen cannot be read. */
  constructor(folder: string, name: string) {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const keyFile = join(folder, 'witness.key');
    if (!existsSync(keyFile)) {
      const { privateKey } = generateKeyPairSync('ed25519');
      writeDurably(keyFile, privateKey.export({ type: 'pkcs8', format: 'pem' }).toString());
    }
    this.signer = noteSigner(name, createPrivateKey(readFileSync(keyFile, 'utf8')), ED25519_COSIGNATURE);
    this.#file = join(folder, 'seen.json');
    this.#seen = existsSync(this.#file) ? readSeen(readFileSync(this.#file, 'utf8')) : new Map();
  }

  seenOf(origin: string): Witnessed | undefined {
    return this.#seen.get(origin);
  }

  /** On disk when this returns. A failed write leaves what was seen before, and throws. */
  remember(origin: string, seen: Witnessed): void {
    const next = new Map(this.#seen).set(origin, seen);
    const plain = [...next].map(([name, { size, root }]) => [name, size, Buffer.from(root).toString('base64')]);
    writeDurably(this.#file, `${JSON.stringify(plain)}\n`);
    this.#seen.set(origin, seen);
  }
}

/**
 * Serves a witness (C2SP tlog-witness) for the logs whose keys are given: the counterparty of an agreement runs one, so
 * that a log which shows two parties two histories is caught. Answers only `POST /add-checkpoint`.
 */
export async function serveWitness(
  state: WitnessState,
  logs: readonly VerifierKey[],
  at: { readonly host: string; readonly port: number; readonly nowMs: () => number },
): Promise<{ readonly port: number } & AsyncDisposable> {
  return servePlainHttp(
    (request, response) => {
      const tell = (status: number, body: string, type = 'text/plain; charset=utf-8'): void => {
        response.writeHead(status, { 'content-type': type, connection: 'close' }).end(body);
      };
      if (request.url !== '/add-checkpoint') return tell(404, 'not found\n');
      if (request.method !== 'POST') return tell(405, 'POST only\n');
      const parts: Buffer[] = [];
      let length = 0;
      request.on('data', (part: Buffer) => {
        length += part.length;
        if (length <= MAX_ADD_CHECKPOINT_BYTES) parts.push(part);
        else request.destroy();
      });
      request.on('error', () => response.destroy());
      request.on('end', () => {
        // One synchronous step from reading what was seen to having the new state on disk: no two requests interleave.
        try {
          const body = Buffer.concat(parts).toString('utf8');
          const seenOf = (origin: string): Witnessed | undefined => state.seenOf(origin);
          const answer = answerAddCheckpoint(state.signer, logs, seenOf, body, Math.floor(at.nowMs() / 1000));
          if (answer.status === 200) state.remember(answer.origin, answer.seen);
          tell(answer.status, answer.body, answer.status === 409 ? 'text/x.tlog.size' : undefined);
        } catch {
          tell(500, 'the witness cannot remember what it saw\n');
        }
      });
    },
    { ...at, maxConnections: MAX_CONNECTIONS },
  );
}

function readSeen(text: string): Map<string, Witnessed> {
  const rows = JSON.parse(text) as unknown;
  if (!Array.isArray(rows)) throw new Error('the file of what the witness saw is damaged');
  return new Map(
    rows.map((row: unknown) => {
      const [origin, size, encoded] = Array.isArray(row) ? (row as unknown[]) : [];
      const root = typeof encoded === 'string' ? decodeBase64(encoded) : undefined;
      if (typeof origin !== 'string' || !Number.isSafeInteger(size) || root?.length !== 32)
        throw new Error('the file of what the witness saw is damaged');
      return [origin, { size: size as number, root }] as const;
    }),
  );
}
