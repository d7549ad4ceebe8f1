import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { checkRules } from './check-rules.ts'
import { decide } from './decide.ts'
import { ask, business, checked, code, definition, rulesWith, sceneWith, units, VERSIONS } from './fixtures/scenes.ts'
import { cutoverMovement, type FlipStep, freeSegments, layOut, type Movement, movementOf, planFlip } from './flip.ts'
import { HashedId, seedOf } from './hash.ts'
import { MOVED_OF, sizeOf } from './ranges.ts'
import { type CodeExperiment, type Experiment, inForce } from './rules.ts'

const id = new HashedId()

/**
 * One unit id for each cell of a grid of 100 segments by 100 buckets. When every bound is a whole percent, all units in a cell of the grid get the
 * same decision, so counting these ids gives the exact share of all units.
 */
const grid: readonly string[] = (() => {
  const [segments, buckets] = [seedOf('home/segments'), seedOf('exp-1/1')]
  const cells = new Map<number, string>()
  for (let i = 0; cells.size < 10_000; i++) {
    id.set(`u${i}`)
    const cell = Math.floor(id.bucket(segments) / 100) * 100 + Math.floor(id.bucket(buckets) / 100)
    if (!cells.has(cell)) cells.set(cell, `u${i}`)
  }
  return [...cells.values()]
})()

function armsOf(experiment: Experiment): Map<string, string | undefined> {
  const scene = sceneWith({ experiments: [experiment as CodeExperiment] })
  return new Map(grid.map(unit => [unit, decide(scene, ask(unit)).arm?.arm]))
}

function count(before: Experiment, after: Experiment): Movement {
  const [was, is] = [armsOf(before), armsOf(after)]
  const pairs = grid.map(unit => [was.get(unit), is.get(unit)] as const)
  const share = (filter: (a: string | undefined, b: string | undefined) => boolean) =>
    pairs.filter(([a, b]) => filter(a, b)).length * (MOVED_OF / grid.length)
  const entering = share((a, b) => a === undefined && b !== undefined)
  const leaving = share((a, b) => a !== undefined && b === undefined)
  const switching = share((a, b) => a !== undefined && b !== undefined && a !== b)
  return { entering, leaving, switching, moved: entering + leaving + switching }
}

const plan = (experiment: CodeExperiment, change: FlipStep) => planFlip(rulesWith({ experiments: [experiment] }), experiment.id, [change])

const percent = fc.integer({ min: 0, max: 100 })
const start = code('exp-1', {
  arms: [
    ['control', 'v1', [[0, 4000]], 0],
    ['treatment', 'v2', [[4000, 8000]], 0],
    ['bold', 'v3', [[8000, 9000]], 0],
  ],
})
const arm = fc.constantFrom('control', 'treatment', 'bold')
const shares = fc.dictionary(
  arm,
  percent.map(share => share * 100),
  { noNullPrototype: true },
)
const anyChange = fc.oneof(
  { weight: 5, arbitrary: shares.map((shares): FlipStep => ({ kind: 'shares', shares })) },
  arm.map((arm): FlipStep => ({ kind: 'drop', arm })),
  fc
    .tuple(percent, percent)
    .map(([a, b]): FlipStep => ({ kind: 'segments', segments: a === b ? [[0, 10_000]] : [[Math.min(a, b) * 100, Math.max(a, b) * 100]] })),
  fc.constant<FlipStep>({ kind: 'stop' }),
  fc.constant<FlipStep>({ kind: 'start' }),
)

/** Applies the changes one after the other, and calls `each` for those that are not refused. @returns the experiment at the end */
function history(
  changes: readonly FlipStep[],
  each: (before: CodeExperiment, after: CodeExperiment, movement: Movement, change: FlipStep) => void,
) {
  let now = start
  for (const change of changes) {
    try {
      const { after, movement, rules } = plan(now, change)
      checkRules(rules, { definition, versions: VERSIONS, baseline: 'v1' })
      each(now, after as CodeExperiment, movement, change)
      now = after as CodeExperiment
    } catch (error) {
      assert.equal((error as { code?: string }).code, 'FLIP_REFUSED', `${error}`)
    }
  }
}

test('whatever is flipped in whatever order, the announced share of moved units is the counted one', () => {
  fc.assert(
    fc.property(fc.array(anyChange, { minLength: 1, maxLength: 4 }), changes => {
      history(changes, (before, after, movement) => assert.deepEqual(movement, count(before, after)))
    }),
    { numRuns: 100 },
  )
})

