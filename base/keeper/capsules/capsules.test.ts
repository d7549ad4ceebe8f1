import assert from 'node:assert/strict'
import { appendFileSync, readdirSync, readFileSync, rmSync, statSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Capsule, Captured } from '../../capsule/capsule.ts'
import { temporaryFolder } from '../../store/fixtures/folder.ts'
import { capsuleDefaults } from '../../traffic/schema.ts'
import { capsuleOf, capturing, entryOf, headOf } from '../fixtures/captured.ts'
import { type CapsuleBounds, Capsules, type CapturedScenes } from './capsules.ts'
import { RecordingFiles } from './recording-files.ts'
import { type Ranked, surplus } from './retention.ts'

const all: CapturedScenes = { boundsOf: () => capsuleDefaults, hasVersion: () => true }
const within = (bounds: Partial<CapsuleBounds>): CapturedScenes => ({ ...all, boundsOf: () => ({ ...capsuleDefaults, ...bounds }) })

function open(
  root: string,
  scenes = all,
  onFailed: (error: unknown, path?: string) => void = error => assert.fail(String(error)),
): Capsules {
  return new Capsules(new RecordingFiles(root), scenes, onFailed)
}

/** Capsules of one recording, each with two entries, after the load. */
function taken(capsules: Capsules, recording: string, count: number, more: (index: number) => Partial<Capsule> = () => ({})): boolean[] {
  return capturing(recording, count, more).map(captured => capsules.take(captured))
}

const idsOf = (found: readonly { readonly id: string }[]) => found.map(({ id }) => id)
const filesOf = (root: string) =>
  readdirSync(root, { recursive: true })
    .filter(name => /\./.test(String(name)))
    .sort()

test('what was taken is read back after a restart, with the recording up to the last entry of the capsule', async t => {
  const root = temporaryFolder(t)
  const captured = capturing('a', 3)
  const first = open(root)
  assert.deepEqual(
    captured.slice(0, 2).map(one => first.take(one)),
    [true, true],
  )
  const second = open(root)
  assert.equal(second.take(captured[2] as Captured), true, 'a recording goes on when the keeper comes back')
  const entries = captured.flatMap(one => one.entries)
  for (const capsules of [second, open(root)]) {
    const [newest, middle] = capsules.newest('home', 'v1', 2)
    assert.deepEqual([newest?.id, middle?.id], [captured[2]?.capsule.id, captured[1]?.capsule.id])
    const { capsule } = captured[1] as Captured
    assert.deepEqual(await capsules.read(capsule.id), { head: captured[0]?.head, entries: entries.slice(0, 5), capsule })
    assert.deepEqual(await capsules.readAlone([capsule.id, 'f'.repeat(16)]), [
      { head: captured[0]?.head, load: entries[0], entries: entries.slice(3, 5), capsule },
    ])
    assert.deepEqual(capsules.recordings('home', undefined, 1), capsules.recordings('home', 'v1'), 'one is there however large it is')
    const whole = await capsules.readRecording(capsules.recordings('home', 'v1')[0] ?? '')
    assert.deepEqual([whole.entries, whole.capsules], [entries, captured.map(one => one.capsule)])
  }
})

test('entries that came without a capsule of their own are in the recording, and not in the capsule', async t => {
  const capsules = open(temporaryFolder(t))
  const [one, two] = capturing('a', 2) as [Captured, Captured]
  capsules.take(one)
  const [first, last] = two.capsule.entries
  const left = {
    ...two,
    entries: [entryOf('fireTimer', 'left over'), ...two.entries],
    capsule: { ...two.capsule, entries: [first + 1, last + 1] as const },
  }
  assert.equal(capsules.take(left), true)
  assert.deepEqual((await capsules.readAlone([two.capsule.id]))[0]?.entries, two.entries)
  assert.equal((await capsules.read(two.capsule.id)).entries.length, 6)
})

test('what lacks what came before it in its recording is not kept, and what is there stays', t => {
  const capsules = open(temporaryFolder(t))
  const [one, two, three] = capturing('a', 3) as [Captured, Captured, Captured]
  assert.equal(capsules.take(two), false, 'its beginning is missing')
  assert.equal(capsules.take(one), true)
  assert.equal(capsules.take(three), false, 'its middle is missing')
  assert.equal(capsules.take(one), true, 'it is here')
  assert.deepEqual(idsOf(capsules.newest('home', 'v1', 9)), [one.capsule.id])
})

test('a line that was torn when a process ended is cut off, wherever it was torn, and the recording goes on', async t => {
  const [one, two] = capturing('a', 2) as [Captured, Captured]
  for (const name of ['ndjson', 'index']) {
    const root = temporaryFolder(t)
    open(root).take(one)
    const path = join(root, 'home', `${one.recording}.${name}`)
    const whole = statSync(path).size
    appendFileSync(path, '{"entry":{"kind":"tu')
    const again = open(root)
    assert.equal(statSync(path).size, whole)
    assert.equal(again.take(two), true)
    assert.deepEqual((await again.read(two.capsule.id)).entries, [...one.entries, ...two.entries])
    // Only a machine that was lost can lose data that the index names.
    const data = join(root, 'home', `${one.recording}.ndjson`)
    truncateSync(data, statSync(data).size - 1)
    assert.deepEqual(idsOf(open(root).newest('home', 'v1', 9)), [one.capsule.id])
  }
})

