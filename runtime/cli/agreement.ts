import type { Command } from 'commander';
import { readText } from '../client/read-text.ts';
import type { Glovebox } from '../client/connect.ts';
import type { Agreement } from '../gen/messages.ts';
import { actAs, type CommonOptions, withCommon } from './command.ts';
import { reasonLines, tableText, UsageError } from './output.ts';
import { wholeNumber } from './whole-number.ts';

export function addAgreement(program: Command): void {
  const agreement = program
    .command('agreement')
    .description('signed, immutable contracts; no job without an active one');
  withCommon(
    agreement.command('offer').description('offer a policy version to a party, signed with your key'),
    'glovebox agreement offer --dataset hospital/visits --to acme',
  )
    .requiredOption('--dataset <name>', 'the dataset')
    .requiredOption('--to <party>', 'the consumer')
    .option('--policy-version <number>', 'a version; default: the newest', '0')
    .option('--not-before <date>', 'start; default: now')
    .option('--not-after <date>', 'end; default: no end date')
    .option('--purpose <purpose...>', 'purposes it is for; default: those of the policy')
    .option('--prices <file>', 'a price plan, YAML or JSON; default: what the policy says')
    .option('--only-as-offered', 'do not accept narrower counter-offers ahead')
    .action(
      (
        options: CommonOptions & {
          onlyAsOffered?: boolean;
          prices?: string;
          dataset: string;
          to: string;
          policyVersion: string;
          notBefore?: string;
          notAfter?: string;
          purpose?: readonly string[];
        },
      ) =>
        actAs(options, async (glovebox, out) => {
          const answer = await glovebox.agreements.offer({
            dataset: options.dataset,
            consumer: options.to,
            policyVersion: wholeNumber('--policy-version', options.policyVersion),
            notBeforeMs: timeOf(options.notBefore),
            notAfterMs: timeOf(options.notAfter),
            purposes: options.purpose ?? [],
            onlyAsOffered: options.onlyAsOffered === true,
            prices: options.prices === undefined ? '' : readText(options.prices),
          });
          out.answer(answer, () =>
            answer.agreement === null
              ? reasonLines(answer.reasons)
              : `offered ${answer.agreement.id}: ${describe(answer.agreement)}\nthe consumer accepts it with: glovebox agreement accept ${answer.agreement.id}`,
          );
          return answer.agreement === null ? 1 : 0;
        }),
    );
  withCommon(
    agreement.command('accept [id]').description('accept an offer, signed with your key; without an id, the only one'),
    'glovebox agreement accept --as acme.credential.json',
  ).action((id: string | undefined, options: CommonOptions) =>
    actAs(options, async (glovebox, out) => {
      const answer = await glovebox.agreements.accept({ id: id ?? (await onlyOffer(glovebox)) });
      out.answer(answer, () =>
        answer.agreement === null
          ? reasonLines(answer.reasons)
          : `${answer.agreement.id} is ${answer.agreement.state}: ${describe(answer.agreement)}`,
      );
      return answer.agreement === null ? 1 : 0;
    }),
  );
  withCommon(
    agreement
      .command('counter <id>')
      .description(
        'answer an offer with other terms; narrower ones are active at once, others wait for the other side',
      ),
    'glovebox agreement counter agr-… --policy narrower.yaml --not-after 2026-12-01 --as acme.credential.json',
  )
    .option('--policy <file>', 'the policy document wanted instead')
    .option('--not-before <date>', 'another start')
    .option('--not-after <date>', 'another end')
    .option('--purpose <purpose...>', 'other purposes')
    .action(
      (
        id: string,
        options: CommonOptions & {
          policy?: string;
          notBefore?: string;
          notAfter?: string;
          purpose?: readonly string[];
        },
      ) =>
        actAs(options, async (glovebox, out) => {
          const answer = await glovebox.agreements.counter({
            id,
            policyDocument: options.policy === undefined ? '' : readText(options.policy),
            notBeforeMs: timeOf(options.notBefore),
            notAfterMs: timeOf(options.notAfter),
            purposes: options.purpose ?? [],
          });
          out.answer(answer, () =>
            [
              ...(answer.agreement === null ? [] : [`${answer.agreement.id} is ${answer.agreement.state}`]),
              ...(answer.reasons.length === 0 ? [] : [reasonLines(answer.reasons)]),
            ].join('\n'),
          );
          return answer.agreement === null ? 1 : 0;
        }),
    );
  withCommon(agreement.command('list').description('list your agreements'), 'glovebox agreement list').action(
    (options: CommonOptions) =>
      actAs(options, async (glovebox, out) => {
        const { agreements } = await glovebox.agreements.list({});
        out.answer({ agreements }, () =>
          tableText(
            ['agreement', 'state', 'dataset', 'policy', 'provider', 'consumer', 'until'],
            agreements.map((one) => [
              one.id,
              one.state,
              one.dataset,
              `v${one.policyVersion}`,
              one.provider,
              one.consumer,
              one.notAfterMs === null ? 'no end' : dateOf(one.notAfterMs),
            ]),
          ),
        );
      }),
  );
  withCommon(
    agreement.command('show <id>').description('one agreement with its content and signatures'),
    'glovebox agreement show agr-…',
  ).action((id: string, options: CommonOptions) =>
    actAs(options, async (glovebox, out) => {
      const { agreement: found } = await glovebox.agreements.get({ id });
      out.answer({ agreement: found }, () =>
        found === null
          ? ''
          : [
              `${id} is ${found.state}: ${describe(found)}`,
              `signed by ${found.signatures.map(({ party }) => party).join(', ') || 'nobody'}`,
              ...(found.counters === '' ? [] : [`counters ${found.counters}`]),
              ...(found.acceptedAhead.length === 0
                ? []
                : [`accepted ahead by ${found.acceptedAhead.join(', ')}, who signed ${found.counters}`]),
              ...found.widens.map((term) => `allows more than the offer: ${term}`),
              ...found.duties.map((duty) => `duty: ${duty}`),
              ...(found.prices === '' ? [] : [`prices: ${found.prices}`]),
              ...found.disputes.map((dispute) => `disputed: ${dispute}`),
              found.content,
            ].join('\n'),
      );
    }),
  );
  withCommon(
    agreement.command('fulfil <id> <duty>').description('say that a duty is fulfilled, as `agreement show` names it'),
    'glovebox agreement fulfil agr-… agr-…/before/0 --as acme.credential.json',
  ).action((id: string, duty: string, options: CommonOptions) =>
    actAs(options, async (glovebox, out) => {
      const { agreement: found } = await glovebox.agreements.fulfil({ id, duty });
      out.answer(
        { agreement: found },
        () => found?.duties.map((one) => `duty: ${one}`).join('\n') ?? `${duty} is done`,
      );
    }),
  );
  for (const verb of ['suspend', 'resume', 'terminate'] as const) {
    const what = {
      suspend: 'stop use now; running jobs end and nothing of them leaves',
      resume: 'go on after a suspension',
      terminate: 'end it for good',
    }[verb];
    withCommon(agreement.command(`${verb} <id>`).description(what), `glovebox agreement ${verb} agr-…`)
      .option('--note <text>', 'why, for the record', '')
      .action((id: string, options: CommonOptions & { note: string }) =>
        actAs(options, async (glovebox, out) => {
          const answer =
            verb === 'resume'
              ? await glovebox.agreements.resume({ id })
              : await glovebox.agreements[verb]({ id, note: options.note });
          const stopped = 'stoppedJobs' in answer ? `; ${Number(answer.stoppedJobs)} running jobs stopped` : '';
          out.answer(answer, () => `${id} is ${answer.agreement?.state ?? ''}${stopped}`);
        }),
      );
  }
}

async function onlyOffer(glovebox: Glovebox): Promise<string> {
  const { party } = await glovebox.parties.whoAmI({});
  const { agreements } = await glovebox.agreements.list({});
  const offers = agreements.filter(({ state, consumer }) => state === 'offered' && consumer === party?.name);
  const [only, ...others] = offers;
  if (only === undefined) throw new UsageError('nothing is offered to you: agreement list shows your agreements');
  if (others.length > 0) throw new UsageError(`say which offer to accept: ${offers.map(({ id }) => id).join(', ')}`);
  return only.id;
}

function timeOf(text: string | undefined): number | null {
  if (text === undefined) return null;
  const time = Date.parse(text);
  if (Number.isNaN(time)) throw new UsageError(`\`${text}\` is not a date, e.g. 2027-01-01`);
  return time;
}

const dateOf = (ms: number): string => new Date(ms).toISOString().slice(0, 10);

const describe = (one: Agreement): string =>
  `${one.provider} lets ${one.consumer} use ${one.dataset} under policy v${one.policyVersion}, ${one.notAfterMs === null ? 'with no end date' : `until ${dateOf(one.notAfterMs)}`}`;
