import type { Source } from '../syntax.ts';
import {
  addConditions,
  checkPicks,
  conjuncts,
  EMPTY,
  type From,
  lookup,
  printConditions,
  readFrom,
  type ReleasedSource,
  type SourceNeeds,
} from './sources.ts';
import { alias, mergeScopes } from '../rows.ts';
import { checkNoneGiven } from './public-joins.ts';
import { partnersBesideRows, valuesBesideRows } from './beside-rows.ts';
import { hasPartner, isPickedBy } from './semi-join.ts';
import { type Place, refuse } from '../refusal.ts';
import { buildCall } from '../resolve/call.ts';
import { joinList } from './lookup-list.ts';
import { joinUnitValues } from './left-values.ts';
import type { State } from './state.ts';
import type { Typed } from '../typed.ts';
import { emptyWithout, makesValues, telling } from './without-partner.ts';

/** JOIN: what two sources are together. */
export function readJoin(source: Source & { kind: 'join' }, needs: SourceNeeds): From {
  const first = readFrom(source.left, needs);
  const before = { noisy: needs.state.noise?.uses ?? 0, brought: needs.state.brought };
  const second = apartFrom(first, readFrom(source.right, needs), needs.state);
  const isInner = source.type === 'inner' || source.type === 'cross';
  const left = isInner ? valuesBesideRows(second, first, source.left, needs) : first;
  const right = isInner ? valuesBesideRows(left, second, source.right, needs) : second;
  const using = source.isNatural === true ? sharedNames(left, right, source.at) : source.using;
  const both: From = {
    visible: [...left.visible, ...right.visible],
    scope: mergeScopes(left.scope, right.scope),
    released: [...left.released, ...right.released],
    merged: [...left.merged, ...right.merged, ...using.map((name) => name.toLowerCase())],
  };
  const isTest = source.type === 'semi' || source.type === 'anti';
  const hasPrivate = both.scope.bases.some((base) => !base.table.isPublic);
  const isListFirst = isListed(left) && !isListed(right) && source.type === 'inner';
  if (hasPrivate && !isTest && !isListed(right) && !isListFirst) checkNoneGiven(both.scope);
  if (hasPrivate && both.scope.predicates.some(isPickedBy))
    refuse(
      'join-with-released',
      'a public table that a table of yours or a noisy answer narrowed cannot be joined to private rows',
      source.at ?? { words: ['join'] },
      'join the table itself, or join the released result',
    );
  const over = hasPrivate ? 'rows' : 'released';
  const conditions = [
    ...using.map((name) =>
      buildCall('=', [lookup(left, [name], source.at), lookup(right, [name], source.at)], over, source.at),
    ),
    ...(source.condition === null ? [] : conjuncts(source.condition).map((one) => needs.resolveIn(both, one, over))),
  ];
  const partners = partnersBesideRows({ left, right }, conditions, source, needs);
  if (partners !== null) return partners;
  if (isTest) {
    const at = source.at ?? { words: [source.type] };
    if (hasPrivate) checkPicks(needs.state, before, at);
    const found = hasPartner(needs.state, right, conditions, { at, isJoin: true });
    const test = source.type === 'semi' ? found : buildCall('not', [found], over, source.at);
    return { ...left, scope: addConditions(left.scope, [test]) };
  }
  if (hasPrivate && isListFirst) {
    const swapped = { left: right, right: left, both };
    const asCase = joinList(swapped, conditions, { isLeft: false, at: source.at });
    if (asCase !== null) return asCase;
    checkNoneGiven(both.scope);
  }
  if (hasPrivate && isListed(right)) {
    const isLeft = source.type === 'left';
    const asCase =
      isLeft || source.type === 'inner' ? joinList({ left, right, both }, conditions, { isLeft, at: source.at }) : null;
    if (asCase !== null) return asCase;
    checkNoneGiven(both.scope);
  }
  if (source.type === 'left') {
    return (
      joinUnitValues(needs.state, { left, right, both }, conditions, source.at) ??
      readLeftJoin(left, right, both, conditions, hasPrivate, source.at)
    );
  }
  if (source.type === 'right' || source.type === 'full') {
    if (hasPrivate)
      refuse('outer-join-private', 'an outer join to private rows is not offered', source.at, 'use an inner join');
    return readOuterJoin({ left, right, both, conditions }, { ...source, using });
  }
  return { ...both, scope: addConditions(both.scope, conditions) };
}

/** Whether a source is one list of constants. */
const isListed = ({ scope: { bases } }: From): boolean => bases.length === 1 && bases[0]?.table.listed !== undefined;

/**
 * One noisy answer on both sides: rows of it are told apart by the side that they come from, or the intervals of one row
 * would be shown beside another.
 */
function apartFrom(left: From, right: From, state: State): From {
  if (state.noise === undefined) return right;
  const domains = left.released.flatMap(({ certificates }) => certificates.map(({ domain }) => domain));
  const shared = right.released
    .flatMap(({ certificates }) => certificates.map(({ domain }) => domain))
    .filter((domain) => domains.includes(domain));
  if (shared.length === 0) return right;
  const side = state.nextRelation++;
  const renamed = (domain: string): string => (shared.includes(domain) ? `${domain} #${side}` : domain);
  return {
    ...right,
    visible: right.visible.map((one) => ({
      ...one,
      columns: one.columns.map((column) =>
        column.noisy === undefined
          ? column
          : {
              ...column,
              noisy: Object.fromEntries(Object.entries(column.noisy).map(([domain, cell]) => [renamed(domain), cell])),
            },
      ),
    })),
    released: right.released.map((one) => ({
      ...one,
      certificates: one.certificates.map(({ domain, sql }) => ({ domain: renamed(domain), sql })),
    })),
  };
}

