import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { evaluateRule } from '../../../runtime/policy/odrl/evaluate.ts';
import type { Constraint, DutyState, OdrlRule, Operator } from '../../../runtime/policy/odrl/model.ts';

/**
 * The ODRL Test Suite of SolidLabResearch (MIT licence, © 2019–2025 imec), as plain JSON: 68 policies of one rule with
 * the state of the world and the compliance report that is expected.
 */
interface SuiteRule extends Omit<OdrlRule, 'constraint'> {
  readonly constraint: readonly SuiteConstraint[];
}
interface SuiteConstraint {
  readonly id: string;
  readonly and?: readonly SuiteConstraint[];
  readonly or?: readonly SuiteConstraint[];
  readonly xone?: readonly SuiteConstraint[];
  readonly leftOperand: string;
  readonly operator: Operator;
  readonly rightOperand: readonly { readonly v: string }[];
}
interface SuiteCase {
  readonly title: string;
  readonly policy: readonly SuiteRule[];
  readonly request: SuiteRule;
  readonly sotw: {
    readonly now: string;
    readonly partOf: readonly (readonly [string, string])[];
    readonly duties: Record<string, DutyState>;
  };
  readonly expected: readonly {
    readonly rule: string;
    readonly activation: string;
    readonly constraints: Record<string, string>;
  }[];
}

const file = join(import.meta.dirname, '..', '..', 'fixtures', 'odrl', 'odrl-68.json.gz');
const cases = JSON.parse(gunzipSync(readFileSync(file)).toString()) as readonly SuiteCase[];

function constraintOf(from: SuiteConstraint): Constraint {
  for (const logic of ['and', 'or', 'xone'] as const) {
    const operands = from[logic];
    if (operands !== undefined) return { id: from.id, logic, operands: operands.map(constraintOf) };
  }
  return {
    id: from.id,
    leftOperand: from.leftOperand,
    operator: from.operator,
    rightOperand: from.rightOperand.map(({ v }) => v),
  };
}

test('all 68 rule activations and all 2400 constraint states of the ODRL Test Suite are as expected', () => {
  let activations = 0;
  let states = 0;
  for (const { title, policy, request, sotw, expected } of cases) {
    for (const [index, rule] of policy.entries()) {
      const report = evaluateRule(
        { ...rule, constraint: rule.constraint.map(constraintOf) },
        { assignee: request.assignee[0] ?? null, target: request.target[0] ?? null, action: request.action[0] ?? '' },
        { values: { 'odrl:dateTime': Date.parse(sotw.now) }, partOf: sotw.partOf, duties: sotw.duties, narrower: [] },
      );
      const wanted = expected[index];
      assert.equal(report.activation, wanted?.activation, title);
      activations++;
      for (const [id, state] of Object.entries(wanted?.constraints ?? {})) {
        assert.equal(report.constraints[id], state, `${title}: ${id}`);
        states++;
      }
    }
  }
  assert.deepEqual({ activations, states }, { activations: 68, states: 2400 });
});
