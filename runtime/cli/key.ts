import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Command } from 'commander';
import { readText, readWhole } from '../client/read-text.ts';
import type { KeyHolderKeys } from '../client/encrypt-dataset.ts';
import type { Glovebox } from '../client/connect.ts';
import { act, actAs, type CommonOptions, withCommon } from './command.ts';
import { type Output, reasonLines, tableText, UsageError } from './output.ts';

interface KeyOptions extends CommonOptions {
  readonly for: string;
  readonly out?: string;
  readonly offline?: boolean;
  readonly key?: string;
}

export function addKey(program: Command): void {
  const key = program
    .command('key')
    .description('keys for computing on ciphertext; secret keys never leave this machine');
  withCommon(
    key.command('generate').description('make a key pair: secret part 0600 here, public part to the runtime'),
    'glovebox key generate --for hospital/visits --out keys',
  )
    .requiredOption(
      '--for <dataset>',
      'the dataset whose columns it will encrypt; `query` for a consumer’s own queries',
    )
    .option('--out <dir>', 'where to write it', '.')
    .option('--offline', 'do not upload the public part')
    .action((options: KeyOptions) => {
      const make = async (glovebox: Glovebox | null, out: Output): Promise<void> => {
        const made = await generate(options.for, options.out ?? '.');
        if (glovebox !== null) await uploadPublic(glovebox, out, options.for, made.publicFile);
        out.answer(
          made,
          () =>
            `key ${made.keyId}\n  secret: ${made.secretFile} (mode 0600; keep it off the runtime’s machine)\n  public: ${made.publicFile}\n  unit key: ${made.unitsFile}`,
        );
      };
      return options.offline === true
        ? act(options, (out) => make(null, out))
        : actAs(options, (glovebox, out) => make(glovebox, out));
    });
  withCommon(key.command('list').description('your public keys at the runtime'), 'glovebox key list').action(
    (options: CommonOptions) =>
      actAs(options, async (glovebox, out) => {
        const { objects } = await glovebox.homomorphic.list({});
        const keys = objects.filter(({ kind }) => kind === 'publicKey');
        out.answer({ keys }, () =>
          tableText(
            ['key', 'dataset', 'profiles', 'stored', 'state'],
            keys.map((one) => [
              one.digest,
              one.dataset,
              one.profile,
              new Date(one.storedAtMs).toISOString(),
              one.isRevoked ? 'revoked' : 'valid',
            ]),
          ),
        );
      }),
  );
  withCommon(
    key
      .command('runtime')
      .description('the key under which this runtime signs transcripts, for `decryptor --runtime-key`'),
    'glovebox key runtime --as hospital.credential.json',
  ).action((options: CommonOptions) =>
    actAs(options, async (glovebox, out) => {
      const { publicKey } = await glovebox.homomorphic.getTranscriptKey({});
      out.answer({ publicKey }, () => publicKey);
    }),
  );
  withCommon(
    key.command('revoke <digest>').description('nothing is computed under this key any more; running jobs are stopped'),
    'glovebox key revoke sha256:…',
  ).action((digest: string, options: CommonOptions) =>
    actAs(options, async (glovebox, out) => {
      const { object } = await glovebox.homomorphic.revokeKey({ digest });
      out.answer({ key: object }, () => `${object?.digest ?? digest} is revoked`);
    }),
  );
  withCommon(
    key.command('rotate').description('revoke a key and make its successor; encrypt the dataset again afterwards'),
    'glovebox key rotate --for hospital/visits --key sha256:… --out keys',
  )
    .requiredOption('--for <dataset>', 'the dataset')
    .requiredOption('--key <digest>', 'the key to revoke, as `key list` shows it')
    .option('--out <dir>', 'where to write the new one; not where the old one lies', '.')
    .action((options: KeyOptions) =>
      actAs(options, async (glovebox, out) => {
        const made = await generate(options.for, options.out ?? '.');
        await uploadPublic(glovebox, out, options.for, made.publicFile);
        await glovebox.homomorphic.revokeKey({ digest: options.key ?? '' });
        out.answer(
          made,
          () =>
            `key ${made.keyId} replaces ${options.key ?? ''}\n  secret: ${made.secretFile}\nencrypt again: glovebox dataset add ${options.for} --encrypt … --key ${made.secretFile}`,
        );
      }),
    );
}

interface Made {
  readonly keyId: string;
  readonly secretFile: string;
  readonly publicFile: string;
  readonly unitsFile: string;
}

async function generate(dataset: string, folder: string): Promise<Made> {
  const { openNodeSealBackend } = await import('../homomorphic/node-seal-backend.ts');
  const { generateKeyBundles, writeBundle } = await import('../homomorphic/keys.ts');
  const { PROFILES, isProfileId } = await import('../homomorphic/profiles.ts');
  const { writePrivate } = await import('../gateway/data-directory.ts');
  const all = Object.keys(PROFILES).filter((id) => isProfileId(id));
  const profiles = all.filter((id) => (dataset === 'query') === (id === 'bgv-query'));
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const stem = join(folder, dataset.replaceAll('/', '-'));
  const made = { secretFile: `${stem}.secret.json`, publicFile: `${stem}.public.json`, unitsFile: `${stem}.units.key` };
  if (existsSync(made.secretFile))
    throw new UsageError(`\`${made.secretFile}\` exists: give another --out, keys are never overwritten`);
  const { open, secret } = generateKeyBundles(await openNodeSealBackend(), profiles);
  await writePrivate(made.secretFile, writeBundle(secret));
  await writePrivate(made.publicFile, writeBundle(open));
  await writePrivate(made.unitsFile, `${randomBytes(32).toString('hex')}\n`);
  return { keyId: open.keyId, ...made };
}

async function uploadPublic(glovebox: Glovebox, out: Output, dataset: string, file: string): Promise<void> {
  const { uploadObject } = await import('../client/homomorphic.ts');
  const outcome = await uploadObject(glovebox.homomorphic, { kind: 'publicKey', dataset }, file, {
    onProgress: (done, total) => out.progress(`upload ${Math.floor((done * 100) / total)} %`),
  });
  out.endProgress();
  if (outcome.kind === 'refused') throw new Error(`the key was refused:\n${reasonLines(outcome.reasons)}`);
}

/** A key pair from the files that `key generate` wrote; `file` is the secret one. */
export async function readKeys(file: string): Promise<KeyHolderKeys> {
  const { readPublicBundle, readSecretBundle } = await import('../homomorphic/keys.ts');
  if (!file.endsWith('.secret.json'))
    throw new UsageError(`\`${file}\` is not a secret key: name the file NAME.secret.json`);
  const stem = join(dirname(file), basename(file, '.secret.json'));
  const secret = readSecretBundle(readText(file));
  const open = readPublicBundle(readWhole(`${stem}.public.json`));
  if (open.keyId !== secret.keyId)
    throw new UsageError(`\`${stem}.public.json\` is not the public part of \`${file}\``);
  const unitKey = new Uint8Array(Buffer.from(readText(`${stem}.units.key`).trim(), 'hex'));
  if (unitKey.byteLength !== 32) throw new UsageError(`\`${stem}.units.key\` is damaged`);
  return { open, secret, unitKey };
}
