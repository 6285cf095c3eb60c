import type { CiphertextHeader } from '../../gen/messages.ts';
import type { ColumnHeader } from '../../homomorphic/column.ts';
import { HomomorphicFault } from '../../homomorphic/fault.ts';
import { PROGRAMS } from '../../homomorphic/program.ts';
import type { UnitCounts } from '../../homomorphic/units.ts';
import type { Caller } from '../../identity/party.ts';
import type { GatewayNeeds } from '../needs.ts';
import { type CiphertextBody, type ContributionBody, objectId } from '../records.ts';

/** Most units that a contributor can ask to stand behind a number. */
const MAX_MIN_UNITS = 1_000_000;

/**
 * What a column under another provider's key is contributed as. It must be encrypted with the public key, which its
 * owner alone has of that pair, and its unit tags must have been counted before. Throws `bad-column` or `bad-key`.
 */
export function contributionOf(
  needs: Pick<GatewayNeeds, 'store'>,
  caller: Caller,
  announced: CiphertextHeader,
  header: ColumnHeader,
  rows: number,
): ContributionBody {
  const key = needs.store
    .peekAll<CiphertextBody>('ciphertext')
    .find(
      ({ owner, state, body }) =>
        owner !== caller.party &&
        state === 'stored' &&
        body.kind === 'publicKey' &&
        body.keyId === header.keyId &&
        body.dataset === announced.dataset,
    );
  // One answer whether the key is nobody's, revoked or for another dataset: names of others tell nothing.
  if (key === undefined)
    throw new HomomorphicFault(
      'bad-key',
      'cannot take in this encrypted column: no valid key of yours, or of a provider for this dataset, has its name; upload the public key first',
    );
  const { contribution: terms } = announced;
  if (terms === null || header.mode !== 'publicKey')
    throw refused('a column under another provider’s key is encrypted with the public key and says what it is for');
  const { programs, minUnits } = terms;
  const isKnown = programs.every((name) => Object.hasOwn(PROGRAMS, name));
  if (!isKnown || programs.length === 0 || new Set(programs).size !== programs.length)
    throw refused('it names no programs, or some that do not exist');
  if (minUnits < 1 || minUnits > MAX_MIN_UNITS) throw refused(`its least units are not 1 to ${MAX_MIN_UNITS}`);
  const tags = needs.store.peek<CiphertextBody>('ciphertext', objectId(caller.party, terms.unitTags));
  if (tags === undefined || tags.body.kind !== 'unitTags') throw refused('its unit tags were not uploaded before');
  const counts = JSON.parse(tags.body.facts) as UnitCounts;
  if (counts.rows !== rows || counts.alignment !== header.alignment)
    throw refused('it is not aligned with its unit tags');
  if (Math.max(1, header.groups.length) < counts.groupUnits.length)
    throw refused('it has fewer groups than its unit tags');
  return { to: key.owner, programs, minUnits, units: counts.units, groupUnits: counts.groupUnits };
}

function refused(complaint: string): HomomorphicFault {
  return new HomomorphicFault('bad-column', `cannot take in this encrypted column: ${complaint}`);
}
