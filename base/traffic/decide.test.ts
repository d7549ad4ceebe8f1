import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type DecisionInput, decide } from './decide.ts'
import { explain } from './explain.ts'
import { ask, business, checked, code, definition, sceneWith, units } from './fixtures/scenes.ts'
import { HashedId, seedOf } from './hash.ts'
import { ParamsMemory } from './params.ts'
import type { Range } from './ranges.ts'
import type { Condition, SceneRules } from './rules.ts'
import type { Scene } from './scene.ts'
import type { Params } from './schema.ts'
import { readAttribute } from './targeting.ts'

const version = (scene: Scene, input: DecisionInput): string => decide(scene, input).plan.version
const layer = (id: string, keys: string[], experiments: ReturnType<typeof business>[]) => ({
  ...{ id, keys, experiments, salt: `layer/${id}` },
  state: 'live' as const,
})

const everything: Partial<SceneRules> = {
  loadtest: 'v4',
  whitelist: { v3: ['listed'] },
  experiments: [code('exp-1', { segments: [[0, 5000]] })],
  cutover: { version: 'v3', share: 5000, salt: 'cutover/1' },
}

test('rules are asked in order: pin, load-test mark, whitelist, experiment, cutover, baseline', () => {
  const scene = sceneWith(everything)
  const because = (input: DecisionInput) => `${decide(scene, input).because} ${version(scene, input)}`
  assert.equal(because(ask('listed', { pin: 'v2', loadtest: true })), 'pin v2')
  assert.equal(because(ask('listed', { loadtest: true })), 'loadtest v4')
  assert.equal(because(ask('listed')), 'whitelist v3')
  const seen = Object.groupBy(units(4000), unit => because(ask(unit)))
  assert.deepEqual(Object.keys(seen).sort(), ['baseline v1', 'cutover v3', 'experiment v1', 'experiment v2'])
  for (const group of Object.values(seen)) assert.ok(Math.abs((group?.length ?? 0) - 1000) < 150)
})

test('a request without a unit id is answered by the baseline and is no exposure', () => {
  const scene = sceneWith({ ...everything, layers: [layer('ui', ['color'], [business('b-1', 'color')])] })
  const { because, exposed, layers } = decide(scene, ask(undefined))
  assert.deepEqual({ because, exposed, layers }, { because: 'baseline', exposed: false, layers: [] })
})

test('a pin to a version that is not online and a scene without a baseline are refused', () => {
  assert.throws(() => decide(sceneWith({}), ask('u', { pin: 'v9' })), { code: 'VERSION_NOT_FOUND' })
  assert.throws(() => decide(sceneWith({}, null), ask('u')), { code: 'SCENE_WITHOUT_BASELINE' })
})

test('a load test without a version of its own is answered by the baseline and is no exposure', () => {
  const { loadtest: _, ...rest } = everything
  const { because, plan, exposed } = decide(sceneWith(rest), ask('u1', { loadtest: true }))
  assert.deepEqual({ because, version: plan.version, exposed }, { because: 'loadtest', version: 'v1', exposed: false })
})

test('only what an experiment, a cutover or a layer decided is an exposure', () => {
  const layers = [layer('ui', ['color'], [business('b-1', 'color')])]
  const scene = sceneWith({ ...everything, layers })
  for (const input of [ask('u1', { pin: 'v2' }), ask('u1', { loadtest: true }), ask('listed')]) {
    const { exposed, layers } = decide(scene, input)
    assert.equal(exposed, false)
    assert.equal(layers.length, 1, 'their parameters hold all the same')
  }
  for (const unit of units(200)) assert.equal(decide(scene, ask(unit)).exposed, true)
  assert.equal(decide(sceneWith({}), ask('u1')).exposed, false)
  assert.equal(decide(sceneWith({ experiments: [code('exp-1')] }), ask('u1')).exposed, true)
  assert.equal(decide(sceneWith({ layers }), ask('u1')).exposed, true)
})

