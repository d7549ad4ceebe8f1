/** The store on SQLite: one file in write-ahead mode, synced at every commit. */
import { accessSync, constants, existsSync } from 'node:fs'
import { DatabaseSync, type SQLOutputValue } from 'node:sqlite'
import { crc32 } from 'node:zlib'
import { databasePath } from '../folder/paths.ts'
import { BerthError } from '../kernel/errors.ts'
import { makeFolderSync } from '../kernel/folders.ts'
import { guarded } from './faults.ts'
import type { AuditNote, AuditRow, Change, ChangedEntry, Entry, Expected, KindOf, Store } from './store.ts'

/** "Bert" in ASCII: tells a database of ours from any other. */
const APPLICATION_ID = 0x42657274
/** Raised when an older Berth could no longer read what this one writes. */
const FORMAT = 1
/** Another process holds the database for longer than a moment only when something is wrong. */
const BUSY_MS_MAX = 5000

const schema = `
  create table entries (
    kind text not null,
    key text not null,
    value text,                -- JSON; null: deleted, kept so that changes since a revision include it
    revision integer not null,
    sum integer,               -- of the columns before it; null in rows of before there were any
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
    sum integer
  ) strict;
  create index audit_by_target on audit (target, revision);
  pragma application_id = ${APPLICATION_ID};
  pragma user_version = ${FORMAT};
`

/** What the sum of a row is of. SQLite notices a damaged page, not a byte of a value that has become another. */
const summed = {
  entries: ['kind', 'key', 'value', 'revision'],
  audit: ['revision', 'at', 'who', 'action', 'target', 'reason', 'before', 'after'],
} as const

export interface StoreOptions {
  /** For the audit log. @default the clock of the system */
  readonly now?: () => Date
}

/**
 * Opens the store of a data folder, making both when they are not there.
 * @throws DATA_UNWRITABLE, DATA_FORMAT_NEWER, DATA_DAMAGED, STORE_FULL: nothing was changed then.
 */
export function openStore<Kinds>(data: string, options: StoreOptions = {}): Store<Kinds> {
  return storeOn(openDatabase(data), options)
}

/** The store on a database that `openDatabase` has opened; closing the store closes it. */
export function storeOn<Kinds>(db: DatabaseSync, options: StoreOptions = {}): Store<Kinds> {
  return new SqliteStore(db, options.now ?? (() => new Date()))
}

/**
 * The database of a data folder, checked and ready for commits.
 * @throws as `openStore`.
 */
export function openDatabase(data: string): DatabaseSync {
  const path = databasePath(data)
  return guarded(`open the data folder "${data}"`, () => {
    makeFolderSync(data)
    for (const place of existsSync(path) ? [data, path] : [data]) accessSync(place, constants.W_OK)
    const db = new DatabaseSync(path, { timeout: BUSY_MS_MAX })
    try {
      prepareDatabase(db, path)
      return db
    } catch (error) {
      db.close()
      throw error
    }
  })
}

function prepareDatabase(db: DatabaseSync, path: string): void {
  const fresh = pragma(db, 'schema_version') === 0
  if (!fresh) checkDatabase(db, path)
  db.exec('pragma journal_mode = wal; pragma synchronous = full')
  if (fresh) transaction(db, () => db.exec(schema))
  else for (const table of ['entries', 'audit'] as const) checkRows(db, path, table)
}

/** @throws DATA_DAMAGED for the first row that is not what was written */
function checkRows(db: DatabaseSync, path: string, table: keyof typeof summed): void {
  const hasSums = db.prepare('select 1 from pragma_table_info(?) where name = ?').get(table, 'sum') !== undefined
  if (!hasSums) db.exec(`alter table ${table} add column sum integer`)
  for (const row of db.prepare(`select * from ${table} where sum is not null`).iterate()) {
    if (row.sum === sumOf(summed[table].map(column => row[column]))) continue
    const name = table === 'entries' ? `${row.kind} "${row.key}"` : `the row ${row.revision} of the audit log`
    throw new BerthError('DATA_DAMAGED', `Cannot open "${path}": ${name} is not what was written`)
  }
}

/** What UTF-8 and SQLite's texts cannot hold would come back as something else. */
const asStored = (text: string): string => text.toWellFormed().replaceAll('\0', '\ufffd')

const sumOf = (values: readonly (SQLOutputValue | undefined)[]): number => crc32(JSON.stringify(values))

function checkDatabase(db: DatabaseSync, path: string): void {
  const refuse = (why: string) => new BerthError('DATA_DAMAGED', `Cannot open "${path}": ${why}`)
  if (pragma(db, 'application_id') !== APPLICATION_ID) throw refuse('it is a database of another program')
  const format = Number(pragma(db, 'user_version'))
  if (format > FORMAT) {
    throw new BerthError('DATA_FORMAT_NEWER', `Cannot open "${path}": it has format ${format}, and this Berth reads up to ${FORMAT}`)
  }
  if (format !== FORMAT) throw refuse(`it has format ${format}, which no Berth writes`)
  const verdict = pragma(db, 'quick_check(1)')
  if (verdict !== 'ok') throw refuse(`the check of SQLite says: ${verdict}`)
}

const pragma = (db: DatabaseSync, name: string): SQLOutputValue | undefined => Object.values(db.prepare(`pragma ${name}`).get() ?? {})[0]

function transaction<T>(db: DatabaseSync, work: () => T): T {
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
      note: db.prepare(
        'insert into audit (revision, at, who, action, target, reason, before, after, sum) values (?, ?, ?, ?, ?, ?, ?, ?, ?)',
      ),
      changes: db.prepare('select kind, key, value, revision from entries where revision > ? order by revision, kind, key'),
      audit: db.prepare('select * from audit where revision < ? order by revision desc limit ?'),
      auditOf: db.prepare('select * from audit where target = ? and revision < ? order by revision desc limit ?'),
    }
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

  commit(changes: readonly Change<Kinds>[], audit: AuditNote): number {
    return guarded(`${audit.action} (${audit.target})`, () =>
      transaction(this.#db, () => {
        for (const { kind, key, expect } of changes) this.expect(kind, key, expect)
        const revision = this.revision + 1
        for (const { kind, key, value } of changes) {
          const row = [kind, key, value === null ? null : JSON.stringify(value), revision] as const
          this.#sql.put.run(...row, sumOf(row))
        }
        const { who, action, target, reason, before = null, after = null } = audit
        const row = [
          revision,
          this.#now().toISOString(),
          who,
          action,
          target,
          reason === undefined ? null : asStored(reason),
          JSON.stringify(before),
          JSON.stringify(after),
        ] as const
        this.#sql.note.run(...row, sumOf(row))
        return revision
      }),
    )
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

// Only `commit` writes values, and it takes them by their type: the reading side trusts that.
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
  action: String(row.action),
  target: String(row.target),
  ...(row.reason === null ? {} : { reason: String(row.reason) }),
  before: parse(row, 'before'),
  after: parse(row, 'after'),
})