test('ramping up moves no enrolled unit, whatever came before', () => {
  fc.assert(
    fc.property(fc.array(shares, { minLength: 1, maxLength: 8 }), steps => {
      history(
        steps.map((shares): FlipStep => ({ kind: 'shares', shares })),
        (before, after, movement) => {
          if (before.arms.some((arm, i) => (after.arms[i]?.share ?? 0) < arm.share)) return
          assert.deepEqual([movement.leaving, movement.switching], [0, 0])
        },
      )
    }),
    { numRuns: 300 },
  )
})

test('shares may go up and down for years: what is reserved stays within what rules may have, and each announced share stays exact', () => {
  let seed = 1
  const random = (max: number) => {
    seed = (seed * 48_271) % 2_147_483_647
    return seed % max
  }
  const steps = Array.from({ length: 400 }, (): FlipStep => {
    const [a = 0, b = 0] = [random(10_001), random(10_001)].sort((x, y) => x - y)
    return { kind: 'shares', shares: { control: a, treatment: b - a, bold: 10_000 - b } }
  })
  let pieces = 0
  history(steps, (before, after, { moved }) => {
    pieces = Math.max(pieces, ...after.arms.map(({ reserve }) => reserve.length))
    const grown = after.arms.reduce((sum, arm, i) => sum + Math.max(0, arm.share - (before.arms[i]?.share ?? 0)), 0)
    assert.equal(moved, (grown * MOVED_OF) / 10_000)
  })
  assert.ok(pieces > 100, `${pieces} pieces: the steps are too few to show anything`)
})

test('dropping an arm moves only the units of that arm', () => {
  const running = plan(start, { kind: 'shares', shares: { control: 4000, treatment: 3000, bold: 1000 } }).after as CodeExperiment
  const { after, movement } = plan(running, { kind: 'drop', arm: 'treatment' })
  const [before, now] = [armsOf(running), armsOf(after)]
  for (const [unit, was] of before) assert.equal(now.get(unit), was === 'treatment' ? undefined : was)
  assert.deepEqual(movement, { entering: 0, leaving: 0.3 * MOVED_OF, switching: 0, moved: 0.3 * MOVED_OF })
})

test('an arm takes buckets that others do not use, so that a winner can have every unit', () => {
  const half = code('exp-1')
  const { after, movement, newPhase } = plan(half, { kind: 'shares', shares: { treatment: 10_000, control: 0 } })
  assert.deepEqual(after.arms.map(inForce), [
    [],
    [
      [5000, 10_000],
      [0, 5000],
    ],
  ])
  assert.deepEqual(movement, { entering: 0, leaving: 0, switching: MOVED_OF / 2, moved: MOVED_OF / 2 })
  assert.deepEqual(newPhase, [])
})

test('starting or stopping an experiment moves only the units in its segments', () => {
  const draft = code('exp-1', { state: 'draft', segments: [[0, 2000]] })
  const started = plan(draft, { kind: 'start' })
  assert.equal(started.movement.entering, 0.2 * MOVED_OF)
  assert.deepEqual(count(draft, started.after), started.movement)
  assert.equal(plan(started.after as CodeExperiment, { kind: 'stop' }).movement.leaving, 0.2 * MOVED_OF)
})

test('another meaning opens a new phase and says why, and a draft has none to close', () => {
  const running = code('exp-1')
  const arms = running.arms.map(arm => (arm.name === 'treatment' ? { ...arm, version: 'v3' } : arm))
  const { after, newPhase, movement } = plan(running, { kind: 'redesign', salt: 'exp-1/2', to: { arms, unit: 'request' } })
  assert.deepEqual([after.phase, after.salt], [2, 'exp-1/2'])
  assert.equal(newPhase.length, 3)
  assert.match(newPhase.join(), /salt.*request id.*"treatment" means v3/)
  // The units are shuffled independently. All are in an arm before and after; of the half in "control", half stay in it.
  assert.deepEqual(movement, { entering: 0, leaving: 0, switching: 0.75 * MOVED_OF, moved: 0.75 * MOVED_OF })
  const draft = plan({ ...running, state: 'draft' }, { kind: 'redesign', salt: 'ignored', to: { arms } })
  assert.deepEqual([draft.after.phase, draft.after.salt, draft.newPhase, draft.movement.moved], [1, 'exp-1/1', [], 0])
  assert.throws(() => plan(running, { kind: 'redesign', salt: 'exp-1/1', to: { arms } }), { code: 'FLIP_REFUSED' })
})

