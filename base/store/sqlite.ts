/** The store on SQLite: one file in write-ahead mode, synced at every commit. */
import { accessSync, closeSync, constants, existsSync, fsyncSync, openSync, renameSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync, type SQLOutputValue } from 'node:sqlite'
import { crc32 } from 'node:zlib'
import { databasePath } from '../folder/paths.ts'
import { BerthError } from '../kernel/errors.ts'
import { makeFolderSync, makePrivateSync } from '../kernel/folders.ts'
import { guarded } from './faults.ts'
import type { AuditNote, AuditRow, ChangedEntry, Entry, Expected, KeyedCommit, KeyedRequest, KindOf, Store, Write } from './store.ts'

/** "Bert" in ASCII. The id in the header of the file shows that a database was made by Berth. */
const APPLICATION_ID = 0x42657274
/** The number of the format. It is raised when an older Berth could no longer read what this one writes. */
const FORMAT = 2
/** How many pages are given back to the disk at a time: 8 MB. */
const PAGES_GIVEN_BACK = 2048
/** How long to wait for another process to release the database. It holds it longer than a moment only when something is wrong. */
const BUSY_MS_MAX = 5000

/** The table of requests that were sent with an `Idempotency-Key`, so that no request is carried out twice. */
const keyedTable = `
  create table keyed (
    who text not null,
    key text not null,
    digest text not null,
    at text not null,
    result text,
    answer text,
    primary key (who, key)
  ) strict, without rowid;
  create index keyed_by_time on keyed (at);
`

const schema = `
  create table entries (
    kind text not null,
    key text not null,
    value text,                -- JSON; null: deleted, kept so that changes since a revision include it
    revision integer not null,
    sum integer,               -- of the columns before it
    primary key (kind, key)
  ) strict, without rowid;
  create index entries_by_revision on entries (revision);
  create table audit (
    revision integer primary key,
    at text not null,
    who text not null,
    action text not null,
    target text not null,
    reason text,
    before text not null,
    after text not null,
    sum integer,
    kind text,                 -- null in rows of format 1, as are the two after it
    payload text,
    facts text,
    key text
  ) strict;
  create index audit_by_target on audit (target, revision);
  ${keyedTable}
  pragma application_id = ${APPLICATION_ID};
  pragma user_version = ${FORMAT};
`

/** The columns that are summed in each row. The sum finds a changed byte in a value; SQLite itself notices only damaged pages. */
const summed = {
  entries: ['kind', 'key', 'value', 'revision'],
  audit: ['revision', 'at', 'who', 'action', 'target', 'reason', 'before', 'after', 'kind', 'payload', 'facts', 'key'],
} as const

export interface StoreOptions<Kinds> {
  /** For the audit log. @default the clock of the system */
  readonly now?: () => Date
  /** Brings the entries and the audit log of format 1 to the present format, in the same transaction that upgrades the tables. */
  readonly upgrade?: (store: Store<Kinds>) => void
}

/**
 * Opens the store of a data folder, and makes both if they do not exist.
 * @throws DATA_UNWRITABLE, DATA_FORMAT_NEWER, DATA_DAMAGED, STORE_FULL; nothing is changed then
 */
export function openStore<Kinds>(data: string, options: StoreOptions<Kinds> = {}): Store<Kinds> {
  return storeOn(
    openDatabase(data, db => options.upgrade?.(storeOn(db, options))),
    options,
  )
}

/** The store on a database that `openDatabase` has opened; closing the store closes it. */
export function storeOn<Kinds>(db: DatabaseSync, options: StoreOptions<Kinds> = {}): Store<Kinds> {
  return new SqliteStore(db, options.now ?? (() => new Date()))
}

/**
 * Opens the database of a data folder, checked and ready for commits. A database of format 1 is brought to the present format in one transaction,
 * and a copy of it stays beside it, as `berth.db.format-1`.
 * @param upgrade upgrades the content after the tables have been upgraded
 * @throws the errors of `openStore`
 */
