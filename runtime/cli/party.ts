import type { Command } from 'commander';
import { PARTY_ROLES } from '../identity/party.ts';
import { actAs, type CommonOptions, withCommon } from './command.ts';
import { addRecognition, rolesOf } from './recognition.ts';
import { tableText } from './output.ts';
import { wholeNumber } from './whole-number.ts';

export function addParty(program: Command): void {
  const party = program.command('party').description('who may take part: admit, list, suspend, exit');
  withCommon(
    party.command('add <name>').description('admit a party and issue its credential'),
    'glovebox party add acme --role consumer --out acme.credential.json',
  )
    .requiredOption('--role <role...>', `one or more of: ${PARTY_ROLES.join(', ')}`)
    .option('--out <file>', 'where to write the credential (mode 0600); default: NAME.credential.json here')
    .option('--days <days>', 'days until the credential expires', '365')
    .option('--group <name...>', 'groups that policies can name as group:NAME')
    .option('--apply', 'record an application: the credential works once the party is admitted')
    .option('--jurisdiction <code>', 'where the party is, ISO 3166-1, e.g. CN; unknown counts as foreign')
    .action(
      (
        name: string,
        options: CommonOptions & {
          role: readonly string[];
          out?: string;
          days: string;
          jurisdiction?: string;
          apply?: boolean;
          group?: readonly string[];
        },
      ) =>
        actAs(options, async (glovebox, out) => {
          const roles = rolesOf(options.role);
          const added = await glovebox.parties.add({
            name,
            roles,
            days: wholeNumber('--days', options.days, { from: 1 }),
            jurisdiction: options.jurisdiction ?? '',
            groups: options.group ?? [],
            isApplication: options.apply === true,
          });
          const file = options.out ?? `${name}.credential.json`;
          const { writePrivate } = await import('../gateway/data-directory.ts');
          await writePrivate(file, added.credential);
          out.answer(
            { party: added.party, credential: file },
            () => `${added.party?.state ?? ''}: ${name} (${roles.join(', ')}); credential: ${file}`,
          );
        }),
    );
  withCommon(
    party.command('renew [name]').description('issue a new credential, before one expires or after it was lost'),
    'glovebox party renew acme --revoke-old --out acme.credential.json',
  )
    .option('--out <file>', 'where to write the credential (mode 0600); default: NAME.credential.json here')
    .option('--days <days>', 'days until the new credential expires', '365')
    .option('--revoke-old', 'older credentials of the party end at once; otherwise they work until they expire')
    .action((name: string | undefined, options: CommonOptions & { out?: string; days: string; revokeOld?: boolean }) =>
      actAs(options, async (glovebox, out) => {
        const days = wholeNumber('--days', options.days, { from: 1 });
        const renewed = await glovebox.parties.renew({
          name: name ?? '',
          days,
          revokeOld: options.revokeOld === true,
        });
        const party = renewed.party?.name ?? '';
        const file = options.out ?? `${party}.credential.json`;
        const { writePrivate } = await import('../gateway/data-directory.ts');
        await writePrivate(file, renewed.credential);
        out.answer({ party: renewed.party, credential: file }, () => `renewed: ${party}; credential: ${file}`);
      }),
    );
  withCommon(party.command('list').description('list the parties'), 'glovebox party list').action(
    (options: CommonOptions) =>
      actAs(options, async (glovebox, out) => {
        const { parties } = await glovebox.parties.list({});
        out.answer({ parties }, () =>
          tableText(
            ['party', 'roles', 'state', 'place', 'certified by', 'credential until'],
            parties.map((one) => [
              one.name,
              one.roles.join(', '),
              one.state,
              one.jurisdiction,
              one.authority === '' ? 'this runtime' : one.authority,
              new Date(one.credentialExpiresAtMs).toISOString().slice(0, 10),
            ]),
          ),
        );
      }),
  );
  withCommon(
    party.command('admit <name>').description('admit a party that has applied'),
    'glovebox party admit acme',
  ).action((name: string, options: CommonOptions) =>
    actAs(options, async (glovebox, out) => {
      const answer = await glovebox.parties.admit({ name });
      out.answer(answer, () => `${name} is ${answer.party?.state ?? ''}`);
    }),
  );
  withCommon(
    party.command('exit [name]').description('leave for good (or let a party leave): its agreements end'),
    'glovebox party exit acme --note "contract over"',
  )
    .option('--note <text>', 'why, for the record', '')
    .action((name: string | undefined, options: CommonOptions & { note: string }) =>
      actAs(options, async (glovebox, out) => {
        const answer = await glovebox.parties.exit({ name: name ?? '', note: options.note });
        out.answer(
          answer,
          () =>
            `${answer.party?.name ?? ''} has exited; ${answer.endedAgreements} agreements ended, ${answer.stoppedJobs} running jobs stopped`,
        );
      }),
    );
  withCommon(
    party.command('erase <name>').description('make a party that has left nobody in the log; receipts still verify'),
    'glovebox party erase acme --note "asked on 2026-11-20"',
  )
    .option('--note <text>', 'why, for the record', '')
    .action((name: string, options: CommonOptions & { note: string }) =>
      actAs(options, async (glovebox, out) => {
        const answer = await glovebox.parties.erase({ name, note: options.note });
        out.answer(answer, () =>
          answer.isShared
            ? `${name} is erased, but it was admitted before parties had salts of their own: whoever has keys/pseudonyms.key can still tell its entries`
            : `${name} is erased: nobody can tell its entries in the log any more; ${answer.removedAlerts} alerts removed`,
        );
      }),
    );
  addRecognition(party);
  for (const [verb, what] of [
    ['suspend', 'stop a party: its credential and its running jobs end at once'],
    ['resume', 'let a suspended party act again'],
  ] as const) {
    withCommon(party.command(`${verb} <name>`).description(what), `glovebox party ${verb} acme`)
      .option('--note <text>', 'why, for the record', '')
      .action((name: string, options: CommonOptions & { note: string }) =>
        actAs(options, async (glovebox, out) => {
          const answer =
            verb === 'suspend'
              ? await glovebox.parties.suspend({ name, note: options.note })
              : await glovebox.parties.resume({ name });
          const stopped = 'stoppedJobs' in answer ? `; ${Number(answer.stoppedJobs)} running jobs stopped` : '';
          out.answer(answer, () => `${name} is ${answer.party?.state ?? ''}${stopped}`);
        }),
      );
  }
  withCommon(
    party.command('whoami').description('who this credential makes you'),
    'glovebox party whoami --as acme.credential.json',
  ).action((options: CommonOptions) =>
    actAs(options, async (glovebox, out) => {
      const me = await glovebox.parties.whoAmI({});
      out.answer(
        me,
        () =>
          `${me.party?.name ?? 'nobody'} (${me.party?.roles.join(', ') ?? ''}) at ${me.authority}; isolation ${me.isolation}`,
      );
    }),
  );
}
