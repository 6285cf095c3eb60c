import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fc } from '../property.ts';
import { isBankCard, isIdentityNumber, suggestedDatasetGrade } from '../../runtime/dataset/recognise.ts';
import { BenchFolder } from './bench-folder.ts';

describe('recognition', () => {
  it('knows identity numbers and cards by their check characters', () => {
    assert.ok(isIdentityNumber('11010519491231002X'), 'the example of GB 11643');
    assert.ok(!isIdentityNumber('110105194912310021'));
    assert.ok(!isIdentityNumber('11010519490231002X'), 'no such day');
    assert.ok(isBankCard('4111 1111 1111 1111'));
    assert.ok(!isBankCard('4111111111111112'));
    assert.ok(!isBankCard('0000000000000000'));
    fc.assert(fc.property(fc.string(), (text) => !isIdentityNumber(text) && !isBankCard(text)));
  });

  it('advises at registration, by values and by names', async () => {
    await using bench = await BenchFolder.create();
    const rows = Array.from(
      { length: 20 },
      (_, i) => `${i},11010519491231002X,1380013800${i % 10},p${i}@example.org,Ann ${i},${i % 3}`,
    );
    const text = `id,number,contact,e_mail,PatientName,ward\n${rows.join('\n')}\n`;
    const { findings } = await bench.register('h/p', [await bench.source('p.csv', text)]);
    const found = Object.fromEntries(
      (findings[0]?.columns ?? []).map(({ column, findings: all, suggestedGrade }) => [
        column,
        [all.map(({ finding }) => finding), suggestedGrade],
      ]),
    );
    assert.deepEqual(found, {
      id: [['keyCandidate'], 'internal'],
      number: [['identityNumber'], 'core'],
      contact: [['mobileNumber'], 'important'],
      e_mail: [['email', 'keyCandidate'], 'important'],
      PatientName: [['keyCandidate', 'personName'], 'important'],
      ward: [[], 'internal'],
    });
    assert.equal(suggestedDatasetGrade(findings[0]?.columns ?? []), 'core');
  });
});
