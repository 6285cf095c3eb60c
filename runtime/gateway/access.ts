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

/** Most characters of a note: notes are kept in memory and shown in lists. */
export const MAX_NOTE_CHARACTERS = 2000;

/** Throws when a note is longer than one may be. */
export function checkNote(note: string): void {
  if (note.length > MAX_NOTE_CHARACTERS)
    throw new Fault('argument-not-valid', `the note is longer than ${MAX_NOTE_CHARACTERS} characters`);
}

/** Longest document that a party may have read that writes no policies of its own, characters. */
export const MAX_GUEST_DOCUMENT = 64 * 1024;

/** Throws when a policy or its cases are longer than this caller may have read: reading costs everybody's time. */
export function checkDocument(caller: Caller, document: string): void {
  if (document.length > MAX_GUEST_DOCUMENT && !hasRole(caller, 'provider', 'operator', 'auditor'))
    throw new Fault(
      'argument-not-valid',
      `the document has ${document.length} characters: without the role \`provider\`, \`operator\` or \`auditor\` at most ${MAX_GUEST_DOCUMENT} are read`,
    );
}

/** Pages of a list that is already in memory, in a stable order; the token is the index to go on from. */
export function pageOf<Item>(
  items: readonly Item[],
  page: { readonly size: number; readonly token: string } | null,
): { readonly items: readonly Item[]; readonly nextPageToken: string } {
  const end = endOf(page);
  const start = end - sizeOf(page);
  return { items: items.slice(start, end), nextPageToken: end < items.length ? String(end) : '' };
}

/** How many items there must be before the end of a page. */
export function endOf(page: { readonly size: number; readonly token: string } | null): number {
  const token = page?.token ?? '';
  if (token !== '' && !/^\d{1,9}$/.test(token))
    throw new Fault('page-token-not-valid', 'the page token is not one that this runtime gave');
  return (token === '' ? 0 : Number(token)) + sizeOf(page);
}

const sizeOf = (page: { readonly size: number } | null): number =>
  page === null || page.size <= 0 ? DEFAULT_PAGE : Math.min(page.size, MAX_PAGE);

export const DEFAULT_PAGE = 100;
export const MAX_PAGE = 1000;
