/**
 * Changes are carried out on a real store. What is kept of them makes the same scene again, and a request with a key is carried out once.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { SceneChange, ScenePayloads, WishKind } from '../../change/change.ts'
import { replay } from '../../change/next-scene.ts'
import { temporaryFolder } from '../../store/fixtures/folder.ts'
import { lockedModules } from '../../traffic/table.ts'
import type { Book } from '../book/book.ts'
import { ada, definition, isRefusal, startDriver, type TestDriver } from '../fixtures/driver.ts'

/** The scene "home" as its changes make it of nothing, and as it is kept. */
function madeAndKept(book: Book): [unknown, unknown] {
  const { revisions: _, ...scene } = book.scenes.get('home')
  return [replay([...book.history('home')].reverse()), { scene, versions: book.scenes.versions('home') }]
}

type Wish = { [K in WishKind]: readonly [kind: K, payload: ScenePayloads[K]] }[WishKind]

const version = fc.constantFrom('v1', 'v2', 'v3', 'v4')
const versions = fc.array(version, { minLength: 1, maxLength: 2 })
const share = fc.integer({ min: 0, max: 10_000 })
const experiment = fc.constantFrom('exp-1', 'exp-1', 'exp-2')
const params = fc.dictionary(fc.constantFrom('topK', 'weight', 'color'), fc.oneof(fc.integer(), fc.string(), fc.boolean()), {
  maxKeys: 3,
  noNullPrototype: true,
})
const units = fc.array(fc.constantFrom('u1', 'u2', '用户', 'u4'), { maxLength: 3 })

const arm = (name: string) => fc.record({ name: fc.constant(name), version, share: fc.integer({ min: 0, max: 5000 }) })
const arm100 = (name: string, version: string) => ({ name, version, share: 100 })
const valuesArm = (name: string) => fc.record({ name: fc.constant(name), values: params, share: fc.integer({ min: 0, max: 5000 }) })
const codeExperiment = fc.record(
  { id: experiment, segments: fc.integer({ min: 1, max: 5000 }), arms: fc.tuple(arm('a'), arm('b')) },
  { requiredKeys: ['id', 'arms'] },
)
const layerExperiment = fc.record({ id: experiment, layer: fc.constant('layer-1'), arms: fc.tuple(valuesArm('a'), valuesArm('b')) })
const flip = fc.record(
  {
    arms: fc.dictionary(fc.constantFrom('a', 'b'), share, { minKeys: 1, maxKeys: 2 }),
    drop: fc.subarray(['a', 'b'], { minLength: 1, maxLength: 1 }),
    segments: fc.integer({ min: 1, max: 10_000 }),
    newPhase: fc.constant(true),
  },
  { requiredKeys: [] },
)

const wishes: fc.Arbitrary<Wish>[] = [
  params.map(given => ['define scene', { definition: definition(given) }] as const),
  fc
    .record({ as: fc.constantFrom('dev', 'cutover', 'baseline', 'loadtest'), whitelist: units, reuse: fc.boolean() }, { requiredKeys: [] })
    .map(given => ['create version', given] as const),
  fc
    .record({ version, to: fc.constantFrom('cutover', 'cutover', 'baseline'), share }, { requiredKeys: ['version'] })
    .map(given => ['promote version', given] as const),
  fc.record({ from: version }, { requiredKeys: [] }).map(given => ['roll back', given] as const),
  version.map(given => ['take version offline', { version: given }] as const),
  versions.map(given => ['take versions offline', { versions: given }] as const),
  versions.map(given => ['delete versions', { versions: given }] as const),
  version.map(given => ['bring version online', { version: given }] as const),
  version.map(given => ['quarantine version', { version: given, why: 'it cost 2 cells', evidence: [] }] as const),
  version.map(given => ['lift quarantine', { version: given }] as const),
  fc.option(version).map(given => ['set load-test version', { version: given }] as const),
  fc
    .record({ add: fc.dictionary(version, units, { maxKeys: 2 }), remove: units }, { requiredKeys: [] })
    .map(given => ['edit whitelist', given] as const),
  fc.dictionary(version, units, { maxKeys: 3 }).map(given => ['replace whitelist', { units: given }] as const),
  fc.oneof(codeExperiment, layerExperiment).map(given => ['create experiment', given] as const),
  experiment.map(given => ['start experiment', { experiment: given }] as const),
  experiment.map(given => ['stop experiment', { experiment: given }] as const),
  fc.record({ experiment, flip }).map(given => ['flip experiment', given] as const),
  experiment.map(given => ['revert experiment', { experiment: given }] as const),
  fc.constant(['create layer', { layer: 'layer-2', keys: ['size'] }] as const),
  fc.constant(['retire layer', { layer: 'layer-2' }] as const),
  fc.constant(['delete layer', { layer: 'layer-2' }] as const),
  experiment.map(given => ['delete experiment', { experiment: given }] as const),
  fc.record({ version: fc.constantFrom(null, null, 'v1'), params }).map(given => ['set params', given] as const),
  fc
    .record({ version: fc.constantFrom(null, null, 'v1'), to: fc.integer({ min: 1, max: 60 }) }, { requiredKeys: ['version'] })
    .map(given => ['roll back params', given] as const),
]

