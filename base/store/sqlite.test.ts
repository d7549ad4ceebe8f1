import assert from 'node:assert/strict'
import { chmodSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { databasePath } from '../folder/paths.ts'
import { type Cleanup, temporaryFolder } from './fixtures/folder.ts'
import { copyDatabase, openDatabase, openStore, storeOn } from './sqlite.ts'

interface Kinds {
  readonly text: string
}

const note = { who: 'ada', kind: 'try', payload: {}, facts: {}, action: 'try', target: 'text', before: null, after: null }

/** A data folder whose store is closed, with some hundred entries. */
function makeData(t: Cleanup): string {
  const data = temporaryFolder(t)
  const store = openStore<Kinds>(data)
  const changes = Array.from({ length: 300 }, (_, index) => ({ kind: 'text' as const, key: `k${index}`, value: 'x'.repeat(200) }))
  store.commit(changes, note)
  store.close()
  return data
}

/** Runs SQL on the database directly, without the store. */
function tamper(data: string, sql: string): void {
  const db = new DatabaseSync(databasePath(data))
  db.exec(sql)
  db.close()
}

test('the database and its copies are for their owner only, also where they were made for others', {
  skip: process.platform === 'win32' && 'its files have no such modes',
}, t => {
  const data = makeData(t)
  chmodSync(data, 0o755)
  chmodSync(databasePath(data), 0o644)
  const store = openStore(data)
  t.after(() => store.close())
  copyDatabase(data, join(data, 'copy.db'))
  const modes = readdirSync(data).map(name => [name, (statSync(join(data, name)).mode & 0o777).toString(8)])
  const made = ['berth.db', 'berth.db-shm', 'berth.db-wal', 'copy.db']
  assert.deepEqual(
    modes.filter(([name = '']) => made.includes(name)).sort(),
    made.map(name => [name, '600']),
  )
})

test('a data folder of a newer format is refused and left as it was', t => {
  const data = makeData(t)
  tamper(data, 'pragma user_version = 3')
  const before = readFileSync(databasePath(data))
  assert.throws(() => openStore(data), { code: 'DATA_FORMAT_NEWER', message: /format 3.*up to 2/ })
  assert.deepEqual(readFileSync(databasePath(data)), before)
})

test('a file that is no database is refused as damaged', t => {
  const data = temporaryFolder(t)
  writeFileSync(databasePath(data), 'not a database, but long enough to be mistaken for the header of one'.repeat(20))
  assert.throws(() => openStore(data), { code: 'DATA_DAMAGED' })
})

test('a database of another program is refused and left as it was', t => {
  const data = temporaryFolder(t)
  tamper(data, 'create table theirs (x)')
  const before = readFileSync(databasePath(data))
  assert.throws(() => openStore(data), { code: 'DATA_DAMAGED', message: /another program/ })
  assert.deepEqual(readFileSync(databasePath(data)), before)
})

test('a database with an overwritten page is refused as damaged', t => {
  const data = makeData(t)
  const bytes = readFileSync(databasePath(data))
  bytes.fill(0xff, 3 * 4096, 4 * 4096)
  writeFileSync(databasePath(data), bytes)
  assert.throws(() => openStore(data), { code: 'DATA_DAMAGED' })
})

test('an entry whose text is no JSON any more is reported as damaged', t => {
  const data = makeData(t)
  tamper(data, "update entries set value = '{', sum = null where key = 'k7'")
  const store = openStore<Kinds>(data)
  t.after(() => store.close())
  assert.throws(() => store.get('text', 'k7'), { code: 'DATA_DAMAGED', message: /"k7"/ })
})

test('a byte of a value that has become another is found when the database is opened', t => {
  const inEntry = makeData(t)
  tamper(inEntry, "update entries set value = replace(value, 'xx', 'xy') where key = 'k7'")
  assert.throws(() => openStore(inEntry), { code: 'DATA_DAMAGED', message: /text "k7" is not what was written/ })
  const moved = makeData(t)
  tamper(moved, "update entries set kind = 'texu' where key = 'k7'")
  assert.throws(() => openStore(moved), { code: 'DATA_DAMAGED', message: /texu "k7"/ })
  const inAudit = makeData(t)
  tamper(inAudit, "update audit set who = 'eve'")
  assert.throws(() => openStore(inAudit), { code: 'DATA_DAMAGED', message: /row 1 of the audit log/ })
})

test('a reason in which no UTF-8 can be kept costs its letters, not the database', t => {
  const data = temporaryFolder(t)
  const store = openStore<Kinds>(data)
  store.commit([{ kind: 'text', key: 'k', value: '\ud800\0' }], { ...note, reason: 'half \ud83d and \0 nothing' })
  store.close()
  const again = openStore<Kinds>(data)
  t.after(() => again.close())
  assert.equal(again.get('text', 'k')?.value, '\ud800\0')
  assert.equal(again.audit(1)[0]?.reason, 'half \ufffd and \ufffd nothing')
})

/** A folder of format 1 of before rows had sums. */
function makeFormat1(t: Cleanup): string {
  const data = makeData(t)
  const columns = ['kind', 'payload', 'facts', 'key', 'sum'].map(name => `alter table audit drop column ${name};`)
  tamper(data, `alter table entries drop column sum; ${columns.join(' ')} drop table keyed; pragma user_version = 1`)
  return data
}

function formatOf(path: string): unknown {
  const db = new DatabaseSync(path)
  const row = db.prepare('pragma user_version').get()
  db.close()
  return row?.user_version
}

test('a database of format 1, also of before rows had sums, becomes one of today, and what it was is kept beside it', t => {
  const data = makeFormat1(t)
  const store = openStore<Kinds>(data)
  assert.equal(store.get('text', 'k7')?.value, 'x'.repeat(200))
  assert.deepEqual(store.audit(1)[0], { ...note, kind: null, payload: null, facts: null, revision: 1, at: store.audit(1)[0]?.at })
  store.commit([{ kind: 'text', key: 'k8', value: 'new' }], note)
  store.close()
  assert.equal(formatOf(`${databasePath(data)}.format-1`), 1)
  tamper(data, "update entries set value = replace(value, 'new', 'old') where key = 'k8'")
  assert.throws(() => openStore(data), { code: 'DATA_DAMAGED', message: /text "k8"/ })
})

test('a database of format 1 whose upgrade fails stays what it is, without an unfinished copy, and is upgraded the next time', t => {
  const data = makeFormat1(t)
  const fail = () => {
    throw new Error('killed here')
  }
  assert.throws(() => openStore<Kinds>(data, { upgrade: fail }), /killed here/)
  assert.equal(formatOf(databasePath(data)), 1)
  assert.deepEqual(
    readdirSync(data).filter(name => name.includes('unfinished')),
    [],
  )
  const store = openStore<Kinds>(data)
  t.after(() => store.close())
  assert.equal(store.get('text', 'k7')?.value, 'x'.repeat(200))
})

test('a data folder that cannot be made is refused as unwritable', t => {
  const file = join(temporaryFolder(t), 'file')
  writeFileSync(file, '')
  assert.throws(() => openStore(join(file, 'data')), { code: 'DATA_UNWRITABLE' })
})

test('a commit that finds no room says so, changes nothing, and the next one works once there is room', t => {
  const db = openDatabase(makeData(t))
  const store = storeOn<Kinds>(db)
  t.after(() => store.close())
  const big = { kind: 'text', key: 'big', value: 'x'.repeat(1_000_000) } as const
  const cap = (pages: number) => db.exec(`pragma max_page_count = ${pages}`)
  cap(1)
  assert.throws(() => store.commit([big], note), { code: 'STORE_FULL' })
  assert.equal(store.revision, 1)
  assert.equal(store.get('text', 'big'), undefined)
  cap(1_000_000)
  assert.equal(store.commit([big], note), 2)
})

test('room that was freed is given back to the disk, a piece at a time', t => {
  const db = openDatabase(temporaryFolder(t))
  const store = storeOn<Kinds>(db)
  t.after(() => store.close())
  store.commit([{ kind: 'text', key: 'big', value: 'x'.repeat(10_000_000) }], note)
  const full = store.size()
  store.commit([{ kind: 'text', key: 'big', value: null }], note)
  assert.ok(store.size().freeBytes >= 9_000_000 && store.size().bytes === full.bytes)
  store.giveBack()
  const { bytes, freeBytes } = store.size()
  assert.ok(freeBytes > 0 && bytes < full.bytes / 2, 'one piece, so that nobody waits for all of it')
  store.giveBack()
  assert.ok(store.size().freeBytes < 100_000)
  assert.equal(store.revision, 2)
})

test('every commit is logged ahead and synced before it returns', t => {
  const db = openDatabase(makeData(t))
  t.after(() => db.close())
  assert.equal(db.prepare('pragma journal_mode').get()?.journal_mode, 'wal')
  assert.equal(db.prepare('pragma synchronous').get()?.synchronous, 2)
})
