import type { Caller, PartyRole } from '../identity/party.ts';
import { hasRole } from '../identity/party.ts';
import { Fault } from '../rpc/fault.ts';

/** Throws `role-missing` unless the caller has one of the roles. What a role may do is said in docs/security-model.md. */
export function requireRole(caller: Caller, what: string, ...roles: readonly PartyRole[]): void {
  if (hasRole(caller, ...roles)) return;
  throw new Fault(
    'role-missing',
    `party \`${caller.party}\` may not ${what}: it needs the role ${roles.map((role) => `\`${role}\``).join(' or ')}`,
  );
}

/** Pages of a list that is already in memory, in a stable order; the token is the index to go on from. */
export function pageOf<Item>(
  items: readonly Item[],
  page: { readonly size: number; readonly token: string } | null,
): { readonly items: readonly Item[]; readonly nextPageToken: string } {
  const size = page === null || page.size <= 0 ? DEFAULT_PAGE : Math.min(page.size, MAX_PAGE);
  const token = page?.token ?? '';
  if (token !== '' && !/^\d{1,9}$/.test(token))
    throw new Fault('page-token-not-valid', 'the page token is not one that this runtime gave');
  const start = token === '' ? 0 : Number(token);
  const end = start + size;
  return { items: items.slice(start, end), nextPageToken: end < items.length ? String(end) : '' };
}

export const DEFAULT_PAGE = 100;
export const MAX_PAGE = 1000;
