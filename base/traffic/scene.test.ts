import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decide } from './decide.ts'
import { ask, definition, rulesWith } from './fixtures/scenes.ts'
import { compileTable, type Scene } from './scene.ts'
import type { SceneEntry } from './table.ts'
import { indexWhitelist } from './whitelist.ts'

const versions = ['v1', 'v2', 'v3'].map(id => ({ id, lock: [] }))
const entry = (more: Partial<SceneEntry> = {}): SceneEntry => ({ revision: 1, definition, baseline: 'v1', versions, ...more })

const compile = (
  entries: readonly SceneEntry[],
  ...more: [previous?: Parameters<typeof compileTable>[1], lists?: Parameters<typeof compileTable>[2]]
) => compileTable({ format: 1, revision: 1, scenes: entries, tokens: [] }, ...more)

const home = (table: ReturnType<typeof compileTable>): Scene => table.scenes.get('home') ?? assert.fail('no scene')
const answers = (scene: Scene, unit: string) => decide(scene, ask(unit)).plan.version
const listed = (digest: string) => ({ whitelist: { digest, units: 1, byVersion: { v2: 1 } } })

test('when a table replaces another, only the scenes that have changed are compiled', () => {
  const other = { ...definition, id: 'other' }
  const first = compile([entry(), entry({ definition: other })])
  const second = compile([entry({ revision: 2, baseline: 'v2' }), entry({ definition: other })], first)
  assert.equal(second.scenes.get('other'), first.scenes.get('other'))
  assert.deepEqual([answers(home(first), 'u1'), answers(home(second), 'u1')], ['v1', 'v2'])
})

test('a whitelist that is stored apart sends its units to their version, with rules or without', () => {
  const lists = new Map([['a', indexWhitelist({ v2: ['u1'], v9: ['u2'] })]])
  for (const rules of [{}, { rules: rulesWith({ cutover: { version: 'v3', share: 10_000, salt: 's' } }) }]) {
    const scene = home(compile([entry({ ...listed('a'), ...rules })], undefined, lists))
    const others = 'rules' in rules ? 'v3' : 'v1'
    assert.deepEqual([answers(scene, 'u1'), answers(scene, 'u2'), answers(scene, 'u3')], ['v2', others, others])
  }
})

test('a scene whose whitelist is missing stays as it was, or goes without one, and is compiled again with the next table', () => {
  const lists = new Map([['a', indexWhitelist({ v2: ['u1'] })]])
  const first = compile([entry(listed('a'))], undefined, lists)
  const second = compile([entry({ revision: 2, baseline: 'v3', ...listed('b') })], first, lists)
  assert.deepEqual([answers(home(second), 'u1'), answers(home(second), 'u2')], ['v2', 'v1'])
  const third = compile([entry({ revision: 2, baseline: 'v3', ...listed('b') })], second, new Map([['b', indexWhitelist({ v2: ['u2'] })]]))
  assert.deepEqual([answers(home(third), 'u1'), answers(home(third), 'u2')], ['v3', 'v2'])
  assert.equal(answers(home(compile([entry(listed('a'))])), 'u1'), 'v1')
})

test('versions to which rules send requests stay loaded, and so does the previous baseline', () => {
  const arms = (version: string) => [{ name: 'a', version, reserve: [[0, 100]] as [number, number][], share: 0 }]
  const experiment = { id: 'x', phase: 1, salt: 's', unit: 'unit' as const, segments: [], where: [] }
  const stays = (more: Partial<SceneEntry>) =>
    [...home(compile([entry(more)], undefined, new Map([['a', new Map([['u', 'v2']])]]))).stays].sort()
  assert.deepEqual(stays({}), ['home/v1@128'])
  assert.deepEqual(stays({ rules: rulesWith({ previousBaseline: 'v2', loadtest: 'v3' }) }), ['home/v1@128', 'home/v2@128', 'home/v3@128'])
  assert.deepEqual(stays({ rules: rulesWith({ cutover: { version: 'v3', share: 0, salt: 's' } }) }), ['home/v1@128', 'home/v3@128'])
  assert.deepEqual(stays(listed('a')), ['home/v1@128', 'home/v2@128'])
  const running = [
    { ...experiment, state: 'running' as const, arms: arms('v2') },
    { ...experiment, id: 'y', state: 'stopped' as const, arms: arms('v3') },
  ]
  assert.deepEqual(stays({ rules: rulesWith({ experiments: running }) }), ['home/v1@128', 'home/v2@128'])
})

test('a version in quarantine is loaded nowhere, and what answers in its place is the baseline of the cell', () => {
  const why = { since: '2026-01-01T00:00:00.000Z', why: 'it cost 2 cells', evidence: [] }
  const rules = (bad: readonly string[]) =>
    rulesWith({ previousBaseline: 'v2', loadtest: 'v3', quarantined: Object.fromEntries(bad.map(id => [id, why])) })
  const loaded = (bad: readonly string[]) => {
    const { baseline, stays, versions: all } = home(compile([entry({ rules: rules(bad) })]))
    return [baseline?.version, [...stays].sort(), [...all.keys()]]
  }
  assert.deepEqual(loaded([]), ['v1', ['home/v1@128', 'home/v2@128', 'home/v3@128'], ['v1', 'v2', 'v3']])
  assert.deepEqual(loaded(['v1', 'v3']), ['v2', ['home/v2@128'], ['v2']])
  assert.deepEqual(loaded(['v2']), ['v1', ['home/v1@128', 'home/v3@128'], ['v1', 'v3']])
  assert.deepEqual(loaded(['v1', 'v2']), [undefined, ['home/v3@128'], ['v3']])
})
