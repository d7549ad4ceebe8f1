import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Lock, SceneDefinition } from '../traffic/schema.ts'
import { checkGroup, type LockRequest, resolveLock } from './lock.ts'
import type { ModuleRecord } from './records.ts'

/** A library of `name@version:stage,stage` with made-up digests; stages default to "rank". */
function library(...entries: string[]) {
  const records = entries.map((entry): ModuleRecord => {
    const [reference = '', stages = 'rank'] = entry.split(':')
    const [name = '', version = ''] = reference.split('@')
    return { name, version, stages: stages.split(','), bundle: `digest of ${reference}`, publishedAt: '', publishedBy: '' }
  })
  return (name: string) => records.filter(record => record.name === name)
}

function scene(...stages: string[]): SceneDefinition {
  const group = stages.map(text => {
    const [stage = '', modules = ''] = text.split('=')
    return { stage, modules: modules.split(' ') }
  })
  const traffic = { unit: { header: 'x-unit-id' }, deadlineMs: 1000, spec: { memoryMB: 128 } }
  return { id: 'home', group, traffic, params: {}, access: 'public' }
}

const plain: LockRequest = { named: new Map(), from: undefined, resolve: false }
const naming = (named: Record<string, string>, from?: Lock): LockRequest => ({
  named: new Map(Object.entries(named)),
  from,
  resolve: false,
})
const show = (lock: Lock) =>
  lock.map(({ stage, modules }) => `${stage}=${modules.map(({ name, version }) => `${name}@${version}`).join(' ')}`)

test('a range resolves to its newest release, never to a prerelease', () => {
  const modules = library('a@1.2.0', 'a@1.10.0', 'a@1.9.0', 'a@1.11.0-dev.1', 'a@2.0.0')
  assert.deepEqual(show(resolveLock(scene('rank=a@^1'), modules, plain)), ['rank=a@1.10.0'])
})

test('where code must have proved itself, a range resolves to the newest release that a baseline has had, and without one to the newest', () => {
  const modules = library('a@1.2.0', 'a@1.10.0', 'a@1.9.0', 'a@1.9.1-dev.1', 'a@2.0.0')
  const resolved = (range: string, proven: readonly string[], named = {}) =>
    show(resolveLock(scene(`rank=a@${range}`), modules, { ...naming(named), isProven: ({ version }) => proven.includes(version) }))
  assert.deepEqual(resolved('^1', ['1.2.0', '1.9.0', '1.9.1-dev.1', '2.0.0']), ['rank=a@1.9.0'])
  assert.deepEqual(resolved('^1', ['2.0.0']), ['rank=a@1.10.0'])
  assert.deepEqual(resolved('^1', ['1.2.0', '1.9.0'], { a: '<1.9' }), ['rank=a@1.2.0'])
  assert.deepEqual(resolved('^1', ['1.2.0'], { a: '1.9.1-dev.1' }), ['rank=a@1.9.1-dev.1'], 'what is named exactly is taken')
})

test('a lock holds the digests of what it chose, source maps included', () => {
  const records = library('a@1.0.0')('a').map(record => ({ ...record, sourceMap: 'map' }))
  assert.deepEqual(
    resolveLock(scene('rank=a@^1'), () => records, plain),
    [{ stage: 'rank', modules: [{ name: 'a', version: '1.0.0', bundle: 'digest of a@1.0.0', sourceMap: 'map' }] }],
  )
})

test('modules that are not named keep the version of the lock they start from', () => {
  const definition = scene('rank=a@^1 b@^1')
  const from = resolveLock(definition, library('a@1.0.0', 'b@1.0.0'), plain)
  const newer = library('a@1.0.0', 'a@1.1.0', 'b@1.0.0', 'b@1.1.0', 'b@1.2.0')
  assert.deepEqual(show(resolveLock(definition, newer, { ...plain, from })), ['rank=a@1.0.0 b@1.0.0'])
  assert.deepEqual(show(resolveLock(definition, newer, naming({ b: '1.1.0' }, from))), ['rank=a@1.0.0 b@1.1.0'])
  assert.deepEqual(show(resolveLock(definition, newer, naming({ b: '^1' }, from))), ['rank=a@1.0.0 b@1.2.0'])
  assert.deepEqual(show(resolveLock(definition, newer, { ...naming({ b: '1.1.0' }, from), resolve: true })), ['rank=a@1.1.0 b@1.1.0'])
})