export function openDatabase(data: string, upgrade: (db: DatabaseSync) => void = () => undefined): DatabaseSync {
  const path = databasePath(data)
  return guarded(`open the data folder "${data}"`, () => {
    makeFolderSync(data, 0o700)
    for (const place of existsSync(path) ? [data, path] : [data]) accessSync(place, constants.W_OK)
    // A database that was not closed in order has left its write-ahead log.
    for (const file of [path, `${path}-wal`].filter(file => file === path || existsSync(file))) makePrivateSync(file)
    try {
      return openPrepared(path, upgrade)
    } catch (error) {
      if ((error as { errcode?: number }).errcode !== NO_SHARED_MEMORY) throw error
      return openPrepared(path, upgrade, 'pragma locking_mode = exclusive')
    }
  })
}

/**
 * SQLITE_IOERR_SHMSIZE: the disk has no room for the index of the write-ahead log. A connection that has the database to itself keeps the index in its
 * own memory, so that what is there can be read, and is written again once there is room; until it is closed, no other process can read the database.
 */
const NO_SHARED_MEMORY = 4874

function openPrepared(path: string, upgrade: (db: DatabaseSync) => void, before = ''): DatabaseSync {
  const db = new DatabaseSync(path, { timeout: BUSY_MS_MAX })
  try {
    db.exec(before)
    prepareDatabase(db, path, upgrade)
    return db
  } catch (error) {
    db.close()
    throw error
  }
}

/**
 * Copies the database of a data folder, of any format that can be read, to a file that does not exist yet, for its owner only. The copy is made in a single read
 * transaction, so it has the state of one commit, and no writer has to wait. SQLite's page-wise backup would start over at every commit.
 * @throws DATA_DAMAGED, DATA_FORMAT_NEWER, DATA_UNWRITABLE, STORE_FULL
 */
export function copyDatabase(data: string, target: string): void {
  const path = databasePath(data)
  guarded('copy the database', () => {
    const db = new DatabaseSync(path, { timeout: BUSY_MS_MAX })
    try {
      checkDatabase(db, path)
      makePrivateSync(target)
      db.prepare('vacuum into ?').run(target)
    } finally {
      db.close()
    }
  })
}

function prepareDatabase(db: DatabaseSync, path: string, upgrade: (db: DatabaseSync) => void): void {
  const fresh = pragma(db, 'schema_version') === 0
  const format = fresh ? FORMAT : checkDatabase(db, path)
  // Pages can be given back to the disk only if that is said before the first table is made.
  if (fresh) db.exec('pragma auto_vacuum = incremental')
  db.exec('pragma journal_mode = wal; pragma synchronous = full')
  if (fresh) transaction(db, () => db.exec(schema))
  else if (format === FORMAT) for (const table of ['entries', 'audit'] as const) checkRows(db, path, table, summed[table])
  else upgradeFormat(db, path, upgrade)
}

/** Checks the sums of all rows of a table. @throws DATA_DAMAGED for the first row that is not what was written */
function checkRows(db: DatabaseSync, path: string, table: keyof typeof summed, columns: readonly string[]): void {
  for (const row of db.prepare(`select * from ${table} where sum is not null`).iterate()) {
    if (row.sum === sumOf(columns.map(column => row[column]))) continue
    const name = table === 'entries' ? `${row.kind} "${row.key}"` : `the row ${row.revision} of the audit log`
    throw new BerthError('DATA_DAMAGED', `Cannot open "${path}": ${name} is not what was written`)
  }
}

/** The columns of the audit log that format 1 does not have. */
const addedColumns: readonly string[] = ['kind', 'payload', 'facts', 'key']

/**
 * Upgrades a database of format 1. If the process is killed at any moment, the database is left either in the old format, or in the new one with
 * the copy of the old one beside it.
 */