test('a flip of a business experiment changes it in its layer', () => {
  const layers = [{ id: 'ui', state: 'live', salt: 'ui', keys: ['color'], experiments: [business('b-1', 'color')] }] as const
  const rules = checked({ layers: layers.map(layer => ({ ...layer, keys: [...layer.keys], experiments: [...layer.experiments] })) })
  const flip = planFlip(rules, 'b-1', [{ kind: 'shares', shares: { control: 1000 } }])
  assert.equal(flip.rules.layers[0]?.experiments[0]?.arms[0]?.share, 1000)
  assert.equal(flip.movement.leaving, 0.4 * MOVED_OF)
})

test('what cannot be done is refused, and says why', () => {
  const running = code('exp-1')
  const refused = (change: FlipStep, why: RegExp) => assert.throws(() => plan(running, change), { code: 'FLIP_REFUSED', message: why })
  refused({ kind: 'start' }, /running already/)
  refused({ kind: 'drop', arm: 'bold' }, /no arm "bold", it has control, treatment/)
  refused({ kind: 'shares', shares: { treatment: 6000 } }, /110% together \(control 50%, treatment 60%\)/)
  refused({ kind: 'shares', shares: { treatment: 1.5 } }, /in steps of 0.01%/)
  assert.throws(() => plan({ ...running, arms: running.arms.slice(0, 1) }, { kind: 'drop', arm: 'control' }), {
    message: /stop it instead/,
  })
  assert.throws(() => plan({ ...running, state: 'draft' }, { kind: 'stop' }), { message: /not running, it is draft/ })
  assert.throws(() => planFlip(rulesWith({}), 'exp-9', [{ kind: 'stop' }]), { code: 'EXPERIMENT_NOT_FOUND' })
})

test('the announced share of a cutover is the counted one', () => {
  const ids = units(10_000)
  const move = (from: number, to: number, experiments: CodeExperiment[] = []) => {
    const cutover = (share: number) => ({ version: 'v2', share, salt: 'cutover/1' })
    const [before, after] = [sceneWith({ cutover: cutover(from), experiments }), sceneWith({ cutover: cutover(to), experiments })]
    const moved = ids.filter(unit => decide(before, ask(unit)).because !== decide(after, ask(unit)).because).length
    const announced = cutoverMovement(cutover(from), cutover(to), experiments).moved / MOVED_OF
    assert.ok(Math.abs(moved / ids.length - announced) < 0.02)
    return announced
  }
  assert.deepEqual([move(500, 2500), move(2500, 500), move(10_000, 10_000)], [0.2, 0.2, 0])
  const [half, stopped] = [code('exp-1', { segments: [[0, 5000]] }), code('exp-2', { state: 'stopped' })]
  assert.equal(move(0, 10_000, [half, stopped]), 0.5)
  assert.equal(cutoverMovement(undefined, { version: 'v2', share: 100, salt: 'a' }).entering, MOVED_OF / 100)
})

test('arms are laid out by weight, and segments are found where no running experiment is', () => {
  assert.deepEqual(
    layOut([
      { name: 'a', weight: 3000 },
      { name: 'b', weight: 7000 },
    ]),
    [
      { name: 'a', reserve: [[0, 3000]], share: 0 },
      { name: 'b', reserve: [[3000, 10_000]], share: 0 },
    ],
  )
  const others = [code('exp-1', { segments: [[1000, 4000]] }), code('exp-2', { segments: [[0, 500]], state: 'stopped' })]
  assert.deepEqual(freeSegments(others, 2000), [
    [0, 1000],
    [4000, 5000],
  ])
  assert.equal(sizeOf(freeSegments(others, 7000)), 7000)
  assert.throws(() => freeSegments(others, 7001), { code: 'SEGMENTS_TAKEN', message: /70% is free, the rest has exp-1 30%/ })
})

test('an experiment that changes nothing moves nobody', () => {
  assert.deepEqual(movementOf(start, start), { entering: 0, leaving: 0, switching: 0, moved: 0 })
})