test('a kept module follows the scene: to its new stage, out of a range it no longer fits, away when it left the group', () => {
  const modules = library('a@1.0.0:rank,sort', 'a@2.0.0:rank,sort', 'b@1.0.0', 'c@1.0.0')
  const from = resolveLock(scene('rank=a@1.0.0 b@^1'), modules, plain)
  assert.deepEqual(show(resolveLock(scene('sort=a@*', 'rank=c@^1'), modules, { ...plain, from })), ['sort=a@1.0.0', 'rank=c@1.0.0'])
  assert.deepEqual(show(resolveLock(scene('rank=a@^2 b@^1'), modules, { ...plain, from })), ['rank=a@2.0.0 b@1.0.0'])
})

test('a module bound to two stages keeps the version of each', () => {
  const modules = library('a@1.0.0:rank,sort', 'a@2.0.0:rank,sort')
  const from = resolveLock(scene('rank=a@1.0.0', 'sort=a@2.0.0'), modules, plain)
  assert.deepEqual(show(resolveLock(scene('rank=a@*', 'sort=a@*'), modules, { ...plain, from })), ['rank=a@1.0.0', 'sort=a@2.0.0'])
})

test('an exact prerelease may be named where its release is in the range, and is then kept', () => {
  const modules = library('a@1.2.0', 'a@1.2.1-dev.77', 'a@2.0.0-dev.1')
  const definition = scene('rank=a@^1.2.1')
  const from = resolveLock(definition, modules, naming({ a: '1.2.1-dev.77' }))
  assert.deepEqual(show(from), ['rank=a@1.2.1-dev.77'])
  assert.deepEqual(show(resolveLock(definition, modules, { ...plain, from })), ['rank=a@1.2.1-dev.77'])
  assert.throws(() => resolveLock(definition, modules, naming({ a: '2.0.0-dev.1' })), { code: 'MODULE_RANGE_UNSATISFIED' })
})

test('a scene may ask for exactly one prerelease', () => {
  assert.deepEqual(show(resolveLock(scene('rank=a@1.0.0-dev.7'), library('a@1.0.0-dev.7', 'a@1.0.0'), plain)), ['rank=a@1.0.0-dev.7'])
})

test('what cannot be resolved says what is published', () => {
  const modules = library('a@1.0.0', 'a@1.1.0-dev.1')
  const unsatisfied = { code: 'MODULE_RANGE_UNSATISFIED', message: /1\.1\.0-dev\.1, 1\.0\.0.*named exactly/ }
  assert.throws(() => resolveLock(scene('rank=a@^2'), modules, plain), unsatisfied)
  assert.throws(() => resolveLock(scene('rank=a@^1'), modules, naming({ a: '^1.1' })), { code: 'MODULE_RANGE_UNSATISFIED' })
  assert.throws(() => resolveLock(scene('rank=a@^1'), modules, naming({ a: '1.0.5' })), { code: 'MODULE_NOT_FOUND', message: /1\.0\.0/ })
  assert.throws(() => resolveLock(scene('rank=z@^1'), modules, plain), { code: 'MODULE_NOT_FOUND', message: /"z"/ })
  assert.throws(() => resolveLock(scene('sort=a@^1'), modules, plain), { code: 'MODULE_LACKS_STAGE', message: /"sort".*rank/ })
  assert.throws(() => resolveLock(scene('rank=a@^1'), modules, naming({ z: '1.0.0' })), { code: 'REQUEST_INVALID', message: /"z".*\(a\)/ })
  assert.throws(() => resolveLock(scene('rank=a@^1'), modules, naming({ a: 'latest' })), { code: 'REQUEST_INVALID', message: /"latest"/ })
})

test('a group is possible when each module has a version in its range with the stage, be it a prerelease', () => {
  const modules = library('a@1.0.0-dev.1', 'b@1.0.0:sort')
  checkGroup(scene('rank=a@^1', 'sort=b@^1'), modules)
  assert.throws(() => checkGroup(scene('rank=b@^1'), modules), { code: 'MODULE_LACKS_STAGE' })
  assert.throws(() => checkGroup(scene('rank=a@^2'), modules), { code: 'MODULE_RANGE_UNSATISFIED' })
})