function upgradeFormat(db: DatabaseSync, path: string, upgrade: (db: DatabaseSync) => void): void {
  for (const table of ['entries', 'audit'] as const) {
    // The first databases had no sums yet.
    if (!hasColumn(db, table, 'sum')) continue
    const columns = summed[table].filter(column => !addedColumns.includes(column) || table === 'entries')
    checkRows(db, path, table, columns)
  }
  keepCopy(db, `${path}.format-1`)
  transaction(db, () => {
    for (const table of ['entries', 'audit']) if (!hasColumn(db, table, 'sum')) db.exec(`alter table ${table} add column sum integer`)
    for (const column of addedColumns) db.exec(`alter table audit add column ${column} text`)
    db.exec(keyedTable)
    upgrade(db)
    sumRows(db)
    db.exec(`pragma user_version = ${FORMAT}`)
  })
}

/** The copy has its name only once all of it is on the disk. */
function keepCopy(db: DatabaseSync, path: string): void {
  const unfinished = `${path}.unfinished`
  rmSync(unfinished, { force: true })
  makePrivateSync(unfinished)
  try {
    db.prepare('vacuum into ?').run(unfinished)
    syncSync(unfinished, 'r+')
    renameSync(unfinished, path)
    // Windows cannot sync a folder.
    if (process.platform !== 'win32') syncSync(dirname(path), 'r')
  } catch (error) {
    rmSync(unfinished, { force: true })
    throw error
  }
}