/** A property says nothing of a kind that was refused each time by chance. Then more is wished for. */
async function untilSeen(seen: ReadonlyMap<string, number>, kinds: readonly string[], property: fc.IAsyncProperty<unknown>): Promise<void> {
  const unseen = () => kinds.filter(kind => !seen.has(kind))
  for (let more = 0; more < 20 && unseen().length > 0; more++) await fc.assert(property, { numRuns: 3 })
  assert.deepEqual(unseen(), [], 'none of these was ever carried out')
}

test('the changes of a scene, applied to nothing, make the scene: whatever was wished for, refused ones between', async () => {
  const seen = new Map<string, number>()
  const replayed = fc.asyncProperty(fc.array(fc.oneof(...wishes), { minLength: 20, maxLength: 50 }), async wished => {
    const afters: (() => unknown)[] = []
    const { book, driver, change, addVersion } = await startDriver({ after: work => void afters.push(work) })
    await addVersion({ as: 'baseline' })
    for (let made = 0; made < 2; made++) await addVersion()
    await change('take version offline', { version: 'v3' })
    await change('create layer', { layer: 'layer-1', keys: ['topK', 'weight', 'color'] })
    const arms = [arm100('a', 'v1'), arm100('b', 'v2')]
    await change('create experiment', { id: 'exp-1', segments: 5000, arms })
    for (const [kind, payload] of wished) {
      const done = driver.apply({ kind, scene: 'home', payload }, { actor: ada })
      await done.then(
        () => seen.set(kind, (seen.get(kind) ?? 0) + 1),
        error => assert.ok(isRefusal(error), error),
      )
    }
    const [made, kept] = madeAndKept(book)
    assert.deepEqual(made, kept)
    for (const after of afters.reverse()) await after()
  })
  await fc.assert(replayed, { numRuns: 15 })
  const kinds = [
    'flip experiment',
    'revert experiment',
    'roll back',
    'roll back params',
    'retire layer',
    'edit whitelist',
    'lift quarantine',
    'take versions offline',
    'delete versions',
    'delete experiment',
  ]
  await untilSeen(seen, kinds, replayed)
})

/** The same wish with what it has come to named in it, as the command line types it the first time. */
function named({ kind, payload }: Exclude<SceneChange, { kind: 'import scene' }>, outcome: unknown): ScenePayloads[WishKind] {
  const {
    undoes,
    experiment,
    kind: part,
  } = outcome as {
    readonly [K in 'undoes' | 'experiment']?: { readonly revision?: number; readonly phase?: number }
  } & { readonly kind?: string }
  if (kind === 'create version') return { ...payload, reuse: true }
  if (kind === 'promote version') return { ...payload, to: part === 'baseline' ? part : 'cutover' }
  if (kind === 'revert experiment') return { ...payload, flip: undoes?.revision ?? 0 }
  if (kind === 'roll back params' && payload.to === undefined) return { ...payload, from: undoes?.revision ?? 0 }
  if (kind === 'flip experiment' && payload.flip.newPhase)
    return { ...payload, flip: { ...payload.flip, newPhase: experiment?.phase ?? 0 } }
  return payload
}

/** A second time, what makes something of a name or takes away something of a name is refused: it may be another that is meant. */
const refusedTwice = ['EXPERIMENT_EXISTS', 'LAYER_KEY_TAKEN', 'RULES_INVALID', 'FLIP_REFUSED']