test('the bucket is murmur3 under the salt of the experiment, so anybody who has the salt can compute it', () => {
  const scene = sceneWith({ experiments: [code('exp-1')] })
  const id = new HashedId()
  for (const unit of ['u42', '用户四十二', '😀', 'é']) {
    id.set(unit)
    const { bucket, arm } = decide(scene, ask(unit))
    assert.equal(bucket, id.hash(seedOf('exp-1/1')) % 10_000)
    assert.equal(arm?.arm, (bucket ?? 0) < 5000 ? 'control' : 'treatment')
  }
})

test('an experiment on requests hashes the request id, also without a unit, and takes only units of its segments', () => {
  const scene = sceneWith({
    experiments: [code('by-unit', { segments: [[0, 5000]] }), code('by-request', { unit: 'request', segments: [[5000, 10_000]] })],
  })
  const arms = (unit: string | undefined) =>
    new Set(
      units(60, 'r')
        .map(requestId => decide(scene, ask(unit, { requestId })).arm)
        .map(arm => `${arm?.experiment} ${arm?.arm}`),
    )
  for (const unit of units(50)) {
    const found = [...arms(unit)]
    assert.ok(found.length === 1 ? found[0]?.startsWith('by-unit') : found.every(arm => arm.startsWith('by-request')), found.join())
  }
  assert.deepEqual(arms(undefined), new Set(['by-request control', 'by-request treatment', 'undefined undefined']))
})

test('conditions compare numbers, semvers, booleans and lists, and what is missing or of another type fits none', () => {
  const holds = (where: Condition, attributes: Readonly<Record<string, unknown>>) => {
    checked({ experiments: [code('exp-1', { where: [where] })] })
    return decide(sceneWith({ experiments: [code('exp-1', { where: [where] })] }), ask('u1', { attributes })).because === 'experiment'
  }
  const country = { attribute: 'country', op: 'equals', value: 'CN' } as const
  assert.deepEqual(
    [{ country: 'CN' }, { country: 'US' }, {}].map(given => holds(country, given)),
    [true, false, false],
  )
  const list: Condition = { attribute: 'country', op: 'in', value: ['CN', 'SG'] }
  assert.deepEqual(
    [{ country: 'SG' }, { country: 'US' }].map(given => holds(list, given)),
    [true, false],
  )
  const age = (op: 'lt' | 'lte' | 'gt' | 'gte') => ['17', 18, 19, 'old'].map(age => holds({ attribute: 'age', op, value: 18 }, { age }))
  assert.deepEqual(age('lt'), [true, false, false, false])
  assert.deepEqual(age('lte'), [true, true, false, false])
  assert.deepEqual(age('gt'), [false, false, true, false])
  assert.deepEqual(age('gte'), [false, true, true, false])
  const apps = ['8.1.9', '8.2.0-beta.1', '8.2.0', '8.10.0', '9.0.0', 'latest']
  const app = (op: 'gte' | 'range' | 'equals', value: string) => apps.map(app => holds({ attribute: 'app', op, value }, { app }))
  assert.deepEqual(app('gte', '8.2.0'), [false, false, true, true, true, false])
  assert.deepEqual(app('range', '>=8.2.0 <9'), [false, false, true, true, false, false])
  assert.deepEqual(app('equals', '8.2.0'), [false, false, true, false, false, false])
  assert.equal(holds({ attribute: 'vip', op: 'equals', value: true }, { vip: 'true' }), true)
})

