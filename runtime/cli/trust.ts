import type { Command } from 'commander';
import { readText } from '../client/read-text.ts';
import { openCredential } from '../client/open-credential.ts';
import { keyPinOf, runtimeCardText } from '../identity/runtime-card.ts';
import { actAs, type CommonOptions, credentialFile, withCommon } from './command.ts';
import { tableText } from './output.ts';
import { writeWhole } from './write-file.ts';

/** The trust list: other runtimes whose parties and receipts are recognised. */
export function addTrust(program: Command): void {
  const trust = program
    .command('trust')
    .description('other runtimes: pin their keys, recognise their parties and receipts, end it');
  withCommon(
    trust.command('card').description('write what another runtime needs to trust this one; nothing secret'),
    'glovebox trust card --out here.card',
  )
    .requiredOption('--out <file>', 'where to write it')
    .action((options: CommonOptions & { out: string }) =>
      actAs(options, async (glovebox, out) => {
        const { ca: certificate, server } = openCredential(credentialFile(options));
        const { authority } = await glovebox.parties.whoAmI({});
        const { verifierKey } = await glovebox.evidence.getCheckpoint({});
        writeWhole(
          options.out,
          runtimeCardText({ authority, certificate, verifierKey, server: options.server ?? server }),
        );
        const keyPin = keyPinOf(certificate);
        out.answer(
          { file: options.out, authority, keyPin },
          () =>
            `card of ${authority} written to ${options.out}\ntell the other operator its key by another way: ${keyPin}`,
        );
      }),
    );
  withCommon(
    trust
      .command('add <card>')
      .description('trust another runtime: its key is pinned, none of its parties is admitted yet'),
    'glovebox trust add there.card --pin 6ac1…',
  )
    .option('--pin <sha256>', 'its key as you were told by another way; another one is refused', '')
    .option('--note <text>', 'why, for the record', '')
    .action((card: string, options: CommonOptions & { pin: string; note: string }) =>
      actAs(options, async (glovebox, out) => {
        const answer = await glovebox.parties.trust({
          card: readText(card),
          keyPin: options.pin,
          note: options.note,
        });
        const { authority = '', keyPin = '' } = answer.runtime ?? {};
        out.answer(
          answer,
          () =>
            `trusted: ${authority}, key ${keyPin}${options.pin === '' ? '\ncompare the key with what its operator tells you by another way' : ''}`,
        );
      }),
    );
  withCommon(
    trust
      .command('revoke <authority>')
      .description('end it: its parties are suspended and their jobs stopped, at once'),
    'glovebox trust revoke glovebox-5f3a9c0b1d2e --note "key lost"',
  )
    .option('--note <text>', 'why, for the record', '')
    .action((authority: string, options: CommonOptions & { note: string }) =>
      actAs(options, async (glovebox, out) => {
        const answer = await glovebox.parties.revokeTrust({ authority, note: options.note });
        out.answer(
          answer,
          () =>
            `${authority} is not trusted any more; suspended: ${answer.suspendedParties.join(', ') || 'nobody'}; ${answer.stoppedJobs} running jobs stopped`,
        );
      }),
    );
  withCommon(trust.command('list').description('runtimes that are or were trusted'), 'glovebox trust list').action(
    (options: CommonOptions) =>
      actAs(options, async (glovebox, out) => {
        const { runtimes } = await glovebox.parties.listTrust({});
        out.answer({ runtimes }, () =>
          tableText(
            ['runtime', 'state', 'since', 'ends', 'at', 'parties here', 'key'],
            runtimes.map((one) => [
              one.authority,
              one.isTrusted ? 'trusted' : one.isRevoked ? 'revoked' : 'expired',
              new Date(one.sinceMs).toISOString().slice(0, 16),
              new Date(one.endsAtMs).toISOString().slice(0, 10),
              one.server,
              one.parties.join(', '),
              one.keyPin,
            ]),
          ),
        );
      }),
  );
}