test('whatever is wished for twice comes to what it comes to once, and leaves no second row', async () => {
  const seen = new Map<string, number>()
  const twice = fc.asyncProperty(fc.array(fc.oneof(...wishes), { minLength: 20, maxLength: 50 }), async wished => {
    const afters: (() => unknown)[] = []
    const { book, driver, change, addVersion } = await startDriver({ after: work => void afters.push(work) })
    for (let made = 0; made < 2; made++) await addVersion({ as: 'baseline' })
    await change('create layer', { layer: 'layer-1', keys: ['topK', 'weight', 'color'] })
    await change('create experiment', { id: 'exp-1', segments: 5000, arms: [arm100('a', 'v1'), arm100('b', 'v2')] })
    for (const topK of [1, 2, 3]) await change('set params', { version: null, params: { topK } })
    for (const [kind, payload] of wished) {
      if (kind === 'roll back' && payload.from === undefined) continue
      const first = await driver.apply({ kind, scene: 'home', payload }, { actor: ada }).catch(error => assert.ok(isRefusal(error), error))
      if (first === undefined) continue
      const [once] = book.audit(1)
      const again = named({ kind, scene: 'home', payload } as Parameters<typeof named>[0], first.outcome)
      const second = await driver.apply({ kind, scene: 'home', payload: again }, { actor: ada }).catch(error => {
        assert.ok(isRefusal(error) && refusedTwice.includes(error.code), error)
      })
      assert.ok(second === undefined || !second.changed, `${kind} ${JSON.stringify(payload)}`)
      assert.deepEqual(book.audit(1), [once])
      seen.set(kind, (seen.get(kind) ?? 0) + 1)
    }
    for (const after of afters.reverse()) await after()
  })
  await fc.assert(twice, { numRuns: 5 })
  await untilSeen(seen, ['promote version', 'roll back', 'flip experiment', 'roll back params'], twice)
})

test('whatever is made, promoted and deleted, all that a table names is there, and no name comes to mean something else', async () => {
  type Step = (test: TestDriver, nth: number) => Promise<unknown>
  const steps = fc.oneof(
    fc.constantFrom('1.0.0', '1.1.0', '1.2.0').map(
      (published): Step =>
        async ({ book, publish }, nth) => {
          const bundle = String(nth % 2).repeat(64)
          book.modules.publishedAlready({ name: 'rank', version: published, stages: ['rank'], bundle })
          publish('rank', published, ['rank'], bundle)
        },
    ),
    fc.constantFrom('1.0.0', '1.1.0', '1.2.0').map(
      (named): Step =>
        ({ change }) =>
          change('create version', { modules: [`rank@${named}`], as: 'baseline' }),
    ),
    versions.map(
      (given): Step =>
        ({ change }) =>
          change('take versions offline', { versions: given }),
    ),
    versions.map(
      (given): Step =>
        ({ change }) =>
          change('delete versions', { versions: given }),
    ),
    fc.boolean().map(
      (unused): Step =>
        ({ baseDriver }) =>
          baseDriver.deleteModules('rank', { unused }, ada),
    ),
    fc.constant<Step>(({ change }) => change('delete scene', {})),
    fc.constant<Step>(({ change }) => change('define scene', { definition: definition({}) })),
  )
  const meant = fc.asyncProperty(fc.array(steps, { minLength: 10, maxLength: 60 }), async all => {
    const afters: (() => unknown)[] = []
    const started = await startDriver({ after: work => void afters.push(work) })
    const { book } = started
    const meanings = new Map<string, string>()
    for (const [nth, step] of all.entries()) {
      await step(started, nth).catch(error => assert.ok(isRefusal(error), error))
      const locks = book.tables.build().scenes.flatMap(scene => scene.versions.map(({ id, lock }) => [`home/${id}`, lock] as const))
      for (const { name, version: locked } of locks.flatMap(([, lock]) => lockedModules(lock))) book.modules.get(name, locked)
      const names = book.modules.list().map(({ version: published, bundle }) => [`rank@${published}`, bundle] as const)
      const at =
        book.scenes.find('home') === undefined ? [] : book.scenes.versions('home').map(({ id, lock }) => [`home/${id}`, lock] as const)
      for (const [name, meaning] of [...names, ...at]) {
        assert.equal(meanings.get(name) ?? JSON.stringify(meaning), JSON.stringify(meaning), name)
        meanings.set(name, JSON.stringify(meaning))
      }
    }
    const [made, kept] = book.scenes.find('home') === undefined ? [] : madeAndKept(book)
    assert.deepEqual(made, kept)
    assert.deepEqual(replay(book.audit(1000, undefined, 'home').reverse()), made ?? { scene: undefined, versions: [] })
    for (const after of afters.reverse()) await after()
  })
  await fc.assert(meant, { numRuns: 15 })
})