test('the body is read only when a condition on it is reached, and once it cannot be parsed the error comes through', () => {
  const where: Condition[] = [
    { attribute: 'app', op: 'gte', value: '8.0.0' },
    { attribute: 'country', op: 'equals', value: 'CN' },
  ]
  const scene = sceneWith({ whitelist: { v3: ['listed'] }, experiments: [code('exp-1', { where, segments: [[0, 5000]] })] })
  let reads = 0
  const asking = (unit: string, app: string, body: () => unknown): DecisionInput => ({
    ...ask(unit),
    attribute: attribute =>
      readAttribute(attribute, {
        header: name => (name === 'x-app-version' ? app : undefined),
        text: '',
        body: () => {
          reads++
          return body()
        },
      }),
  })
  const inside = units(50).find(
    unit =>
      decide(
        scene,
        asking(unit, '8.0.0', () => ({ user: { country: 'CN' } })),
      ).because === 'experiment',
  )
  assert.ok(inside !== undefined)
  reads = 0
  const outside = units(50).filter(
    unit =>
      decide(
        scene,
        asking(unit, '7.0.0', () => ({})),
      ).because === 'baseline',
  )
  assert.equal(outside.length, 50)
  decide(
    scene,
    asking('listed', '8.0.0', () => ({})),
  )
  assert.equal(reads, 0)
  const unreadable = () => {
    throw new SyntaxError('Unexpected end')
  }
  assert.throws(() => decide(scene, asking(inside, '8.0.0', unreadable)), SyntaxError)
})

test('parameters are those of the scene, then of the version, then of the layers', () => {
  const scene = sceneWith({
    whitelist: { v2: ['a'] },
    versionParams: { v2: { topK: 5, only: { v2: true } } },
    layers: [layer('ui', ['color'], [business('b-1', 'color', { versions: ['v2'] })]), layer('rank', ['topK'], [])],
  })
  assert.deepEqual(JSON.parse(decide(scene, ask('b')).params), { topK: 3, color: 'red' })
  const params = JSON.parse(decide(scene, ask('a')).params) as { color: unknown }
  assert.deepEqual(params, { topK: 5, color: params.color, only: { v2: true } })
  assert.ok(params.color === 0 || params.color === 1, 'the layer is for v2 only')
})

test('the same arms give the same parameters again without a merge, until there would be too many combinations to keep', () => {
  const arm = (name: string) => ({ values: { [name]: 'x'.repeat(1000) } })
  const [one, other] = [arm('one'), arm('other')]
  const kept = new ParamsMemory<{ values: Params }>(5000).root({ topK: 3 })
  const both = kept.with(one).with(other)
  assert.equal(kept.with(one).with(other), both)
  assert.deepEqual(JSON.parse(both.json), { topK: 3, ...one.values, ...other.values })
  for (const name of ['a', 'b', 'c']) kept.with(arm(name))
  assert.notEqual(kept.with(one).with(other), both)
  assert.equal(kept.with(one).with(other).json, both.json)
})

// Properties

const percent = fc.integer({ min: 0, max: 100 }).map(share => share * 100)
const segments = fc.tuple(percent, percent, percent).map(points => points.sort((a, b) => a - b))
const conditions = fc.array(
  fc.constantFrom<Condition>(
    { attribute: 'country', op: 'in', value: ['CN', 'SG'] },
    { attribute: 'age', op: 'gte', value: 18 },
    { attribute: 'app', op: 'range', value: '^8.2' },
  ),
  { maxLength: 2 },
)

/** Two code experiments side by side, a cutover, two layers and a whitelist: every rule that can choose a version. */
const anyRules = fc
  .record({
    points: segments,
    where: conditions,
    share: percent,
    byRequest: fc.boolean(),
    treatment: fc.integer({ min: 0, max: 5000 }),
    versions: fc.option(fc.constantFrom<string[]>(['v1'], ['v2', 'v3']), { nil: undefined }),
    loadtest: fc.boolean(),
  })
  .map(({ points: [a = 0, b = 0, c = 0], where, share, byRequest, treatment, versions, loadtest }): Partial<SceneRules> => {
    const range = (from: number, to: number): [number, number][] => (from < to ? [[from, to]] : [])
    const arms: readonly (readonly [string, string, Range[], number])[] = [
      ['control', 'v1', [[0, 5000]], treatment],
      ['treatment', 'v2', [[5000, 10_000]], treatment],
    ]
    const state = (from: number, to: number) => (from < to ? 'running' : 'draft')
    return {
      ...(loadtest && { loadtest: 'v4' }),
      whitelist: { v3: ['u1', '用户1'] },
      experiments: [
        code('one', { segments: range(a, b), state: state(a, b), arms, where }),
        code('two', { segments: range(b, c), state: state(b, c), arms, unit: byRequest ? 'request' : 'unit' }),
      ],
      cutover: { version: 'v3', share, salt: 'cutover/1' },
      layers: [
        layer('ui', ['color'], [business('b-1', 'color', { segments: [[0, 6000]], where, ...(versions && { versions }) })]),
        layer('rank', ['topK'], [business('b-2', 'topK')]),
      ],
    }
  })