test('files that no index names are removed, and a recording of another format with one line in the log', t => {
  const root = temporaryFolder(t)
  const capsules = open(root)
  taken(capsules, 'a', 1)
  const [{ recording }] = capturing('a', 1) as [Captured]
  appendFileSync(join(root, 'home', 'b.ndjson'), 'something')
  const index = join(root, 'home', `${recording}.index`)
  const text = readFileSync(index, 'utf8').replace('"format":1', '"format":2')
  truncateSync(index, 0)
  appendFileSync(index, text)
  const failures: string[] = []
  const again = open(root, all, error => void failures.push(String(error)))
  assert.deepEqual(again.newest('home', 'v1', 9), [])
  assert.deepEqual(failures, ['Error: its format is 2, this release reads 1'])
  assert.deepEqual(filesOf(root), [])
})

test('a full disk costs what cannot be written and one line in the log; what was taken before stays, and it goes on when there is room', async t => {
  const root = temporaryFolder(t)
  const failures: unknown[] = []
  const files = new RecordingFiles(root)
  const capsules = new Capsules(files, all, error => void failures.push(error))
  const [one, two, three] = capturing('a', 3) as [Captured, Captured, Captured]
  assert.equal(capsules.take(one), true)
  const refuse = () => {
    throw Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' })
  }
  const full = [t.mock.method(files, 'append', refuse), t.mock.method(files, 'begin', refuse)]
  assert.deepEqual([capsules.take(two), capsules.take(three)], [false, false])
  assert.deepEqual(taken(capsules, 'b', 1), [false])
  assert.equal(failures.length, 1)
  for (const { mock } of full) mock.restore()
  assert.deepEqual(taken(capsules, 'c', 1), [true])
  assert.equal((await capsules.read(one.capsule.id)).entries.length, 3)
})

test('deleting a capsule takes its bytes and what came after it from the disk, and leaves what came before', async t => {
  const root = temporaryFolder(t)
  const capsules = open(root)
  taken(capsules, 'a', 4, index => ({ unit: index === 2 ? 'secret-unit' : 'u1' }))
  const [fourth, third, second, first] = idsOf(capsules.newest('home', 'v1', 9))
  assert.deepEqual(
    capsules.delete('home', ({ id }) => id === third),
    [third, fourth],
  )
  for (const file of filesOf(root)) assert.doesNotMatch(readFileSync(join(root, String(file)), 'utf8'), /secret-unit|body 2|body 3/)
  for (const again of [capsules, open(root)]) {
    assert.deepEqual(idsOf(again.newest('home', 'v1', 9)), [second, first])
    assert.equal((await again.read(second ?? '')).entries.length, 5)
  }
  capsules.delete('home', ({ unit }) => unit === 'u1')
  assert.deepEqual([filesOf(root), capsules.bytes], [[], 0])
})

test('a recording that is cut or removed while a cell makes it is named, so that the cell begins another', t => {
  const ended: string[] = []
  const fail = (error: unknown) => assert.fail(String(error))
  const capsules = new Capsules(new RecordingFiles(temporaryFolder(t)), all, fail, recording => ended.push(recording))
  for (const name of ['a', 'b']) taken(capsules, name, 2)
  capsules.delete('home', ({ id }) => id === capsuleOf('a', 1).id)
  assert.deepEqual(ended, [headOf('a').id])
  capsules.delete('home', () => true)
  assert.deepEqual(ended, [headOf('a').id, headOf('b').id])
})

