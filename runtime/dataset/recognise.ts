/**
 * Metadata recognition at registration: what a column probably is, told from its name and from its values, and the
 * grade that follows. It is advice: what values speak for waits for a person's word (policy/grade-pack.ts), what only a
 * name speaks for is shown.
 *
 * Sources: GB 11643-1999 (identity number, ISO 7064 MOD 11-2 check), Luhn's algorithm (ISO/IEC 7812-1, bank cards),
 * mobile numbers of mainland China (11 digits, 13–19), RFC 5321 (mailbox form, simplified).
 */
import type { Grade } from '../policy/model.ts';
import type { SqlType } from '../query/types.ts';

export type Finding =
  | 'identityNumber'
  | 'mobileNumber'
  | 'bankCard'
  | 'email'
  | 'personName'
  | 'address'
  | 'keyCandidate';

export interface ColumnFindings {
  readonly column: string;
  readonly findings: readonly {
    readonly finding: Finding;
    /** Share of the values looked at that pass the test, 0 to 1; null when only the name speaks for it. */
    readonly share: number | null;
  }[];
  readonly suggestedGrade: Grade;
}

export interface ColumnSample {
  readonly name: string;
  readonly type: SqlType;
  /** Some values as text, without nulls; integers in plain digits. */
  readonly values: readonly string[];
  /** Whether every row of the column has a value and no value twice (an estimate will do). */
  readonly isUnique: boolean;
}

/** A test on values counts when at least this share of them pass. */
const LEAST_SHARE = 0.8;
/** A checksum that random digits pass once in ten or eleven needs at least this many values to mean something. */
const LEAST_VALUES = 5;

const VALUE_TESTS: readonly { readonly finding: Finding; readonly passes: (value: string) => boolean }[] = [
  { finding: 'identityNumber', passes: isIdentityNumber },
  { finding: 'mobileNumber', passes: (value) => /^(?:\+?86)?1[3-9]\d{9}$/.test(value.replaceAll(/[ -]/g, '')) },
  { finding: 'bankCard', passes: isBankCard },
  { finding: 'email', passes: (value) => /^[^\s@]{1,64}@[^\s@]+\.[^\s@.]{2,}$/.test(value) },
];

const NAME_TESTS: readonly { readonly finding: Finding; readonly pattern: RegExp }[] = [
  { finding: 'identityNumber', pattern: /(^|_)(id_?card|id_?no|identity(_?(no|number))?|ssn|passport)(_|$)|身份证/ },
  { finding: 'mobileNumber', pattern: /(^|_)(mobile|phone|tel|telephone|cell)(_?(no|number))?(_|$)|手机|电话/ },
  { finding: 'bankCard', pattern: /(^|_)(bank_?card|card_?(no|number)|iban|account_?(no|number))(_|$)|银行卡|卡号/ },
  { finding: 'email', pattern: /(^|_)e?_?mail(_|$)|邮箱/ },
  { finding: 'personName', pattern: /(^|_)((full|first|last|sur|given|patient|customer|person)_?name|name)(_|$)|姓名/ },
  { finding: 'address', pattern: /(^|_)(address|street|postal_?address)(_|$)|地址|住址/ },
  { finding: 'keyCandidate', pattern: /(^|_)(id|uuid|key)$|编号/ },
];

/** Findings for every column of a table. */
export function recognise(columns: readonly ColumnSample[]): readonly ColumnFindings[] {
  return columns.map((column) => {
    const byValue = VALUE_TESTS.flatMap(({ finding, passes }) => {
      const share =
        column.values.length < LEAST_VALUES ? 0 : column.values.filter(passes).length / column.values.length;
      return share >= LEAST_SHARE ? [{ finding, share }] : [];
    });
    const words = nameWords(column.name);
    const byName = NAME_TESTS.filter(({ pattern }) => pattern.test(words)).map(({ finding }) => ({
      finding,
      share: null,
    }));
    const unique = column.isUnique ? [{ finding: 'keyCandidate' as const, share: 1 }] : [];
    const findings = [...byValue, ...unique, ...byName].filter(
      ({ finding }, i, all) => all.findIndex((other) => other.finding === finding) === i,
    );
    return { column: column.name, findings, suggestedGrade: gradeOf(findings.map(({ finding }) => finding)) };
  });
}

/** The strictest grade among columns: the grade to suggest for the dataset. */
export function suggestedDatasetGrade(columns: readonly ColumnFindings[]): Grade {
  const order: readonly Grade[] = ['public', 'internal', 'important', 'core'];
  return columns.reduce<Grade>(
    (highest, { suggestedGrade }) =>
      order.indexOf(suggestedGrade) > order.indexOf(highest) ? suggestedGrade : highest,
    'internal',
  );
}

function gradeOf(findings: readonly Finding[]): Grade {
  if (findings.includes('identityNumber') || findings.includes('bankCard')) return 'core';
  const isPersonal = findings.some((finding) => finding !== 'keyCandidate');
  return isPersonal ? 'important' : 'internal';
}

/** `PatientName` and `patient-name` as `patient_name`. */
function nameWords(name: string): string {
  return name
    .replaceAll(/(\p{Ll})(\p{Lu})/gu, '$1_$2')
    .replaceAll(/[\s.-]+/g, '_')
    .toLowerCase();
}

const IDENTITY_WEIGHTS = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2] as const;
const IDENTITY_CHECKS = '10X98765432';

/** An 18-character identity number: region, a real date of birth, sequence, check character. */
export function isIdentityNumber(value: string): boolean {
  const text = value.toUpperCase();
  if (!/^[1-9]\d{5}(?:18|19|20)\d{9}[\dX]$/.test(text)) return false;
  const date = `${text.slice(6, 10)}-${text.slice(10, 12)}-${text.slice(12, 14)}`;
  const born = new Date(`${date}T00:00:00Z`);
  if (Number.isNaN(born.getTime()) || born.toISOString().slice(0, 10) !== date) return false;
  const sum = IDENTITY_WEIGHTS.reduce((total, weight, i) => total + weight * Number(text.charAt(i)), 0);
  return IDENTITY_CHECKS.charAt(sum % 11) === text.charAt(17);
}

/** A card number of 13 to 19 digits with a valid Luhn check digit and not one digit alone. */
export function isBankCard(value: string): boolean {
  const digits = value.replaceAll(/[ -]/g, '');
  if (!/^[3-9]\d{12,18}$/.test(digits) || /^(\d)\1*$/.test(digits)) return false;
  let sum = 0;
  for (let i = 0; i < digits.length; i++) {
    const digit = Number(digits.charAt(digits.length - 1 - i));
    const doubled = i % 2 === 1 ? digit * 2 : digit;
    sum += doubled > 9 ? doubled - 9 : doubled;
  }
  return sum % 10 === 0;
}