/** NATURAL: the names that both sides have. */
function sharedNames(left: From, right: From, at: Place): readonly string[] {
  const names = (from: From): string[] => from.visible.flatMap(({ columns }) => columns.map(({ name }) => name));
  const theirs = new Set(names(right).map((name) => name.toLowerCase()));
  const shared = [...new Map(names(left).map((name) => [name.toLowerCase(), name]))].filter(([name]) =>
    theirs.has(name),
  );
  if (shared.length === 0)
    refuse('wrong-arguments', 'NATURAL JOIN: the two sides have no column of one name', at, 'write JOIN … ON a = b');
  return shared.map(([, name]) => name);
}

/** LEFT JOIN adds columns and leaves nothing out; to a private table it would count who is missing there. */
function readLeftJoin(
  left: From,
  right: From,
  both: From,
  conditions: readonly Typed[],
  hasPrivate: boolean,
  at: Place,
): From {
  const [base, ...otherBases] = right.scope.bases;
  const [released, ...otherReleased] = right.released;
  const isOne = (base === undefined) !== (released === undefined) && otherBases.length + otherReleased.length === 0;
  const isPlain = right.scope.predicates.length === 0 && base?.leftOn == null && released?.leftOn == null;
  if (!isOne || !isPlain || base?.table.isPublic === false || (hasPrivate && base === undefined)) {
    refuse(
      'outer-join-private',
      'LEFT JOIN, and a sub-query for each row, is offered to one public table at a time, and to values per unit',
      at,
      'use an inner join, LEFT JOIN (SELECT unit, count(*) … GROUP BY unit) on the unit, or NOT EXISTS for who has none',
    );
  }
  if (base !== undefined) {
    const { visible, scope } = withoutPartner(right, at);
    const bases = scope.bases.map((one) => ({ ...one, leftOn: conditions }));
    return {
      ...both,
      visible: [...left.visible, ...visible],
      scope: { ...both.scope, bases: [...left.scope.bases, ...bases] },
    };
  }
  const joined = released === undefined ? [] : [{ ...released, leftOn: conditions }];
  return { ...both, released: [...left.released, ...joined] };
}

/** One source beside which rows without a partner stand, with NULL in every column of theirs. */
function withoutPartner(side: From, at: Place): From {
  const [base] = side.scope.bases;
  if (base === undefined || !makesValues(side.visible, base.relation)) return side;
  const table = telling(base.table);
  const scope = { ...side.scope, bases: [{ ...base, table }] };
  return { ...side, scope, visible: emptyWithout({ relation: base.relation, table }, side.visible, at) };
}

/** RIGHT and FULL JOIN of two sources that hold nothing private: printed as one source. */
function readOuterJoin(
  parts: { readonly left: From; readonly right: From; readonly both: From; readonly conditions: readonly Typed[] },
  source: Source & { kind: 'join' },
): From {
  const { both, conditions } = parts;
  const [left, right] = [withoutPartner(parts.left, source.at), withoutPartner(parts.right, source.at)];
  const sides = [left, right].map((side) => {
    const [only, ...others] = asReleased(side);
    const isOne = only !== undefined && others.length === 0 && only.leftOn === null;
    if (!isOne || side.scope.equalities.length + side.scope.predicates.length > 0)
      refuse(
        'outer-join-private',
        'RIGHT and FULL JOIN are offered between two plain sources',
        source.at,
        'use LEFT JOIN',
      );
    return only;
  });
  const from = sides.map((side) => side?.from).join(` ${source.type.toUpperCase()} JOIN `);
  const joined: ReleasedSource = {
    from: `${from} ON (${printConditions(conditions)})`,
    leftOn: null,
    certificates: sides.flatMap((side) => side?.certificates ?? []),
  };
  // A column of USING is the one of whichever side has a row.
  const columns = source.using.map((name) => {
    const args = [lookup(left, [name], source.at), lookup(right, [name], source.at)];
    return { name, role: 'derived' as const, expression: buildCall('coalesce', args, 'released', source.at) };
  });
  const own = [...left.visible, ...right.visible];
  const visible = columns.length === 0 ? own : [{ names: [], columns }, ...own];
  return { ...both, visible, scope: EMPTY, released: [joined] };
}

/** The sources of a FROM in which nothing is private: inner ones first, then what LEFT JOIN adds to them. */
export function asReleased(from: From): readonly ReleasedSource[] {
  const bases = from.scope.bases.map((base): ReleasedSource => ({
    from: `${base.table.physical} AS ${alias(base.relation)}`,
    leftOn: base.leftOn,
    certificates: [],
  }));
  const all = [...bases, ...from.released];
  return [...all.filter((one) => one.leftOn === null), ...all.filter((one) => one.leftOn !== null)];
}
