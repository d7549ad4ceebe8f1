/**
 * Changes are carried out on a real store. What is kept of them makes the same scene again, and a request with a key is carried out once.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { BaseChangeKind, SceneChange, ScenePayloads, WishKind } from '../../change/change.ts'
import { replay } from '../../change/next-scene.ts'
import { type Cleanup, temporaryFolder } from '../../store/fixtures/folder.ts'
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

/** What may be wished for, of every kind: the types are wrong until a new kind is here. Scenes as a whole are deleted in a property of their own. */
const payloads: { readonly [K in Exclude<WishKind, 'delete scene'>]: fc.Arbitrary<ScenePayloads[K]> } = {
  'define scene': params.map(given => ({ definition: definition(given) })),
  'create version': fc.record(
    { as: fc.constantFrom('dev', 'cutover', 'baseline', 'loadtest'), whitelist: units, reuse: fc.boolean() },
    { requiredKeys: [] },
  ),
  'promote version': fc.record({ version, to: fc.constantFrom('cutover', 'cutover', 'baseline'), share }, { requiredKeys: ['version'] }),
  'roll back': fc.record({ from: version }, { requiredKeys: [] }),
  'take version offline': fc.record({ version }),
  'take versions offline': fc.record({ versions }),
  'delete versions': fc.record({ versions }),
  'bring version online': fc.record({ version }),
  'quarantine version': fc.record({ version, why: fc.constant('it cost 2 cells'), evidence: fc.constant([]) }),
  'lift quarantine': fc.record({ version }),
  'set load-test version': fc.record({ version: fc.option(version) }),
  'edit whitelist': fc.record({ add: fc.dictionary(version, units, { maxKeys: 2 }), remove: units }, { requiredKeys: [] }),
  'replace whitelist': fc.record({ units: fc.dictionary(version, units, { maxKeys: 3 }) }),
  'create experiment': fc.oneof(codeExperiment, layerExperiment),
  'start experiment': fc.record({ experiment }),
  'stop experiment': fc.record({ experiment }),
  'flip experiment': fc.record({ experiment, flip }),
  'revert experiment': fc.record({ experiment }),
  'create layer': fc.constant({ layer: 'layer-2', keys: ['size'] }),
  'retire layer': fc.constant({ layer: 'layer-2' }),
  'delete layer': fc.constant({ layer: 'layer-2' }),
  'delete experiment': fc.record({ experiment }),
  'set params': fc.record({ version: fc.constantFrom(null, null, 'v1'), params }),
  'roll back params': fc.record(
    { version: fc.constantFrom(null, null, 'v1'), to: fc.integer({ min: 1, max: 60 }) },
    { requiredKeys: ['version'] },
  ),
}
const kinds = Object.keys(payloads) as (keyof typeof payloads)[]
const wishes = kinds.map(kind => payloads[kind].map(payload => [kind, payload] as Wish))

/** A property says nothing of a kind that is refused each time by chance. In this order none is refused. */
const certain: readonly Wish[] = [
  ['define scene', { definition: definition({ topK: 9 }) }],
  ['create version', {}],
  ['promote version', { version: 'v4', to: 'cutover', share: 500 }],
  ['roll back', { from: 'v4' }],
  ['take version offline', { version: 'v4' }],
  ['bring version online', { version: 'v4' }],
  ['take versions offline', { versions: ['v3', 'v4'] }],
  ['delete versions', { versions: ['v3', 'v4'] }],
  ['set load-test version', { version: 'v1' }],
  ['edit whitelist', { add: { v1: ['u1'] } }],
  ['replace whitelist', { units: { v2: ['u2'] } }],
  ['start experiment', { experiment: 'exp-1' }],
  ['flip experiment', { experiment: 'exp-1', flip: { arms: { a: 500 }, drop: ['b'] } }],
  ['revert experiment', { experiment: 'exp-1' }],
  ['stop experiment', { experiment: 'exp-1' }],
  ['delete experiment', { experiment: 'exp-1' }],
  ['create experiment', { id: 'exp-2', arms: [arm100('a', 'v1')] }],
  ['create layer', { layer: 'layer-2', keys: ['size'] }],
  ['retire layer', { layer: 'layer-2' }],
  ['delete layer', { layer: 'layer-2' }],
  ['set params', { version: null, params: { topK: 4 } }],
  ['roll back params', { version: null }],
  ['quarantine version', { version: 'v1', why: 'it cost 2 cells', evidence: [] }],
  ['lift quarantine', { version: 'v1' }],
]

/** A scene that has something to change of each kind: v2 is the baseline, and v1 was it before. */
async function startFull(t: Cleanup): Promise<TestDriver> {
  const test = await startDriver(t)
  for (const as of ['baseline', 'baseline', 'dev'] as const) await test.addVersion({ as })
  await test.change('create layer', { layer: 'layer-1', keys: ['topK', 'weight', 'color'] })
  await test.change('create experiment', { id: 'exp-1', segments: 5000, arms: [arm100('a', 'v1'), arm100('b', 'v2')] })
  for (const topK of [1, 2, 3]) await test.change('set params', { version: null, params: { topK } })
  return test
}

