import type { EvidenceKind } from '../../evidence/entry.ts';
import type { PartyServiceHandlers } from '../../gen/services.ts';
import { type AdmissionEvent, admissionAfter } from '../../identity/admission.ts';
import type { Admission } from '../../identity/party.ts';
import { Fault } from '../../rpc/fault.ts';
import type { Step } from '../../store/jobs.ts';
import type { StoredRecord } from '../../store/records.ts';
import { checkNote, requireRole } from '../access.ts';
import { endAgreementsOf } from './agreement-ends.ts';
import { evidence, type GatewayNeeds } from '../needs.ts';
import { partyMessage, partySubject } from './party-record.ts';
import type { PartyBody } from '../records.ts';

type AdmissionHandlers = Pick<PartyServiceHandlers, 'admit' | 'suspend' | 'resume' | 'exit'>;

const KIND_OF = {
  admit: 'party.admitted',
  suspend: 'party.suspended',
  resume: 'party.admitted',
  exit: 'party.exited',
} as const satisfies Record<AdmissionEvent, EvidenceKind>;

/** applied → admitted → suspended → exited. What is possible when is decided in identity/admission.ts, and nowhere else. */
export function admissionHandlers(needs: GatewayNeeds): AdmissionHandlers {
  const move = async (
    name: string,
    event: AdmissionEvent,
    note: string,
    alongWith: (party: StoredRecord<PartyBody>) => readonly Step[] = () => [],
  ): Promise<StoredRecord<PartyBody>> => {
    const party = needs.store.peek<PartyBody>('party', name);
    if (party === undefined) throw new Fault('not-found', `no party \`${name}\``);
    const answer = admissionAfter({ name, admission: party.state as Admission }, event);
    if (answer.kind === 'denied') {
      const [first] = answer.reasons;
      throw new Fault('wrong-state', first?.message ?? '', { reasons: answer.reasons });
    }
    const moved = { ...party, state: answer.admission, body: { ...party.body, note } };
    const outcome = await needs.store.transact([
      { do: 'expect', table: 'party', id: name, state: party.state },
      { do: 'put', record: moved },
      {
        do: 'record',
        event: evidence(needs, KIND_OF[event], [partySubject(needs, moved)], { party: needs.pseudonymOf(name) }),
      },
      ...alongWith(moved),
    ]);
    if (outcome.kind === 'refused')
      throw new Fault('conflict', `party \`${name}\` was changed meanwhile: look at it again`);
    return moved;
  };
  // The record is durable first: a job that is past its last check then is refused by the ledger.
  const stopJobsOf = (name: string, agreements: readonly string[] = []): number =>
    needs.live.stop(
      (job) => job.party === name || job.actor === name || job.agreements.some((one) => agreements.includes(one)),
    );
  return {
    admit: async (caller, request) => {
      requireRole(caller, 'admit parties', 'operator');
      return { party: partyMessage(await move(request.name, 'admit', '')) };
    },
    suspend: async (caller, request) => {
      requireRole(caller, 'suspend parties', 'operator');
      checkNote(request.note);
      if (request.name === caller.party) throw new Fault('wrong-state', 'a party cannot suspend itself');
      const party = await move(request.name, 'suspend', request.note);
      return { party: partyMessage(party), stoppedJobs: stopJobsOf(request.name), reasons: [] };
    },
    resume: async (caller, request) => {
      requireRole(caller, 'resume parties', 'operator');
      return { party: partyMessage(await move(request.name, 'resume', '')), reasons: [] };
    },
    exit: async (caller, request) => {
      const name = request.name === '' ? caller.party : request.name;
      if (name !== caller.party) requireRole(caller, 'let other parties exit', 'operator');
      if (name === caller.party && isLastOperator(needs, name))
        throw new Fault('wrong-state', `party \`${name}\` is the last operator: admit another one first`);
      const ends = endAgreementsOf(needs, name);
      const party = await move(name, 'exit', request.note, () => ends.steps);
      return { party: partyMessage(party), stoppedJobs: stopJobsOf(name, ends.ids), endedAgreements: ends.ids.length };
    },
  };
}

function isLastOperator(needs: Pick<GatewayNeeds, 'store'>, name: string): boolean {
  const operators = needs.store
    .peekAll<PartyBody>('party')
    .filter(({ state, body }) => state === 'admitted' && body.roles.includes('operator'));
  return operators.length === 1 && operators[0]?.id === name;
}
