import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash, generateKeyPairSync } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { dsseEnvelope, encodeEntry, keyIdOf, sigstoreBundle } from '../../runtime/evidence/entry.ts';

/** Sigstore's cosign takes many minutes to build, so it is run where it is there: in `GLOVEBOX_COSIGN`, or installed by Go. */
const INSTALL = 'go install github.com/sigstore/cosign/v2/cmd/cosign@v2.6.2';
const program = findProgram();
const skip = program === undefined ? `cosign is not here, so nothing was checked by it: ${INSTALL}` : false;
if (skip !== false) console.log(`skipped: ${skip}`);
const folder = mkdtempSync(join(tmpdir(), 'glovebox-cosign-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const KIND = 'release';
const ARTIFACT = 'what was released';
const { privateKey, publicKey } = generateKeyPairSync('ed25519');
const sha256 = createHash('sha256').update(ARTIFACT).digest('hex');
const entry = encodeEntry({ kind: KIND, atMs: 0, subjects: [{ name: 'result/job-1', sha256 }], facts: { cells: 3 } });
const envelope = dsseEnvelope(entry, { id: keyIdOf(publicKey), privateKey });

test('cosign verifies a statement of ours in its envelope and in its bundle', { skip }, () => {
  assert.match(verdict('--signature', file('dsse.json', envelope)), /Verified OK/);
  assert.match(verdict(...asBundle(sigstoreBundle(envelope))), /Verified OK/);
});

test('cosign refuses a statement that was changed, another artefact and another key', { skip }, () => {
  const changed = Buffer.from(envelope);
  const at = changed.indexOf('"sig":"') + 12;
  changed[at] = changed[at] === 65 ? 66 : 65;
  for (const form of [['--signature', file('changed.json', changed)], asBundle(sigstoreBundle(changed))])
    assert.doesNotMatch(verdict(...form), /Verified OK/);
  const form = ['--signature', file('dsse.json', envelope)] as const;
  assert.doesNotMatch(verdictOn('another artefact', publicKey, form), /Verified OK/);
  assert.doesNotMatch(verdictOn(ARTIFACT, generateKeyPairSync('ed25519').publicKey, form), /Verified OK/);
});

/** The log that we keep is not Sigstore's: a trusted root of nothing, and its log ignored. */
function asBundle(bundle: Uint8Array): readonly string[] {
  const root = { mediaType: 'application/vnd.dev.sigstore.trustedroot+json;version=0.1' };
  const rootFile = file('root.json', JSON.stringify(root));
  return ['--new-bundle-format', '--trusted-root', rootFile, '--bundle', file('bundle.json', bundle)];
}

function verdict(...form: readonly string[]): string {
  return verdictOn(ARTIFACT, publicKey, form);
}

function verdictOn(artifact: string, key: typeof publicKey, form: readonly string[]): string {
  assert.ok(program !== undefined);
  const keyFile = file('key.pem', key.export({ type: 'spki', format: 'pem' }).toString());
  const type = ['--type', `urn:glovebox:evidence:v1:${KIND}`, '--insecure-ignore-tlog=true'];
  const args = ['verify-blob-attestation', '--key', keyFile, ...type, ...form, file('artifact', artifact)];
  const { stdout, stderr } = spawnSync(program, args, { encoding: 'utf8', timeout: 60_000 });
  return stdout + stderr;
}

function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

function findProgram(): string | undefined {
  const given = process.env['GLOVEBOX_COSIGN'];
  if (given !== undefined) return given;
  const { status, stdout } = spawnSync('go', ['env', 'GOPATH'], { encoding: 'utf8' });
  const built = join(stdout?.trim() ?? '', 'bin', 'cosign');
  return status === 0 && existsSync(built) ? built : undefined;
}
