import { type ClinicalFiles, distinct, type Figure, first, groupBy, type Line, mean, round } from './clinical-files.ts';

/** Patients behind every released figure, as policies/clinical.yaml says. */
export const MIN_UNITS = 10;

/** One group of the true answer, which only the demo can know: it holds the files. */
export interface Group {
  readonly figures: readonly Figure[];
  /** Distinct patients behind it; a group with fewer than `MIN_UNITS` must not come out. */
  readonly patients: number;
}

export interface Question {
  readonly title: string;
  readonly sql: string;
  /** The same figures worked out from the files by other means, small groups included. */
  readonly truth: (files: ClinicalFiles) => readonly Group[];
}

/** What a researcher would ask. */
export const QUESTIONS: readonly Question[] = [
  {
    title: 'How long did patients live under each treatment?',
    sql: `select rx, count(distinct id) as patients, round(avg(time)) as mean_days,
       round(100 * avg(status), 1) as died_percent
from colon where etype = 2 group by rx order by rx`,
    truth: ({ colon }) =>
      groupBy(colon.filter(isDeath), 'rx').map((lines) => ({
        figures: [first(lines, 'rx'), distinct(lines, 'id'), round(mean(lines, 'time')), percent(lines, 'status')],
        patients: distinct(lines, 'id'),
      })),
  },
  {
    title: 'How many died, by spread of the tumour and sex? (a join; the smallest group is withheld)',
    sql: `select e.spread, c.sex, count(distinct c.id) as patients, round(100 * avg(c.status), 1) as died_percent
from colon c join extent e on c.extent = e.code
where c.etype = 2 group by e.spread, c.sex order by e.spread, c.sex`,
    truth: ({ colon, extent }) =>
      groupBy(colon.filter(isDeath), 'extent', 'sex').map((lines) => ({
        figures: [
          extent.find(({ code }) => code === first(lines, 'extent'))?.['spread'] ?? '',
          Number(first(lines, 'sex')),
          distinct(lines, 'id'),
          percent(lines, 'status'),
        ],
        patients: distinct(lines, 'id'),
      })),
  },
  {
    title: 'How does bilirubin rise with the stage of cirrhosis? (up to 16 visits a patient count as one patient)',
    sql: `select stage, count(distinct id) as patients, round(avg(bili), 2) as bilirubin
from pbcseq group by stage order by stage`,
    truth: ({ pbcseq }) =>
      groupBy(pbcseq, 'stage').map((lines) => ({
        figures: [Number(first(lines, 'stage')), distinct(lines, 'id'), round(mean(lines, 'bili'), 2)],
        patients: distinct(lines, 'id'),
      })),
  },
  {
    title: 'What did people die of? (the rarest causes are withheld)',
    sql: `select chapter, count(*) as deaths, round(avg(futime)) as mean_days
from flchain where death = 1 group by chapter order by deaths desc`,
    truth: ({ flchain }) =>
      groupBy(
        flchain.filter(({ death }) => death === '1'),
        'chapter',
      ).map((lines) => ({
        figures: [first(lines, 'chapter'), lines.length, round(mean(lines, 'futime'))],
        patients: lines.length,
      })),
  },
];

/** The withheld group of the second question, asked for directly: eight men. */
export const SMALL_GROUP: Question = {
  title: 'And the withheld group, asked for directly?',
  sql: `select count(*) as patients, avg(status) as died
from colon where etype = 2 and extent = 1 and sex = 1`,
  truth: ({ colon }) => {
    const lines = colon.filter((line) => isDeath(line) && line['extent'] === '1' && line['sex'] === '1');
    return [{ figures: [lines.length, mean(lines, 'status')], patients: distinct(lines, 'id') }];
  },
};

/** Something that must be refused, and the code of the reason. */
export interface Attack {
  readonly title: string;
  readonly sql: string;
  readonly code: string;
}

export const ATTACKS: readonly Attack[] = [
  { title: 'read the rows', sql: 'select * from colon', code: 'rows-not-released' },
  { title: 'filter one patient', sql: 'select avg(time) from colon where id = 17', code: 'column-right-missing' },
  { title: 'use a column that is not granted', sql: 'select avg(chol) from pbcseq', code: 'column-unknown' },
  {
    title: 'launder rows through a sub-query',
    sql: 'select max(t) from (select id, sum(time) as t from colon group by id)',
    code: 'column-right-missing',
  },
  {
    title: 'launder rows through UNION',
    sql: 'select rx, 1 as n from colon union all select cast(time as varchar), 1 from colon',
    code: 'rows-not-released',
  },
  {
    title: 'collect values in an aggregate',
    sql: "select string_agg(rx, ',') from colon",
    code: 'aggregate-not-allowed',
  },
  {
    title: 'tell one patient by an odd expression',
    sql: 'select sum(1 / (time - 1521)) from colon',
    code: 'division-by-column',
  },
  {
    title: 'read a file of the server',
    sql: "select count(*) from read_csv('/etc/passwd')",
    code: 'sql-not-allowed',
  },
  { title: 'two statements in one', sql: 'select count(*) from colon; drop table colon', code: 'sql-syntax' },
];

const isDeath = ({ etype }: Line): boolean => etype === '2';
const percent = (lines: readonly Line[], column: string): number => round(100 * mean(lines, column), 1);
