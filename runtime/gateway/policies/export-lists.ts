import type { Caller } from '../../identity/party.ts';
import { parseExportList } from '../../policy-file/export-list.ts';
import type { ExportList } from '../../policy/export-list.ts';
import { Fault } from '../../rpc/fault.ts';
import type { Expectation } from '../../store/jobs.ts';
import { requireRole } from '../access.ts';
import { evidence, type GatewayNeeds } from '../needs.ts';

/** Id of the setting that holds the list in force. */
const IN_FORCE = 'exportList';
type ListBody = { readonly digest: string; readonly document: string; readonly list: string };

/** The list in force; null when none was ever set. */
export function exportListOf(needs: Pick<GatewayNeeds, 'store'>): ExportList | null {
  const record = needs.store.peek<ListBody>('setting', IN_FORCE);
  return record === undefined ? null : (JSON.parse(record.body.list) as ExportList);
}

/** The state in which the setting is while this list is in force; null: none was ever set. */
export function listInForce(list: ExportList | null): Expectation {
  return { table: 'setting', id: IN_FORCE, state: list === null ? null : String(list.version) };
}

/** What the operator says about export: a list is replaced by a later version only, and each is on record. */
export function exportLists(needs: GatewayNeeds): {
  readonly set: (
    caller: Caller,
    document: string,
  ) => Promise<{ readonly complaints: readonly string[]; readonly version: number; readonly digest: string }>;
  readonly get: (caller: Caller) => { readonly version: number; readonly digest: string; readonly document: string };
} {
  return {
    set: async (caller, document) => {
      requireRole(caller, 'set the export list', 'operator');
      const parsed = parseExportList(document);
      if (parsed.kind === 'complaints') return { complaints: parsed.complaints, version: 0, digest: '' };
      const { list } = parsed;
      const before = needs.store.peek<ListBody>('setting', IN_FORCE);
      const present = exportListOf(needs);
      if (present !== null && (list.name !== present.name || list.version <= present.version)) {
        const problem = `\`${list.name}\` version ${list.version} does not follow \`${present.name}\` version ${present.version}, which is in force`;
        return { complaints: [problem], version: present.version, digest: before?.body.digest ?? '' };
      }
      const digest = needs.sha256(document);
      const body: ListBody = { digest, document, list: JSON.stringify(list) };
      const record = {
        table: 'setting',
        id: IN_FORCE,
        owner: '',
        state: String(list.version),
        atMs: needs.nowMs(),
        body,
      } as const;
      const outcome = await needs.store.transact([
        { do: 'expect', table: 'setting', id: IN_FORCE, state: before?.state ?? null },
        { do: 'put', record },
        {
          do: 'record',
          event: evidence(
            needs,
            'exportList.set',
            [{ name: `exportList/${list.name}@${list.version}`, sha256: digest }],
            {
              by: needs.pseudonymOf(caller.party),
              fields: list.fields.length,
              inside: list.inside,
            },
          ),
        },
      ]);
      if (outcome.kind === 'refused') throw new Fault('conflict', 'the list was set by somebody else meanwhile');
      return { complaints: [], version: list.version, digest };
    },
    get: (caller) => {
      requireRole(caller, 'see the export list', 'operator', 'auditor', 'provider');
      const record = needs.store.peek<ListBody>('setting', IN_FORCE);
      if (record === undefined) throw new Fault('not-found', 'no export list is set');
      const { digest, document } = record.body;
      return { version: Number(record.state), digest, document };
    },
  };
}