test('a module that is deleted while cells load a version of it keeps that version from being made', async t => {
  const { book, baseDriver, publish, addVersion, cells } = await startDriver(t)
  publish('rank', '1.1.0')
  await addVersion({ modules: ['rank@1.0.0'], as: 'baseline' })
  cells.onPrepare = () => baseDriver.deleteModules('rank', { versions: ['1.1.0'] }, ada)
  await assert.rejects(addVersion({ modules: ['rank@1.1.0'], as: 'baseline' }), { code: 'MODULE_NOT_FOUND', message: /rank@1\.1\.0/ })
  assert.equal(book.scenes.get('home').baseline, 'v1')
})

test('what a change wished for, and what was made for it, is in its row, with who, when and why', async t => {
  const { book, driver, addVersion } = await startDriver(t)
  await addVersion({ as: 'baseline' })
  const whitelist = Array.from({ length: 30 }, (_, i) => `u${i}`)
  const actor = { who: 'bob', reason: 'to try it', keyed: { key: 'k-1', digest: 'd' } }
  await driver.apply({ kind: 'create version', scene: 'home', payload: { as: 'cutover', share: 500, whitelist } }, { actor })
  const [row] = book.audit(1)
  assert.equal(row?.kind, 'create version')
  assert.deepEqual([row.who, row.reason, row.key, row.at], ['bob', 'to try it', 'k-1', '1970-01-01T00:00:00.000Z'])
  assert.deepEqual(row.payload, { as: 'cutover', share: 500, whitelist: 30 })
  const { cutover } = book.scenes.get('home').rules
  assert.deepEqual([row.facts.version.id, row.facts.isNew, row.facts.salt], ['v2', true, cutover?.salt])
})

test('a request with a key is carried out once, also by a keeper that was started again before it answered', async t => {
  const data = temporaryFolder(t)
  const first = await startDriver(t, data)
  for (let made = 0; made < 3; made++) await first.addVersion({ as: 'baseline' })
  const actor = { who: 'ada', keyed: { key: 'k-1', digest: 'd' } }
  const rollBack = { kind: 'roll back', scene: 'home', payload: { from: 'v3' } } as const
  const done = await first.driver.apply(rollBack, { actor })
  assert.equal(done.scene.baseline, 'v2')
  const again = await startDriver(t, data)
  await again.change('promote version', { version: 'v1', to: 'baseline' })
  const { outcome, changed, scene } = await again.driver.apply(rollBack, { actor })
  assert.deepEqual([outcome, changed, scene.baseline, scene.revisions], [done.outcome, true, 'v2', done.scene.revisions])
  assert.equal(again.book.scenes.get('home').baseline, 'v1', 'it went back a second time')
  await again.change('promote version', { version: 'v3', to: 'baseline' })
  await again.driver.apply(rollBack, { actor: { who: 'bob', keyed: actor.keyed } })
  assert.equal(again.book.scenes.get('home').baseline, 'v1', 'the keys of others are their own')
})

test('a token that was made for a request whose answer was lost is named, and not made twice', async t => {
  const data = temporaryFolder(t)
  const actor = { who: 'ada', keyed: { key: 'k-1', digest: 'd' } }
  const first = await startDriver(t, data)
  const { id } = await first.baseDriver.createToken(['call'], 'app', actor)
  const again = await startDriver(t, data)
  await assert.rejects(again.baseDriver.createToken(['call'], 'app', actor), { code: 'ANSWER_LOST', message: new RegExp(id) })
  assert.equal(again.book.tokens.list().length, 1)
})

test('a definition that was checked against rules is not kept when these have changed meanwhile', async t => {
  const { book, change, driver, addVersion } = await startDriver(t)
  for (let made = 0; made < 2; made++) await addVersion({ as: 'baseline' })
  const defining = driver.apply({ kind: 'define scene', scene: 'home', payload: { definition: definition({ topK: 1 }) } }, { actor: ada })
  const refused = assert.rejects(defining, { code: 'REVISION_CONFLICT', message: /roll back by ada/ })
  // A rollback waits for no other change.
  await change('roll back', { from: book.scenes.get('home').baseline ?? '' })
  await refused
  assert.deepEqual(book.scenes.get('home').definition.params, {})
})
