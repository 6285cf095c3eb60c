import { chmodSync, closeSync, mkdirSync, openSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { fsyncFolder } from './durable-file.ts';
import { StoreFault } from './fault.ts';

/**
 * Each entry brings the schema from its index to the next version; entries are never changed once released. All that are
 * missing run in one transaction with the new version's number: a crash leaves the old schema or the new one. They may
 * add tables, indexes and columns of unsealed tables; the rows of sealed tables (`record`, `balance`, `use`) are covered by
 * the seal, which is checked right afterwards and refuses a step that changes them. test/fixtures/state holds a data
 * directory of every released version, which must open.
 * Reservations are found by their job's id only: without indexes a debit writes a third fewer pages.
 */
export const MIGRATIONS: readonly string[] = [
  `
  create table record(
    kind text not null, id text not null, owner text not null, state text not null, at integer not null,
    body text not null, bytes blob, primary key (kind, id)
  ) strict, without rowid;
  create index record_by_time on record(kind, at desc, id desc) where kind <> 'reservation';
  create index record_by_owner on record(kind, owner, at desc, id desc) where kind <> 'reservation';
  create index record_by_state on record(kind, state, at desc, id desc) where kind <> 'reservation';
  create table balance(
    budget text primary key, spent integer not null, held integer not null, topped_up integer not null,
    window_ms integer not null, window_spent integer not null, window_from integer not null,
    check (spent >= 0 and held >= 0 and topped_up >= 0 and window_spent >= 0)
  ) strict, without rowid;
  create table use(
    budget text not null, at integer not null, reservation text not null, line integer not null, amount integer not null,
    primary key (budget, at, reservation, line)
  ) strict, without rowid;
  create table evidence(position integer primary key, kind text not null, at integer not null, entry blob not null) strict;
  create index evidence_by_kind on evidence(kind, position);
  create table seal(
    id integer primary key check (id = 1), digest blob not null, log_size integer not null, latest_ms integer not null,
    checkpoint text not null, mac blob not null
  ) strict;
  `,
];

/** A file of this application, not any SQLite database: `Gbox` in ASCII. */
const APPLICATION_ID = 0x47626f78;

/**
 * Opens (or creates) the database of a data directory for this process alone. Throws a StoreFault when another process
 * holds it, when it is not ours or damaged, or when it is newer than this runtime.
 */
export function openDatabase(
  file: string,
  migrations: readonly string[] = MIGRATIONS,
): { readonly database: DatabaseSync; readonly isNew: boolean } {
  const folder = dirname(file);
  makePrivateFolder(folder);
  closeSync(openSync(file, 'a', 0o600)); // created by us, so that it never exists with wider rights
  chmodSync(file, 0o600);
  const database = new DatabaseSync(file, { timeout: 0, allowExtension: false });
  try {
    // Exclusive before WAL: the lock then lasts until close or death, and the wal-index lives in memory, not in a file.
    database.exec('pragma locking_mode = exclusive; pragma journal_mode = wal; pragma synchronous = full;');
    database.exec('pragma trusted_schema = off; pragma cell_size_check = on; pragma temp_store = memory;');
    // What is deleted is overwritten with zeros where its page is written anyway: a salt that is erased is to be gone.
    database.exec('pragma secure_delete = fast');
    // 16 MiB of log before its pages move into the database: that move costs syncs of its own.
    database.exec('pragma wal_autocheckpoint = 4000');
    database.exec('begin exclusive');
    const isNew = migrate(database, file, migrations);
    if (!isNew) checkStructure(database, file, migrations);
    database.exec('commit');
    // After a failed sync the disk may lack what the page cache still shows: written once more, it is there for certain.
    database.exec('pragma wal_checkpoint(truncate)');
    fsyncFolder(folder);
    fsyncFolder(dirname(folder));
    return { database, isNew };
  } catch (error) {
    database.close();
    throw openFault(error, file);
  }
}

function migrate(database: DatabaseSync, file: string, migrations: readonly string[]): boolean {
  const version = pragma(database, 'user_version');
  const application = pragma(database, 'application_id');
  const tables = database.prepare('select count(*) as n from sqlite_schema').get()?.['n'];
  const isNew = version === 0 && application === 0 && tables === 0;
  if (!isNew && application !== APPLICATION_ID) {
    throw new StoreFault('state-tampered', `'${file}' is not the state of a Glovebox`);
  }
  if (version > migrations.length) {
    throw new StoreFault(
      'state-too-new',
      `'${file}' has schema version ${version}, this runtime knows ${migrations.length}: use a newer runtime`,
    );
  }
  for (const step of migrations.slice(version)) database.exec(step);
  database.exec(`pragma application_id = ${APPLICATION_ID}; pragma user_version = ${migrations.length};`);
  return isNew;
}

/**
 * The seal covers rows, not what works on them: an added trigger would change a balance behind the back of whoever debits
 * it, and a damaged index hides a switch that is on. So the schema must be ours word for word, and the indexes those of
 * their tables.
 */
function checkStructure(database: DatabaseSync, file: string, migrations: readonly string[]): void {
  const ours = new DatabaseSync(':memory:');
  try {
    for (const step of migrations) ours.exec(step);
    if (schemaOf(database) !== schemaOf(ours))
      throw new StoreFault('state-tampered', `the schema of '${file}' is not the one that this runtime made`);
  } finally {
    ours.close();
  }
  const problem = String(database.prepare('pragma integrity_check(1)').get()?.['integrity_check']);
  if (problem !== 'ok') throw new StoreFault('state-tampered', `'${file}' is damaged: ${problem}`);
}

function schemaOf(database: DatabaseSync): string {
  const statement = 'select type, name, tbl_name, sql from sqlite_schema order by type, name';
  return JSON.stringify(database.prepare(statement).all());
}

function pragma(database: DatabaseSync, name: string): number {
  return Number(database.prepare(`pragma ${name}`).get()?.[name]);
}

function openFault(error: unknown, file: string): StoreFault {
  if (error instanceof StoreFault) return error;
  const message = error instanceof Error ? error.message : String(error);
  if (/locked|busy/i.test(message)) {
    return new StoreFault('state-locked', `'${file}' is in use by another Glovebox process`, { cause: error });
  }
  if (/disk is full|readonly|unable to open|disk I\/O/i.test(message)) {
    return new StoreFault('state-write-failed', `'${file}' cannot be written: ${message}`, { cause: error });
  }
  return new StoreFault('state-tampered', `'${file}' cannot be read as state: ${message}`, { cause: error });
}

/** Makes a folder that only this user may enter, and makes its existence durable. */
export function makePrivateFolder(folder: string): void {
  const created = mkdirSync(folder, { recursive: true, mode: 0o700 });
  if (created !== undefined) fsyncFolder(dirname(created));
}

/** Where the parts of the state lie in a data directory. */
export function layoutOf(path: string): { readonly database: string; readonly key: string; readonly evidence: string } {
  return {
    database: join(path, 'state', 'glovebox.db'),
    key: join(path, 'keys', 'evidence.pem'),
    evidence: join(path, 'evidence'),
  };
}
