import { applyToAgreement } from '../../contract/lifecycle.ts';
import { agreementEvent, contractOf, notesOf, recordOf } from '../agreement-record.ts';
import type { GatewayNeeds } from '../needs.ts';
import type { AgreementBody } from '../records.ts';

/** Records the end of every agreement whose time is over; answers their ids. Called by the policy monitor. */
export async function expireAgreements(
  needs: Pick<GatewayNeeds, 'store' | 'nowMs' | 'sha256' | 'pseudonymOf'>,
): Promise<readonly string[]> {
  const now = needs.nowMs();
  const ended: string[] = [];
  for (const record of needs.store.peekAll<AgreementBody>('agreement')) {
    const { notAfterMs } = record.body;
    if (notAfterMs === null || now < notAfterMs) continue;
    const answer = applyToAgreement(contractOf(record), { do: 'expire' }, now);
    if (answer.kind === 'refused') continue;
    const moved = recordOf(answer.agreement, notesOf(record), { atMs: now, keys: {} }, record);
    const outcome = await needs.store.transact([
      { do: 'expect', table: 'agreement', id: record.id, state: record.state },
      { do: 'put', record: moved },
      agreementEvent(needs, moved, 'agreement.expired'),
    ]);
    if (outcome.kind === 'done') ended.push(record.id);
  }
  return ended;
}
