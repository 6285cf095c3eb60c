import type { Command } from 'commander';
import { readText } from '../client/read-text.ts';
import { introductionText } from '../identity/introduction.ts';
import { openCredential } from '../client/open-credential.ts';
import { isPartyName } from '../identity/names.ts';
import { PARTY_ROLES, type PartyRole } from '../identity/party.ts';
import { parseRuntimeCard } from '../identity/runtime-card.ts';
import { act, actAs, type CommonOptions, credentialFile, withCommon } from './command.ts';
import { UsageError } from './output.ts';
import { writeWhole } from './write-file.ts';

/** Parties of other runtimes: they introduce themselves, and an operator recognises them. */
export function addRecognition(party: Command): void {
  withCommon(
    party
      .command('introduce <card>')
      .description('introduce yourself to another runtime, with the certificate that your own one gave you'),
    'glovebox party introduce there.card --out acme.introduction --credential acme-there.json --as acme.credential.json',
  )
    .requiredOption('--out <file>', 'where to write the introduction, for the operator there')
    .requiredOption('--credential <file>', 'where to write the credential to use there (mode 0600)')
    .option('--name <name>', 'what you want to be called there; default: as here')
    .action((card: string, options: CommonOptions & { out: string; credential: string; name?: string }) =>
      act(options, async (out) => {
        const mine = openCredential(credentialFile(options));
        const { authority, certificate: ca, server } = cardIn(card);
        const name = options.name ?? mine.party;
        if (!isPartyName(name)) throw new UsageError(`\`${name}\` is not the name of a party`);
        const { certificate, signingPublicKey, key: certificateKey, signingKey } = mine;
        const introduction = { name, audience: authority, certificate, signingPublicKey, atMs: Date.now() };
        writeWhole(options.out, introductionText(introduction, { certificateKey, signingKey }));
        const { serverNameOf } = await import('../rpc/authority.ts');
        const { writePrivate } = await import('../gateway/data-directory.ts');
        const there = { ...mine, party: name, server, serverName: serverNameOf({ name: authority }), ca };
        await writePrivate(options.credential, `${JSON.stringify(there, null, 2)}\n`);
        out.answer({ introduction: options.out, credential: options.credential, authority }, () =>
          [
            `introduction as ${name} to ${authority}: ${options.out}; its operator admits you with: glovebox party recognise`,
            `then use --as ${options.credential}`,
          ].join('\n'),
        );
      }),
    );
  withCommon(
    party
      .command('recognise <introduction>')
      .description('admit a party of a runtime on the trust list, by what it signed'),
    'glovebox party recognise acme.introduction --role consumer',
  )
    .requiredOption(
      '--role <role...>',
      `one or more of: ${PARTY_ROLES.filter((role) => role !== 'operator').join(', ')}`,
    )
    .option('--group <name...>', 'groups that policies can name as group:NAME')
    .option('--jurisdiction <code>', 'where the party is, ISO 3166-1, e.g. CN; unknown counts as foreign')
    .action(
      (
        file: string,
        options: CommonOptions & { role: readonly string[]; group?: readonly string[]; jurisdiction?: string },
      ) =>
        actAs(options, async (glovebox, out) => {
          const answer = await glovebox.parties.recognise({
            introduction: readText(file),
            roles: rolesOf(options.role),
            groups: options.group ?? [],
            jurisdiction: options.jurisdiction ?? '',
          });
          const { name = '', state = '', authority = '' } = answer.party ?? {};
          out.answer(answer, () => `${state}: ${name}, certified by ${authority}`);
        }),
    );
}

/** Roles that were typed, with commas or as several words; wrong usage when one is none. */
export function rolesOf(texts: readonly string[]): readonly PartyRole[] {
  return texts
    .flatMap((text) => text.split(','))
    .map((role) => {
      const known = PARTY_ROLES.find((one) => one === role);
      if (known === undefined) throw new UsageError(`\`${role}\` is not a role: ${PARTY_ROLES.join(', ')}`);
      return known;
    });
}

function cardIn(file: string): ReturnType<typeof parseRuntimeCard> {
  const text = readText(file);
  try {
    return parseRuntimeCard(text);
  } catch (error) {
    throw new UsageError(`\`${file}\`: ${error instanceof Error ? error.message : 'not a card'}`);
  }
}