const anyAsk = fc
  .record({
    unit: fc.option(
      fc.oneof(
        fc.nat(300).map(i => `u${i}`),
        fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }),
        fc.constant('用户1'),
      ),
      {
        nil: undefined,
      },
    ),
    requestId: fc.nat(300).map(i => `r${i}`),
    pin: fc.option(fc.constantFrom('v1', 'v2', 'v9'), { nil: undefined, freq: 8 }),
    loadtest: fc.boolean(),
    country: fc.constantFrom('CN', 'US', undefined),
    age: fc.constantFrom(17, '18', undefined),
    app: fc.constantFrom('8.2.1', '9.0.0', 'none'),
  })
  .map(({ unit, requestId, pin, loadtest, ...attributes }) =>
    ask(unit, { requestId, pin, loadtest: loadtest && requestId > 'r2', attributes }),
  )

const outcome = (of: () => unknown): unknown => {
  try {
    return of()
  } catch (error) {
    return (error as { code: unknown }).code
  }
}

test('explain says what decide does, and its last step of the version is the rule that decided', () => {
  fc.assert(
    fc.property(anyRules, fc.array(anyAsk, { minLength: 20, maxLength: 20 }), (rules, asks) => {
      checked(rules)
      const scene = sceneWith(rules)
      for (const input of asks) {
        const decided = outcome(() => {
          const { plan, because, bucket, arm, layers, params, exposed } = decide(scene, input)
          const experiment = arm && { id: arm.experiment, phase: arm.phase, arm: arm.arm }
          return {
            version: plan.version,
            because,
            bucket: bucket ?? null,
            experiment: experiment ?? null,
            arms: layers.map(({ arm }) => arm),
            params: JSON.parse(params),
            exposed,
          }
        })
        const explained = outcome(() => {
          const { layers, steps, ...rest } = explain(scene, input)
          const deciding = steps.filter(({ rule, decided }) => decided && rule !== 'layer')
          assert.equal(deciding[0]?.rule, rest.because)
          if (rest.experiment !== null) assert.equal(deciding[0]?.draws.at(-1)?.bucket, rest.bucket)
          for (const { draws } of steps) for (const { hash, bucket } of draws) assert.equal(hash % 10_000, bucket)
          return { ...rest, arms: layers.map(({ arm }) => arm) }
        })
        assert.deepEqual(explained, decided)
      }
    }),
    { numRuns: 150 },
  )
})

const inQuarantine = (versions: readonly string[]): NonNullable<SceneRules['quarantined']> =>
  Object.fromEntries(versions.map(id => [id, { since: '2026-01-01T00:00:00.000Z', why: 'it cost 2 cells', evidence: [] }]))