test('deleting a unit also takes what mentions it: in a body, in a reply, or in the answer to another', async t => {
  const root = temporaryFolder(t)
  const capsules = open(root)
  taken(capsules, 'a', 3, index => ({ answer: { json: index === 1 ? '{"friend":"secret"}' : '{"friend":"secretary"}' } }))
  const [one, two] = capturing('b', 2) as [Captured, Captured]
  capsules.take(one)
  capsules.take({ ...two, entries: [entryOf('settleCalls', [1, 1, '{"key":"secret"}']), ...two.entries.slice(1)] })
  assert.equal((await capsules.deleteUnit('home', 'secret')).length, 3)
  assert.equal(capsules.newest('home', 'v1', 9).length, 2)
  for (const file of filesOf(root)) assert.doesNotMatch(readFileSync(join(root, String(file)), 'utf8'), /secret\\*"/)
})

test('what is too old goes, and so do the capsules of scenes and versions that there are no more', t => {
  const versions = new Set(['v1', 'v2'])
  const root = temporaryFolder(t)
  const capsules = open(root, { ...all, hasVersion: (_, version) => versions.has(version) })
  taken(capsules, 'a', 1)
  capsules.take({ ...(capturing('b', 1)[0] as Captured), ...inVersion('b', 'v2') })
  versions.delete('v2')
  capsules.removeDeleted()
  assert.equal(capsules.newest('home', 'v2', 9).length, 0)
  assert.equal(capsules.newest('home', 'v1', 9).length, 1)
  capsules.removeDeleted(Date.parse(headOf('a').startedAt) + 8 * 86_400_000)
  assert.deepEqual([filesOf(root), capsules.bytes], [[], 0])
})

test('of more than a version keeps, those that failed or were asked for and the slowest stay, and so they do after a restart', t => {
  const root = temporaryFolder(t)
  const more = (index: number): Partial<Capsule> => ({
    ...(index === 0 && { answer: { failure: { code: 'MODULE_THREW', message: 'no' } } }),
    ...(index === 1 && { tookMs: 900 }),
    ...(index === 2 && { why: 'asked' }),
  })
  const capsules = open(root, within({ kept: 5 }))
  taken(capsules, 'a', 20, more)
  const expected = [19, 18, 2, 1, 0].map(index => capsuleOf('a', index).id)
  assert.deepEqual(idsOf(capsules.newest('home', 'v1', 99)), expected)
  assert.deepEqual(idsOf(open(root, within({ kept: 5 })).newest('home', 'v1', 99)), expected)
})

test('over its bytes, a scene lets go of the oldest recordings in which nothing failed', t => {
  const root = temporaryFolder(t)
  const capsules = open(root)
  const failed = { answer: { failure: { code: 'MODULE_THREW', message: 'no' } } }
  for (const [recording, more] of [
    ['a', failed],
    ['b', {}],
    ['c', {}],
  ] as const)
    taken(capsules, recording, 2, () => more)
  const bounded = open(root, within({ bytes: Math.ceil((capsules.bytes * 2) / 3) + 100 }))
  assert.deepEqual(new Set(bounded.newest('home', 'v1', 9).map(({ recording }) => recording)), new Set([headOf('a').id, headOf('c').id]))
  assert.equal(filesOf(root).length, 4)
})

test('as many stay as may, the newest wanted ones and the slowest among them, whatever there is', () => {
  const capsule: fc.Arbitrary<Omit<Ranked, 'id'>> = fc.record({
    at: fc.integer({ min: 0, max: 99 }).map(n => `2026-01-01T00:00:${String(n).padStart(2, '0')}Z`),
    why: fc.constantFrom('sampled', 'asked'),
    imported: fc.constant(false),
    failed: fc.option(fc.constant('MODULE_THREW'), { nil: undefined }),
    tookMs: fc.nat(1000),
  })
  fc.assert(
    fc.property(fc.array(capsule, { maxLength: 60 }), fc.integer({ min: 4, max: 40 }), (some, max) => {
      const capsules = some.map((one, index) => ({ ...one, id: String(index) }))
      const gone = new Set(surplus(capsules, max))
      const kept = capsules.filter(({ id }) => !gone.has(id))
      assert.equal(kept.length, Math.min(max, capsules.length))
      const wanted = (one: Ranked) => one.failed !== undefined || one.why === 'asked'
      assert.ok(kept.filter(wanted).length >= Math.min(Math.ceil(max / 2), capsules.filter(wanted).length))
      const slowest = capsules.reduce((a, b) => Math.max(a, b.tookMs), 0)
      assert.ok(capsules.length === 0 || kept.some(({ tookMs }) => tookMs === slowest))
    }),
  )
})

test('reading a recording whose files somebody has removed says that the capsule is gone', async t => {
  const root = temporaryFolder(t)
  const capsules = open(root, all, () => undefined)
  const [one, two] = capturing('a', 2) as [Captured, Captured]
  capsules.take(one)
  rmSync(join(root, 'home'), { recursive: true })
  assert.deepEqual(await capsules.readAlone([one.capsule.id]), [])
  await assert.rejects(capsules.read(one.capsule.id), { code: 'CAPSULE_NOT_FOUND' })
  assert.deepEqual(capsules.list('home', {}), [])
  assert.equal(capsules.take(two), false)
})

test('a recording whose files somebody removes while it grows takes no more', t => {
  const root = temporaryFolder(t)
  const capsules = open(root, all, () => undefined)
  const [one, two] = capturing('a', 2) as [Captured, Captured]
  capsules.take(one)
  rmSync(join(root, 'home'), { recursive: true })
  assert.equal(capsules.take(two), false)
  assert.deepEqual([capsules.list('home', {}), capsules.bytes], [[], 0])
})

test('a version never keeps more than it may, and at most a sixteenth less', t => {
  const capsules = open(temporaryFolder(t), within({ kept: 32 }))
  for (const captured of capturing('a', 80)) {
    const before = capsules.list('home', {}).length
    assert.equal(capsules.take(captured), true)
    assert.equal(capsules.list('home', {}).length, before === 32 ? 30 : before + 1)
  }
})

function inVersion(name: string, version: string): Pick<Captured, 'head' | 'capsule'> {
  return { head: { ...headOf(name), version }, capsule: { ...capsuleOf(name, 0), version } }
}
