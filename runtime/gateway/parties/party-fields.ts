import { PARTY_ROLES, type PartyRole } from '../../identity/party.ts';
import { Fault } from '../../rpc/fault.ts';

/** Whom the runtime's own certificate names when it calls a decryptor; no party may have it. */
export const RUNTIME_PARTY = 'runtime';
const GROUP_NAME = /^[a-z0-9][a-z0-9._-]{0,62}$/;

/** The roles that were asked for; at least one, each known and once. */
export function rolesOf(asked: readonly string[]): readonly PartyRole[] {
  const roles = PARTY_ROLES.filter((role) => asked.includes(role));
  if (roles.length === 0 || roles.length !== new Set(asked).size) {
    throw new Fault('argument-not-valid', `a party needs at least one role of: ${PARTY_ROLES.join(', ')}`);
  }
  return roles;
}

/** Groups that policies can name. */
export function groupsOf(groups: readonly string[]): readonly string[] {
  for (const group of groups) {
    if (!GROUP_NAME.test(group))
      throw new Fault(
        'argument-not-valid',
        `\`${group}\` is not a group name: lower-case letters, digits, \`.\`, \`_\` and \`-\``,
      );
  }
  return [...new Set(groups)].toSorted();
}

/** Where a party is; null: not known. */
export function jurisdictionOf(text: string): string | null {
  if (text === '') return null;
  if (!/^[A-Z]{2}$/.test(text))
    throw new Fault('argument-not-valid', `\`${text}\` is not an ISO 3166-1 code of two capitals, e.g. CN`);
  return text;
}