/** Checks that `hold` resolves for any wishes, of which those of `certain` are all carried out. @param hold resolves with the kinds that were */
async function assertOfWishes(numRuns: number, hold: (wished: readonly Wish[], test: TestDriver) => Promise<Set<string>>): Promise<void> {
  const seen = new Set<string>()
  const property = fc.asyncProperty(fc.array(fc.oneof(...wishes), { minLength: 20, maxLength: 50 }), async wished => {
    const afters: (() => unknown)[] = []
    const test = await startFull({ after: work => void afters.push(work) })
    for (const kind of await hold(wished, test)) seen.add(kind)
    for (const after of afters.reverse()) await after()
  })
  await fc.assert(property, { numRuns, examples: [[[...certain]]] })
  const unseen = kinds.filter(kind => !seen.has(kind))
  assert.deepEqual(unseen, [], 'none of these was ever carried out: add them to those that are certain')
}

test('the changes of a scene, applied to nothing, make the scene: whatever was wished for, refused ones between', async () => {
  await assertOfWishes(15, async (wished, { book, driver }) => {
    const done = new Set<string>()
    for (const [kind, payload] of wished) {
      const carriedOut = driver.apply({ kind, scene: 'home', payload }, { actor: ada })
      await carriedOut.then(
        () => done.add(kind),
        error => assert.ok(isRefusal(error), error),
      )
    }
    const [made, kept] = madeAndKept(book)
    assert.deepEqual(made, kept)
    return done
  })
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

test('whatever is wished for twice comes to what it comes to once, and leaves no second row', async () => {
  await assertOfWishes(5, async (wished, { book, driver }) => {
    const done = new Set<string>()
    for (const [kind, payload] of wished) {
      if (kind === 'roll back' && payload.from === undefined) continue
      const first = await driver.apply({ kind, scene: 'home', payload }, { actor: ada }).catch(error => assert.ok(isRefusal(error), error))
      if (first === undefined) continue
      const [once] = book.audit(1)
      const again = named({ kind, scene: 'home', payload } as Parameters<typeof named>[0], first.outcome)
      const second = await driver.apply({ kind, scene: 'home', payload: again }, { actor: ada })
      assert.ok(!second.changed, `${kind} ${JSON.stringify(payload)}`)
      assert.deepEqual(book.audit(1), [once])
      done.add(kind)
    }
    return done
  })
})

/** What changes a base and no scene, or why it may leave a row each time. The types are wrong until a new kind is here. */
const ofBase: { readonly [K in BaseChangeKind]: string | ((test: TestDriver) => Promise<unknown>) } = {
  'publish module': async ({ baseDriver, blobs }) =>
    baseDriver.publishModule({ name: 'extra', version: '1.0.0', stages: ['rank'], bundle: await blobs.put(Buffer.from('1')) }, ada),
  'delete modules': ({ baseDriver }) => baseDriver.deleteModules('extra', { versions: ['1.0.0'] }, ada),
  'put feature table': async ({ featureDriver, blobs }) => {
    await featureDriver.put('items', { digest: await blobs.put(Buffer.from('{"key":"a"}')), format: 'ndjson' }, { actor: ada })
  },
  'roll back feature table': ({ featureDriver }) => featureDriver.rollBack('items', undefined, { actor: ada }),
  'delete feature table': ({ featureDriver }) => featureDriver.delete('items', { actor: ada }),
  'revoke token': ({ book, baseDriver }) =>
    baseDriver.revokeToken(book.audit(100).find(row => row.action === 'create token')?.target ?? '', ada),
  'create token': 'each is another secret',
  'retire cell': 'the cell that replaces it has its number',
  'lose cell': 'nobody wishes for it',
  'upgrade base': 'each is another one',
  'take profile': 'each is another one',
  'read capsules': 'each is another reading',
  'import capsule': 'the test of capsules over HTTP does it twice',
  'delete capsules': 'the test of capsules over HTTP does it twice',
  'limit guesses': 'nobody wishes for it',
}

test('whatever is wished of the base twice leaves one row', async t => {
  const test = await startDriver(t)
  const { book, baseDriver, featureDriver, blobs } = test
  await baseDriver.createToken(['call'], 'app', ada)
  await featureDriver.put('items', { digest: await blobs.put(Buffer.from('{"key":"b"}')), format: 'ndjson' }, { actor: ada })
  for (const [kind, wish] of Object.entries(ofBase)) {
    if (typeof wish === 'string') continue
    await wish(test)
    const [once] = book.audit(1)
    assert.equal(once?.kind, kind)
    await wish(test).catch(error => assert.ok(isRefusal(error) && error.code.endsWith('_NOT_FOUND'), error))
    assert.deepEqual(book.audit(1), [once])
  }
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