test('whoever would get a version in quarantine gets the baseline, or the one before, and counts as no exposure; all others get what they got', () => {
  const some = fc.subarray(['v1', 'v2', 'v3', 'v4'], { minLength: 1 })
  fc.assert(
    fc.property(anyRules, some, fc.array(anyAsk, { minLength: 20, maxLength: 20 }), (rules, bad, asks) => {
      const without = sceneWith({ ...rules, previousBaseline: 'v2' })
      const scene = sceneWith({ ...rules, previousBaseline: 'v2', quarantined: inQuarantine(bad) })
      const standIn = ['v1', 'v2'].find(id => !bad.includes(id))
      for (const input of asks) {
        const before = outcome(() => decide(without, input)) as string | ReturnType<typeof decide>
        const after = outcome(() => decide(scene, input)) as string | ReturnType<typeof decide>
        const said = outcome(() => explain(scene, input)) as string | ReturnType<typeof explain>
        if (typeof before === 'string') assert.equal(after, before)
        else if (!bad.includes(before.plan.version)) assert.deepEqual(after, before)
        else if (standIn === undefined || before.because === 'pin')
          assert.deepEqual([after, said], ['VERSION_QUARANTINED', 'VERSION_QUARANTINED'])
        else {
          assert.ok(typeof after === 'object' && typeof said === 'object')
          const { plan, because, exposed, arm, bucket } = after
          const expected = before.because === 'loadtest' ? 'loadtest' : 'quarantine'
          assert.deepEqual([plan.version, because, exposed, arm, bucket], [standIn, expected, false, undefined, undefined])
          assert.deepEqual([said.version, said.because, said.exposed, said.experiment], [standIn, because, false, null])
          const words = `${before.plan.version} is in quarantine, so ${standIn} answers in its place`
          assert.ok(said.steps.some(step => step.decided && step.said.includes(words)))
        }
      }
    }),
    { numRuns: 100 },
  )
})

test('a refusal for quarantine says why, with the evidence, and how to lift it', () => {
  const evidence = [
    {
      at: '2026-01-01T00:00:00.000Z',
      cell: 2,
      why: 'slot home/v1 cannot be stopped',
      runningMs: 2100,
      stage: 'rank',
      module: 'rank-lr@1.0.0',
    },
  ]
  const quarantined = { v1: { since: '2026-01-02T00:00:00.000Z', why: 'it cost 2 cells within 60 minutes', evidence } }
  const words =
    /no other version left.*v1.*since 2026-01-02.*cost 2 cells.*cell 2 at 2026-01-01.*cannot be stopped, in stage rank, module rank-lr@1\.0\.0, after 2100 ms.*sdk version lift home v1/
  assert.throws(() => decide(sceneWith({ quarantined }), ask('u')), { code: 'VERSION_QUARANTINED', message: words, retryAfterSeconds: 30 })
})

test('no unit is in two code experiments of a scene, whatever its requests are', () => {
  const all = units(60)
  fc.assert(
    fc.property(anyRules, rules => {
      const scene = sceneWith(rules)
      for (const unit of all) {
        const found = new Set(
          units(8, 'r').map(
            requestId => decide(scene, ask(unit, { requestId, attributes: { country: 'CN', age: 20, app: '8.2.0' } })).arm?.experiment,
          ),
        )
        found.delete(undefined)
        assert.ok(found.size <= 1)
      }
    }),
    { numRuns: 60 },
  )
})

test('a cutover that grows keeps everyone it has', () => {
  const all = units(500)
  fc.assert(
    fc.property(percent, percent, (one, other) => {
      const [small, large] = one < other ? [one, other] : [other, one]
      const at = (share: number) => sceneWith({ cutover: { version: 'v2', share, salt: 'cutover/1' } })
      const [before, after] = [at(small), at(large)]
      for (const unit of all) if (version(before, ask(unit)) === 'v2') assert.equal(version(after, ask(unit)), 'v2')
    }),
    { numRuns: 40 },
  )
})

test('explain lists the rules that the scene has, and a load-test mark that it has no rule for', () => {
  const rulesIn = (rules: Partial<SceneRules>, input: DecisionInput) => explain(sceneWith(rules), input).steps.map(({ rule }) => rule)
  assert.deepEqual(rulesIn({}, ask('u1')), ['baseline'])
  assert.deepEqual(rulesIn({ loadtest: 'v4' }, ask('u1')), ['loadtest', 'baseline'])
  assert.deepEqual(rulesIn({}, ask('u1', { loadtest: true })), ['loadtest', 'baseline'])
})

test('a scene without rules is answered by its baseline with its own parameters', () => {
  const { because, params, exposed } = decide(sceneWith({}), ask('u1'))
  assert.deepEqual({ because, params: JSON.parse(params), exposed }, { because: 'baseline', params: definition.params, exposed: false })
})
