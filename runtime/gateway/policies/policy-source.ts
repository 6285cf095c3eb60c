import type { ClauseOrigin } from '../../gen/messages.ts';
import type { AgreementForJob } from '../../job/admission.ts';
import type { UsagePolicy } from '../../policy/model.ts';
import type { Reason } from '../../policy/reason.ts';
import { type ParsedPolicy, parsePolicy } from '../../policy-file/parse-policy.ts';
import type { Path } from '../../policy-file/document.ts';
import type { GatewayNeeds } from '../needs.ts';
import type { AgreementBody, PolicyBody } from '../records.ts';

/** The document that an agreement's policy was written in, so that a rule can be shown where it stands. */
export interface PolicySource {
  readonly policy: UsagePolicy;
  readonly fileName: string;
  readonly placeOf: (path: Path) => { readonly line: number; readonly column: number };
  readonly isFlat: boolean;
}

const parsed = new WeakMap<PolicyBody, ParsedPolicy>();

/** Undefined when the document is gone or can no longer be read. */
export function sourceOf({ store }: Pick<GatewayNeeds, 'store'>, agreement: AgreementForJob): PolicySource | undefined {
  const pinned = store.peek<AgreementBody>('agreement', agreement.id)?.body.policyRecord;
  const body = pinned === undefined ? undefined : store.peek<PolicyBody>('policy', pinned)?.body;
  // INVARIANT: only the document of exactly the policy that was signed is shown.
  if (body === undefined || body.digest !== agreement.policyDigest) return undefined;
  let read = parsed.get(body);
  if (read === undefined) parsed.set(body, (read = parsePolicy(body.document, body.fileName)));
  if (read.kind !== 'policy') return undefined;
  const { document, complaintAt } = read;
  return {
    policy: agreement.policy,
    fileName: body.fileName === '' ? 'policy.yaml' : body.fileName,
    isFlat: document.tables === undefined,
    placeOf: (path) => complaintAt(path, ''),
  };
}

/** Line of a rule in its document, 1-based. */
export function ruleLine(source: PolicySource, rule: string): number {
  const index = source.policy.allow.findIndex(({ id }) => id === rule);
  return source.placeOf(['allow', Math.max(0, index)]).line;
}

const NOWHERE: ClauseOrigin = { fileName: '', line: 0, column: 0, path: '' };

/** Codes of refusals that a column's rights decide. */
const OF_COLUMNS: ReadonlySet<string> = new Set([
  'column-right-missing',
  'aggregate-not-granted',
  'column-unknown',
  'bounds-missing',
]);

/** Where what decided stands: the column's line for its rights, else the rule's. */
export function clauseOrigin(sources: readonly PolicySource[], reason: Reason): ClauseOrigin {
  if (OF_COLUMNS.has(reason.code)) {
    // Our own message quotes the name; it is looked up among the policy's columns, and nothing else is done with it.
    const names = [...reason.message.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name.split('.').at(-1) ?? '');
    for (const source of sources) {
      for (const table of source.policy.tables) {
        const column = table.columns.find(({ name }) => names.includes(name));
        if (column === undefined) continue;
        return told(source, [...(source.isFlat ? [] : ['tables', table.name ?? '']), 'columns', column.name]);
      }
    }
    const [only] = sources;
    return only === undefined ? NOWHERE : told(only, only.isFlat ? ['columns'] : ['tables']);
  }
  const source = sources.find(({ policy }) => reason.clause?.includes(`${policy.dataset} v${policy.version}`));
  if (source === undefined) return NOWHERE;
  const [, list, id] = /(allow|deny)\[([^\]]*)\]/.exec(reason.clause ?? '') ?? [];
  if (list !== 'allow' && list !== 'deny')
    return reason.clause?.endsWith(' defaults') === true ? told(source, ['defaults']) : told(source, []);
  const index = source.policy[list].findIndex((rule) => rule.id === id);
  const [, rest = ''] = /\]((?:\.\w+)+)$/.exec(reason.clause ?? '') ?? [];
  return told(source, [list, Math.max(0, index), ...rest.split('.').filter((part) => part !== '')]);
}

function told(source: PolicySource, path: Path): ClauseOrigin {
  const { line, column } = source.placeOf(path);
  return { fileName: source.fileName, line, column, path: path.join('.') };
}
