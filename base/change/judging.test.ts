import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { LostCell } from '../contract/change-api.ts'
import { limits } from '../kernel/limits.ts'
import { judgeKills, judgeLosses, recentReports } from './judging.ts'

const at = (minute: number): string => new Date(minute * 60_000).toISOString()

type Suspect = LostCell['suspects'][number]
const suspect = (scene: string, more: Partial<Suspect> = {}): Suspect => ({ scene, version: 'v1', runningMs: 10, isNamed: false, ...more })
const named = (scene: string, more: Partial<Suspect> = {}): Suspect => suspect(scene, { isNamed: true, ...more })
const loss = (minute: number, ...suspects: readonly Suspect[]): LostCell => ({
  ...{ at: at(minute), cell: 1 + (minute % 2), pid: 100 + minute, why: 'signal SIGSEGV', endedItself: true },
  suspects: [...suspects],
})
const convicted = (...losses: readonly LostCell[]): string[] => judgeLosses(losses).map(({ scene }) => scene)

test('a version that has cost two cells is quarantined, with what each of them says', () => {
  const where = { runningMs: 2100, stage: 'rank', module: 'bad@1.0.0' }
  const [verdict, ...others] = judgeLosses([loss(0, suspect('bad')), loss(1, suspect('busy'), named('bad', where))])
  assert.deepEqual(others, [])
  assert.deepEqual([verdict?.scene, verdict?.version, verdict?.why], ['bad', 'v1', 'it cost 2 cells within 60 minutes'])
  assert.deepEqual(verdict?.evidence, [
    { at: at(0), cell: 1, why: 'signal SIGSEGV', runningMs: 10 },
    { at: at(1), cell: 2, why: 'signal SIGSEGV', ...where },
  ])
})

test('one loss, two that lie far apart, and two versions of a scene with one each are not enough', () => {
  assert.deepEqual(convicted(), [])
  assert.deepEqual(convicted(loss(0, named('bad'))), [])
  assert.deepEqual(convicted(loss(0, named('bad')), loss(61, named('bad'))), [])
  assert.deepEqual(convicted(loss(0, named('bad')), loss(59, named('bad'))), ['bad'])
  assert.deepEqual(convicted(loss(0, named('bad')), loss(1, named('bad', { version: 'v2' }))), [])
})

test('a loss from before a lift counts no more', () => {
  const losses = [loss(0, named('bad')), loss(1, named('bad')), loss(3, named('bad'))]
  assert.deepEqual(
    judgeLosses(losses, () => at(2)),
    [],
  )
  assert.deepEqual(
    judgeLosses(losses, scene => (scene === 'bad' ? at(0) : undefined)).map(({ evidence }) => evidence.length),
    [2],
  )
})

test('a version that was among others is guilty only when another loss proves it', () => {
  assert.deepEqual(convicted(loss(0, suspect('bad'), suspect('busy')), loss(1, suspect('bad'), suspect('busy'))), [])
  assert.deepEqual(convicted(loss(0, suspect('bad'), suspect('busy')), loss(1, suspect('bad'))), ['bad'])
  const both = [loss(0, suspect('a')), loss(1, suspect('b'))]
  assert.deepEqual(convicted(...both, loss(2, suspect('a'), suspect('b'))), [], 'either of them may have been the cause')
})

test('what ran alone in a cell that had to be killed need not be the cause', () => {
  const killed = (minute: number) => ({ ...loss(minute, suspect('busy')), why: 'it gave no sign for 10000 ms', endedItself: false })
  assert.deepEqual(convicted(killed(0), killed(1), killed(2)), [])
  assert.deepEqual(convicted(killed(0), loss(1, suspect('busy'))), ['busy'])
})

/**
 * Losses, each to one of a few culprits. It is always among the suspects; of the busy bystanders any number is too, for however long. Whether the
 * cell names the culprit is left to chance.
 */
const lossesTo = (culprits: readonly string[]) =>
  fc.array(
    fc.record({
      culprit: fc.constantFrom(...culprits),
      isNamed: fc.boolean(),
      bystanders: fc.subarray(['busy', 'slow', 'rare']),
      runningMs: fc.array(fc.integer({ min: 0, max: 20_000 }), { minLength: 4, maxLength: 4 }),
    }),
    { maxLength: 30 },
  )

interface DrawnLoss {
  readonly culprit: string
  readonly isNamed: boolean
  readonly bystanders: readonly string[]
  readonly runningMs: readonly number[]
}

const asLosses = (drawn: readonly DrawnLoss[]): LostCell[] =>
  drawn.map(({ culprit, isNamed, bystanders, runningMs }, index) => {
    const all = [suspect(culprit, { isNamed }), ...bystanders.map(scene => suspect(scene))]
    return loss(index, ...all.map((one, i) => ({ ...one, runningMs: runningMs[i] ?? 0 })))
  })

test('no bystander is ever quarantined, however busy it is and whoever the culprits are', () => {
  fc.assert(
    fc.property(lossesTo(['bad', 'worse', 'worst']), drawn => {
      const innocent = convicted(...asLosses(drawn)).filter(scene => ['busy', 'slow', 'rare'].includes(scene))
      assert.deepEqual(innocent, [])
    }),
  )
})

test('a single culprit is quarantined with the second cell that it costs, as soon as one of them was named or ran it alone', () => {
  fc.assert(
    fc.property(lossesTo(['bad']), drawn => {
      const isProved = drawn.some(({ isNamed, bystanders }) => isNamed || bystanders.length === 0)
      assert.deepEqual(convicted(...asLosses(drawn)), isProved && drawn.length >= limits.quarantine.lossesMax ? ['bad'] : [])
    }),
  )
})

const report = (minute: number, kills: number, answers: number) => ({
  at: at(minute),
  cell: 1,
  why: 'it used over 50 ms of CPU',
  kills,
  answers,
})

test('a version whose slots keep being killed is quarantined only when it hardly answers between', () => {
  const { killsMax } = limits.quarantine
  assert.equal(judgeKills('home', 'v1', [report(0, killsMax - 1, 0)]), undefined)
  assert.equal(judgeKills('home', 'v1', [report(0, killsMax, 0), report(1, killsMax, 2 * killsMax)]), undefined)
  const verdict = judgeKills('home', 'v1', [report(0, killsMax - 1, 3), report(1, 1, 0)])
  assert.match(verdict?.why ?? '', /killed 50 times within 10 minutes, while it gave 3 answers/)
  assert.deepEqual(verdict?.evidence, [report(0, killsMax - 1, 3), report(1, 1, 0)])
})

test('kills that lie far apart do not add up', () => {
  assert.deepEqual(recentReports([report(0, 40, 0), report(5, 1, 0), report(11, 40, 0)]), [report(5, 1, 0), report(11, 40, 0)])
})
