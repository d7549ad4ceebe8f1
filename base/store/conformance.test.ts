import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { BerthError } from '../kernel/errors.ts'
import { type Cleanup, temporaryFolder } from './fixtures/folder.ts'
import { openStore } from './sqlite.ts'
import type { AuditNote, Store } from './store.ts'

interface Kinds {
  readonly fruit: { readonly color: string }
  readonly tool: number
}

/** @param open opens an empty store; `reopen` closes it and opens it again with the same content */
type Engine = (t: Cleanup, now: () => Date) => { store: Store<Kinds>; reopen(): Store<Kinds> }

const note: AuditNote = { who: 'ada', kind: 'try', payload: {}, facts: {}, action: 'try', target: 'fruit', before: null, after: null }
const epoch = new Date(0)

/** What every engine of the store promises. */
function conforms(name: string, engine: Engine): void {
  const promise = (sentence: string, work: (open: (now?: () => Date) => ReturnType<Engine>) => void) =>
    test(`the ${name} store ${sentence}`, t => work((now = () => epoch) => engine(t, now)))

  promise('is at revision 0 and empty before the first commit', open => {
    const { store } = open()
    assert.equal(store.revision, 0)
    assert.equal(store.get('fruit', 'apple'), undefined)
    assert.deepEqual(store.list('fruit'), [])
    assert.deepEqual(store.changesSince(0), [])
    assert.deepEqual(store.audit(10), [])
  })

  promise('gives what was committed, with the revision of its last change', open => {
    const { store } = open()
    assert.equal(store.commit([{ kind: 'fruit', key: 'apple', value: { color: 'green' } }], note), 1)
    assert.equal(store.commit([{ kind: 'tool', key: 'saw', value: 7 }], note), 2)
    assert.deepEqual(store.get('fruit', 'apple'), { key: 'apple', value: { color: 'green' }, revision: 1 })
    assert.deepEqual(store.get('tool', 'saw'), { key: 'saw', value: 7, revision: 2 })
    assert.equal(store.revision, 2)
  })

  promise('counts commits across a restart', open => {
    const { store, reopen } = open()
    store.commit([{ kind: 'tool', key: 'saw', value: 1 }], note)
    const again = reopen()
    assert.equal(again.commit([{ kind: 'tool', key: 'saw', value: 2, expect: 1 }], note), 2)
  })

  promise('lists one kind by prefix, in the order of the keys', open => {
    const { store } = open()
    for (const key of ['a/2', 'b/1', 'a/1', 'a', 'a/\u{1f34f}']) store.commit([{ kind: 'tool', key, value: 0 }], note)
    store.commit([{ kind: 'fruit', key: 'a/3', value: { color: 'red' } }], note)
    const keys = (prefix?: string) => store.list('tool', prefix).map(({ key }) => key)
    assert.deepEqual(keys(), ['a', 'a/1', 'a/2', 'a/\u{1f34f}', 'b/1'])
    assert.deepEqual(keys('a/'), ['a/1', 'a/2', 'a/\u{1f34f}'])
  })

  promise('takes wildcard characters in a prefix as they are', open => {
    const { store } = open()
    for (const key of ['a%b', 'axb', 'a_b']) store.commit([{ kind: 'tool', key, value: 0 }], note)
    assert.deepEqual(
      store.list('tool', 'a%').map(({ key }) => key),
      ['a%b'],
    )
  })

  promise('commits all changes under one revision', open => {
    const { store } = open()
    const both = [
      { kind: 'tool', key: 'saw', value: 1 },
      { kind: 'fruit', key: 'apple', value: { color: 'red' } },
    ] as const
    const revision = store.commit(both, note)
    assert.equal(store.get('tool', 'saw')?.revision, revision)
    assert.equal(store.get('fruit', 'apple')?.revision, revision)
  })

  promise('writes nothing when one of several expectations fails, and names the entry, its revision and who changed it', open => {
    const { store } = open()
    store.commit([{ kind: 'tool', key: 'saw', value: 1 }], { ...note, who: 'bob' })
    const attempt = () =>
      store.commit(
        [
          { kind: 'tool', key: 'axe', value: 1, expect: 'absent' },
          { kind: 'tool', key: 'saw', value: 2, expect: 7 },
        ],
        note,
      )
    assert.throws(attempt, (error: BerthError) => {
      assert.equal(error.code, 'REVISION_CONFLICT')
      const changed = { changedBy: 'bob', changedAt: epoch.toISOString() }
      assert.deepEqual(error.extra, { kind: 'tool', key: 'saw', expected: 7, revision: 1, ...changed })
      assert.match(error.message, /tool "saw".*"bob"/)
      return true
    })
    assert.equal(store.revision, 1)
    assert.equal(store.get('tool', 'axe'), undefined)
    assert.equal(store.audit(10).length, 1)
  })

  promise('refuses to make what is there and to change what is not', open => {
    const { store } = open()
    store.commit([{ kind: 'tool', key: 'saw', value: 1 }], note)
    const conflict = { code: 'REVISION_CONFLICT' }
    assert.throws(() => store.commit([{ kind: 'tool', key: 'saw', value: 2, expect: 'absent' }], note), conflict)
    assert.throws(() => store.commit([{ kind: 'tool', key: 'axe', value: 2, expect: 1 }], note), conflict)
  })

  promise('forgets a deleted entry, which may then be made anew', open => {
    const { store } = open()
    store.commit([{ kind: 'tool', key: 'saw', value: 1 }], note)
    store.commit([{ kind: 'tool', key: 'saw', value: null, expect: 1 }], note)
    assert.equal(store.get('tool', 'saw'), undefined)
    assert.deepEqual(store.list('tool'), [])
    store.commit([{ kind: 'tool', key: 'saw', value: 3, expect: 'absent' }], note)
    assert.equal(store.get('tool', 'saw')?.value, 3)
  })

  promise('tells the latest state of everything changed since a revision, deletions included', open => {
    const { store } = open()
    store.commit([{ kind: 'tool', key: 'saw', value: 1 }], note)
    store.commit([{ kind: 'tool', key: 'axe', value: 1 }], note)
    store.commit([{ kind: 'fruit', key: 'apple', value: { color: 'red' } }], note)
    store.commit([{ kind: 'tool', key: 'saw', value: 2 }], note)
    store.commit([{ kind: 'tool', key: 'axe', value: null }], note)
    assert.deepEqual(store.changesSince(2), [
      { kind: 'fruit', key: 'apple', value: { color: 'red' }, revision: 3 },
      { kind: 'tool', key: 'saw', value: 2, revision: 4 },
      { kind: 'tool', key: 'axe', value: null, revision: 5 },
    ])
    assert.deepEqual(store.changesSince(5), [])
  })

  promise('keeps one audit row a commit and reads them newest first, page by page', open => {
    let second = 0
    const { store } = open(() => new Date(1000 * second++))
    for (const who of ['ada', 'bob', 'eve']) store.commit([{ kind: 'tool', key: 'saw', value: 1 }], { ...note, who })
    const newest = store.audit(2)
    assert.deepEqual(
      newest.map(({ revision, who, at }) => ({ revision, who, at })),
      [
        { revision: 3, who: 'eve', at: '1970-01-01T00:00:02.000Z' },
        { revision: 2, who: 'bob', at: '1970-01-01T00:00:01.000Z' },
      ],
    )
    assert.deepEqual(
      store.audit(2, 2).map(({ who }) => who),
      ['ada'],
    )
  })

  promise('reads the audit rows of one target, newest first, page by page', open => {
    const { store } = open()
    for (const target of ['saw', 'axe', 'saw', 'saw']) store.commit([], { ...note, target })
    const revisions = (limit: number, before?: number) => store.audit(limit, before, 'saw').map(({ revision }) => revision)
    assert.deepEqual(revisions(2), [4, 3])
    assert.deepEqual(revisions(2, 3), [1])
    assert.deepEqual(store.audit(2, undefined, 'sa'), [])
  })

  promise('keeps before, after and the reason of a commit, which may change nothing', open => {
    const { store } = open()
    const full = { ...note, reason: 'why not', before: { color: 'green' }, after: ['red'] }
    store.commit([], full)
    assert.deepEqual(store.audit(1), [{ ...full, revision: 1, at: epoch.toISOString() }])
    store.commit([], note)
    assert.deepEqual(store.audit(1), [{ ...note, revision: 2, at: epoch.toISOString() }])
  })

  promise('closes more than once without complaint', open => {
    const { store } = open()
    store.close()
    store.close()
  })
}

conforms('SQLite', (t, now) => {
  const data = temporaryFolder(t)
  let store = openStore<Kinds>(data, { now })
  t.after(() => store.close())
  const reopen = () => {
    store.close()
    store = openStore<Kinds>(data, { now })
    return store
  }
  return { store, reopen }
})