function syncSync(path: string, flags: string): void {
  const file = openSync(path, flags)
  try {
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}

const hasColumn = (db: DatabaseSync, table: string, column: string): boolean =>
  db.prepare('select 1 from pragma_table_info(?) where name = ?').get(table, column) !== undefined

function sumRows(db: DatabaseSync): void {
  db.function('row_sum', { varargs: true }, (...values) => sumOf(values))
  for (const table of ['entries', 'audit'] as const) db.exec(`update ${table} set sum = row_sum(${summed[table].join(', ')})`)
}

/** The text as SQLite will return it. Lone surrogates and NUL characters cannot be stored, and would make the sum of the row wrong. */
const asStored = (text: string): string => text.toWellFormed().replaceAll('\0', '\ufffd')

const sumOf = (values: readonly (SQLOutputValue | undefined)[]): number => crc32(JSON.stringify(values))

/** @returns the format. @throws DATA_DAMAGED, DATA_FORMAT_NEWER */
function checkDatabase(db: DatabaseSync, path: string): number {
  const refuse = (why: string) => new BerthError('DATA_DAMAGED', `Cannot open "${path}": ${why}`)
  if (pragma(db, 'application_id') !== APPLICATION_ID) throw refuse('it is a database of another program')
  const format = Number(pragma(db, 'user_version'))
  if (format > FORMAT) {
    throw new BerthError('DATA_FORMAT_NEWER', `Cannot open "${path}": it has format ${format}, and this Berth reads up to ${FORMAT}`)
  }
  if (format < 1) throw refuse(`it has format ${format}, which no Berth writes`)
  const verdict = pragma(db, 'quick_check(1)')
  if (verdict !== 'ok') throw refuse(`the check of SQLite says: ${verdict}`)
  return format
}

const pragma = (db: DatabaseSync, name: string): SQLOutputValue | undefined => Object.values(db.prepare(`pragma ${name}`).get() ?? {})[0]

/** Does the work in a transaction, so that all of it or nothing is kept. Within another transaction, it becomes a part of that one. */
function transaction<T>(db: DatabaseSync, work: () => T): T {
  if (db.isTransaction) return work()
  db.exec('begin immediate')
  try {
    const result = work()
    db.exec('commit')
    return result
  } catch (error) {
    // SQLite has rolled back by itself after some faults, a full disk among them.
    if (db.isTransaction) db.exec('rollback')
    throw error
  }
}

class SqliteStore<Kinds> implements Store<Kinds> {
  readonly #db: DatabaseSync
  readonly #now: () => Date
  readonly #sql

  constructor(db: DatabaseSync, now: () => Date) {
    this.#db = db
    this.#now = now
    this.#sql = {
      revision: db.prepare('select coalesce(max(revision), 0) as revision from audit'),
      get: db.prepare('select key, value, revision from entries where kind = ? and key = ? and value is not null'),
      list: db.prepare(
        'select key, value, revision from entries where kind = ? and key >= ? and key < ? and value is not null order by key',
      ),
      put: db.prepare('insert or replace into entries (kind, key, value, revision, sum) values (?, ?, ?, ?, ?)'),
      note: db.prepare(`insert into audit (${summed.audit.join(', ')}, sum) values (${summed.audit.map(() => '?').join(', ')}, ?)`),
      keep: db.prepare('insert into keyed (who, key, digest, at, result) values (?, ?, ?, ?, ?)'),
      answer: db.prepare(
        `insert into keyed (who, key, digest, at, answer) values (?, ?, ?, ?, ?)
         on conflict (who, key) do update set answer = excluded.answer, result = null`,
      ),
      keyed: db.prepare('select * from keyed where who = ? and key = ?'),
      forget: db.prepare('delete from keyed where at < ?'),
      changes: db.prepare('select kind, key, value, revision from entries where revision > ? order by revision, kind, key'),
      audit: db.prepare('select * from audit where revision < ? order by revision desc limit ?'),
      auditOf: db.prepare('select * from audit where target = ? and revision < ? order by revision desc limit ?'),
    }
  }

  get isAlone(): boolean {
    return pragma(this.#db, 'locking_mode') === 'exclusive'
  }

  get revision(): number {
    return guarded('read the revision', () => Number(this.#sql.revision.get()?.revision))
  }

  get<K extends KindOf<Kinds>>(kind: K, key: string): Entry<Kinds[K]> | undefined {
    return guarded(`read ${kind} "${key}"`, () => {
      const row = this.#sql.get.get(kind, key)
      return row && entryOf<Kinds[K]>(row)
    })
  }

  list<K extends KindOf<Kinds>>(kind: K, prefix = ''): Entry<Kinds[K]>[] {
    return guarded(`list ${kind} entries`, () => this.#sql.list.all(kind, prefix, `${prefix}\u{10ffff}`).map(row => entryOf<Kinds[K]>(row)))
  }

  commit(writes: readonly Write<Kinds>[], audit: AuditNote, keyed?: KeyedCommit): number {
    return guarded(`${audit.action} (${audit.target})`, () =>
      transaction(this.#db, () => {
        for (const { kind, key, expect } of writes) this.expect(kind, key, expect)
        const revision = this.revision + 1
        const at = this.#now().toISOString()
        for (const { kind, key, value } of writes) {
          const row = [kind, key, value === null ? null : JSON.stringify(value), revision] as const
          this.#sql.put.run(...row, sumOf(row))
        }
        const row = auditValues(revision, at, audit, keyed?.key)
        this.#sql.note.run(...row, sumOf(row))
        if (keyed !== undefined) {
          this.#sql.keep.run(audit.who, keyed.key, keyed.digest, at, JSON.stringify(keyed.result(revision)))
        }
        return revision
      }),
    )
  }

  keyed(who: string, key: string): KeyedRequest | undefined {
    return guarded('look for a request with a key', () => {
      const row = this.#sql.keyed.get(who, key)
      return row && keyedOf(row)
    })
  }

  keepAnswer({ who, key, digest, answer }: Omit<KeyedRequest, 'at' | 'result'>): void {
    guarded('keep an answer', () => this.#sql.answer.run(who, key, digest, this.#now().toISOString(), JSON.stringify(answer)))
  }

  forgetKeyed(before: Date): number {
    return guarded('forget requests with keys', () => Number(this.#sql.forget.run(before.toISOString()).changes))
  }

  size(): { readonly bytes: number; readonly freeBytes: number } {
    return guarded('look how large the store is', () => {
      const pageBytes = Number(pragma(this.#db, 'page_size'))
      return {
        bytes: Number(pragma(this.#db, 'page_count')) * pageBytes,
        freeBytes: Number(pragma(this.#db, 'freelist_count')) * pageBytes,
      }
    })
  }

  giveBack(): void {
    guarded('give pages of the store back', () => this.#db.exec(`pragma incremental_vacuum(${PAGES_GIVEN_BACK})`))
  }

  expect(kind: KindOf<Kinds>, key: string, expected: Expected): void {
    if (expected === undefined) return
    const revision = this.get(kind, key)?.revision
    if (revision === (expected === 'absent' ? undefined : expected)) return
    const wanted = expected === 'absent' ? 'not be there' : `be at revision ${expected}`
    throw this.#conflict(`Cannot change ${kind} "${key}": it should ${wanted}`, { kind, key, expected, revision: revision ?? null })
  }

  #conflict(message: string, entry: { kind: string; key: string; expected: number | 'absent'; revision: number | null }): BerthError {
    if (entry.revision === null) return new BerthError('REVISION_CONFLICT', `${message} but there is none`, { extra: entry })
    const [last] = this.audit(1, entry.revision + 1)
    const extra = { ...entry, changedBy: last?.who, changedAt: last?.at }
    return new BerthError('REVISION_CONFLICT', `${message} but "${last?.who}" changed it at ${last?.at}, revision ${entry.revision}`, {
      extra,
    })
  }

  changesSince(revision: number): ChangedEntry<Kinds>[] {
    return guarded('read changes', () => this.#sql.changes.all(revision).map(row => changeOf<Kinds>(row)))
  }

  audit(limit: number, before = Number.MAX_SAFE_INTEGER, target?: string): AuditRow[] {
    const { audit, auditOf } = this.#sql
    const rows = () => (target === undefined ? audit.all(before, limit) : auditOf.all(target, before, limit))
    return guarded('read the audit log', () => rows().map(auditRow))
  }

  close(): void {
    if (this.#db.isOpen) this.#db.close()
  }
}

type Row = Record<string, SQLOutputValue>

function parse(row: Row, column: string): unknown {
  const text = String(row[column])
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new BerthError('DATA_DAMAGED', `Cannot read the ${column} of "${row.key ?? row.revision}": it is not JSON`, { cause: error })
  }
}

// Values are not checked when they are read: only `commit` writes them, and it accepts only values of the right type.
const entryOf = <Value>(row: Row): Entry<Value> => ({
  key: String(row.key),
  value: parse(row, 'value') as Value,
  revision: Number(row.revision),
})

const changeOf = <Kinds>(row: Row): ChangedEntry<Kinds> =>
  ({
    kind: String(row.kind),
    key: String(row.key),
    value: row.value === null ? null : parse(row, 'value'),
    revision: Number(row.revision),
  }) as ChangedEntry<Kinds>

const auditRow = (row: Row): AuditRow => ({
  revision: Number(row.revision),
  at: String(row.at),
  who: String(row.who),
  kind: row.kind === null ? null : String(row.kind),
  payload: row.payload === null ? null : parse(row, 'payload'),
  facts: row.facts === null ? null : parse(row, 'facts'),
  action: String(row.action),
  target: String(row.target),
  ...(row.reason === null ? {} : { reason: String(row.reason) }),
  ...(row.key === null ? {} : { key: String(row.key) }),
  before: parse(row, 'before'),
  after: parse(row, 'after'),
})

/** A row of the audit log, in the order of `summed.audit`. */
function auditValues(revision: number, at: string, note: AuditNote, key: string | undefined): (string | number | null)[] {
  const { who, kind, payload, facts, action, target, reason, before, after } = note
  const why = reason === undefined ? null : asStored(reason)
  const change = [kind, JSON.stringify(payload), JSON.stringify(facts), key ?? null]
  return [revision, at, who, action, target, why, JSON.stringify(before), JSON.stringify(after), ...change]
}

const keyedOf = (row: Row): KeyedRequest => ({
  who: String(row.who),
  key: String(row.key),
  digest: String(row.digest),
  at: String(row.at),
  ...(row.result === null ? {} : { result: parse(row, 'result') }),
  ...(row.answer === null ? {} : { answer: parse(row, 'answer') }),
})
