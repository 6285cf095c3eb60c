import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Ajv2019 } from 'ajv/dist/2019.js';
import { fc } from '../property.ts';
import { DataFactory, Parser, Store, type Quad, type Term } from 'n3';
import Validator from 'rdf-validate-shacl';
import { policyToOdrl, type LdNode } from '../../runtime/policy/odrl/compile.ts';
import { policyToDsp } from '../../runtime/policy/odrl/dsp.ts';
import { NAMESPACES } from '../../runtime/policy/odrl/terms.ts';
import { anyPolicy } from '../policy/odrl/arbitrary-policy.ts';

const SCHEMAS = join(import.meta.dirname, 'schemas');
const ODRL = NAMESPACES.odrl;
const TYPE = DataFactory.namedNode(`${NAMESPACES.rdf}type`);

/** What the ODRL 2.2 vocabulary says of its classes: the shapes aim at the wider ones. */
const CLASSES = `
  @prefix odrl: <${ODRL}> . @prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .
  odrl:Offer rdfs:subClassOf odrl:Policy . odrl:Permission rdfs:subClassOf odrl:Rule .
  odrl:Prohibition rdfs:subClassOf odrl:Rule . odrl:Duty rdfs:subClassOf odrl:Rule .`;
const shapes = new Store(new Parser().parse(readFileSync(join(SCHEMAS, 'shapesv2.ttl'), 'utf8') + CLASSES));
const validator = new Validator(shapes);

/** ODRL has no policy without a rule. */
const withRules = anyPolicy.filter(({ allow, deny, duties }) => allow.length + deny.length + duties.length > 0);

test('every policy, exported as ODRL, conforms to the W3C shapes', async () => {
  await fc.assert(
    fc.asyncProperty(withRules, async (policy) => {
      const { conforms, results } = await complaintsOn(policyToOdrl(policy, 'hospital'));
      assert.ok(conforms, results.join('\n'));
    }),
    { numRuns: 40 },
  );
});

test('the W3C shapes refuse an export from which something was left out', async () => {
  const [policy] = fc.sample(
    anyPolicy.filter((one) => one.allow.length > 0),
    { numRuns: 1, seed: 7 },
  );
  assert.ok(policy !== undefined);
  const whole = JSON.stringify(policyToOdrl(policy, 'hospital'));
  for (const term of ['action', 'assigner', 'target', 'operator', 'leftOperand', 'rightOperand']) {
    const without = JSON.parse(whole.replaceAll(`"${ODRL}${term}":`, `"${ODRL}left-out":`)) as LdNode;
    assert.ok(!(await complaintsOn(without)).conforms, term);
  }
});

test('every policy, as an offer of the Dataspace Protocol, is valid by its contract schema', () => {
  const schema = JSON.parse(readFileSync(join(SCHEMAS, 'contract-schema.json'), 'utf8')) as { $id: string };
  const ajv = new Ajv2019({ strict: false, allErrors: true });
  ajv.addSchema(schema);
  const isValid = ajv.getSchema(`${schema.$id}#/definitions/MessageOffer`);
  assert.ok(isValid !== undefined);
  fc.assert(
    fc.property(
      anyPolicy.filter((one) => one.allow.length + one.deny.length > 0),
      (policy) => {
        const offer = policyToDsp(policy, 'hospital');
        assert.ok(isValid(offer), ajv.errorsText(isValid.errors));
        // Numbers are texts, and every operand and action is a full IRI: short ones would resolve to other words.
        for (const { action, constraint = [] } of [...(offer.permission ?? []), ...(offer.prohibition ?? [])])
          for (const iri of [action, ...constraint.map(({ leftOperand }) => leftOperand)])
            assert.match(iri, /^https?:\/\//);
        assert.equal(offer.permission?.length ?? 0, policy.allow.length);
        assert.equal(offer.prohibition?.length ?? 0, policy.deny.length);
      },
    ),
    { numRuns: 100 },
  );
  const [policy] = fc.sample(
    anyPolicy.filter((one) => one.allow.length > 0),
    1,
  );
  assert.ok(policy !== undefined);
  const { permission: _left, prohibition: _out, ...empty } = policyToDsp(policy, 'hospital');
  assert.ok(!isValid(empty));
  const offer = policyToDsp(policy, 'hospital');
  assert.ok(!isValid({ ...offer, permission: [{ action: 1 }] }));
  assert.ok(
    !isValid({
      ...offer,
      permission: [{ action: 'a', constraint: [{ leftOperand: 'b', operator: 'eq', rightOperand: 1 }] }],
    }),
  );
});

async function complaintsOn(odrl: LdNode): Promise<{ conforms: boolean; results: readonly string[] }> {
  const quads: Quad[] = [];
  node(odrl, quads);
  const report = await validator.validate(new Store([...quads, ...new Parser().parse(CLASSES)]));
  const results = report.results.map(
    (one) =>
      `${one.focusNode?.value ?? ''} ${one.path === null ? '' : JSON.stringify(one.path)} ${String(one.sourceConstraintComponent?.value)}`,
  );
  return { conforms: report.conforms, results };
}

/** Expanded JSON-LD to RDF (JSON-LD 1.1 §8): the export has full IRIs everywhere, so no context is needed. */
function node(value: LdNode, quads: Quad[]): Term {
  const id = value['@id'];
  const subject = typeof id === 'string' ? DataFactory.namedNode(id) : DataFactory.blankNode();
  for (const [key, given] of Object.entries(value)) {
    if (key === '@id' || typeof given === 'string') continue;
    for (const one of given as unknown as readonly (LdNode | string)[]) {
      if (typeof one === 'string') quads.push(DataFactory.quad(subject, TYPE, DataFactory.namedNode(one)));
      else if (typeof one['@value'] === 'string')
        quads.push(
          DataFactory.quad(
            subject,
            DataFactory.namedNode(key),
            DataFactory.literal(
              one['@value'],
              typeof one['@type'] === 'string' ? DataFactory.namedNode(one['@type']) : undefined,
            ),
          ),
        );
      else
        quads.push(
          DataFactory.quad(
            subject,
            DataFactory.namedNode(key),
            node(one, quads) as ReturnType<typeof DataFactory.blankNode>,
          ),
        );
    }
  }
  return subject;
}
