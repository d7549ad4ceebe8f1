import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ExperimentView } from '../../../base/contract/experiment-api.ts'
import { MOVED_OF, type Range } from '../../../base/traffic/ranges.ts'
import { armRows, describeMovement, describeOutcome, describeStep, exactPercent, flipRows, showPart } from './experiment-view.ts'
import { countExposures } from './exposures.ts'

const arm = (name: string, version: string, ...ranges: Range[]) => ({
  name,
  version,
  reserve: ranges.map(([from, to]): [number, number] => [from, to]),
  share: ranges.reduce((sum, [from, to]) => sum + to - from, 0),
})

function experimentOf(arms: ReturnType<typeof arm>[], traffic = 4000): ExperimentView {
  const inForce = Object.fromEntries(arms.map(({ name, share, reserve }) => [name, { share, ranges: reserve }]))
  const settings = { id: 'exp-1', phase: 1, salt: 's', unit: 'unit', state: 'running', segments: [[0, traffic]], where: [] } as const
  return { ...settings, segments: [[0, traffic]], where: [], arms, layer: null, traffic, inForce }
}

test('arms are rows with what they are of all units, and the rest is in none', () => {
  const grown = arm('treatment', 'v4', [5000, 6000], [8000, 8500], [6000, 6001])
  assert.deepEqual(armRows(experimentOf([arm('control', 'v3', [0, 5000]), grown])), [
    ['control', 'v3', '50%', '20%', '0–5000'],
    ['treatment', 'v4', '15.01%', '6.004%', '5000–6001, 8000–8500'],
    ['(no arm)', '', '34.99%', '13.996%', ''],
  ])
  assert.equal(armRows(experimentOf([arm('all', 'v3', [0, 10_000])])).length, 1, 'nobody is left')
})

test('arms that go and arms that come have a row of a flip each', () => {
  const before = { old: { share: 1000, ranges: [[0, 1000]] }, stays: { share: 10, ranges: [[1000, 1010]] } } as const
  const experiment = experimentOf([arm('stays', 'v3', [1000, 1010]), arm('new', 'v4')])
  assert.deepEqual(flipRows({ experiment, before, after: experiment.inForce }), [
    ['old', '(dropped)', '10%', '0–1000', '–', '–'],
    ['stays', 'v3', '0.1%', '1000–1010', '0.1%', '1000–1010'],
    ['new', 'v4', '–', '–', '0%', 'none'],
  ])
})

test('shares of moved units lose no digit', () => {
  assert.equal(exactPercent(1, MOVED_OF), '0.0000000001%')
  assert.equal(exactPercent(MOVED_OF - 1, MOVED_OF), '99.9999999999%')
  assert.equal(exactPercent(MOVED_OF / 10, MOVED_OF), '10%')
  assert.equal(exactPercent(0, MOVED_OF), '0%')
  assert.equal(exactPercent(123_400_000_000, MOVED_OF), '12.34%')
  assert.equal(showPart(1, 1), '0.000001%')
})

test('what moves is shown by what becomes of it, and when nobody does, why', () => {
  const experiment = experimentOf([arm('a', 'v1', [0, 1])])
  const moved = (entering: number, leaving: number, switching: number) => ({
    ...{ entering, leaving, switching, moved: entering + leaving + switching },
    ...{ of: MOVED_OF, share: (entering + leaving + switching) / MOVED_OF },
  })
  const tenth = MOVED_OF / 1000
  assert.equal(
    describeMovement({ experiment, moved: moved(tenth, 2 * tenth, 3 * tenth) }),
    '0.6% of all units of the scene move: 0.1% enter, 0.2% leave, 0.3% change arms',
  )
  assert.equal(describeMovement({ experiment, moved: moved(0, 0, 0) }), 'No unit of the scene moves')
  const draft = { ...experiment, state: 'draft', layer: 'ui' } as const
  assert.equal(describeMovement({ experiment: draft, moved: moved(0, 0, 0) }), 'No unit of layer "ui" moves: it is not started')
  const where = [{ attribute: 'country', op: 'equals', value: 'CN' }] as const
  assert.match(
    describeMovement({ experiment: { ...experiment, where: [...where] }, moved: moved(tenth, 0, 0) }),
    /that fit its conditions$/,
  )
})

test('a step of an explanation says who was asked, what it said, and how the id came there', () => {
  const draw = { of: 'unit', salt: 'abc', hash: 71986500, bucket: 6500, ranges: [[0, 4000]] as Range[] } as const
  const step = { rule: 'experiment', name: 'exp-1', decided: false, said: 'segment 6500 is not in 0–4000', draws: [draw] } as const
  assert.deepEqual(
    describeStep(step, decided => (decided ? '+' : '-')),
    ['- experiment   exp-1: segment 6500 is not in 0–4000', '      unit id → hash 71986500 → segment 6500, takes 0–4000   (salt abc)'],
  )
  const nobody = { rule: 'layer', name: 'ui', decided: false, said: 'nobody is in it', draws: [] } as const
  assert.deepEqual(
    describeStep(nobody, () => '-'),
    ['- layer ui     nobody is in it'],
  )
})

test('the outcome of an explanation names version, rule, parameters and exposure', () => {
  const outcome = describeOutcome({
    version: 'v4',
    because: 'experiment',
    bucket: 12,
    experiment: { id: 'exp-1', phase: 2, arm: 'treatment' },
    layers: [{ layer: 'ui', experiment: 'exp-2', arm: 'a', phase: 1 }],
    params: { topK: 5 },
    exposed: true,
    steps: [],
  })
  assert.deepEqual(outcome, [
    'v4 answers, because of: experiment exp-1, arm "treatment", phase 2, bucket 12',
    '  in layer "ui": experiment exp-2, arm "a", phase 1',
    '  params {"topK":5}',
    '  counts as an exposure',
  ])
})

test('exposures are added up over cells, by scene, experiment, phase and arm', () => {
  const row = (scene: string, phase: number, cell: number, count: string) =>
    `berth_exposures_total{scene="${scene}",experiment="e",phase="${phase}",arm="a",cell="${cell}"} ${count}`
  const metrics = ['# TYPE berth_exposures_total counter', row('home', 1, 1, '3'), row('home', 1, 2, '1.5e+3'), row('home', 2, 1, '9')]
  const exposures = countExposures([...metrics, row('other', 1, 1, '100'), ''].join('\n'), 'home')
  assert.deepEqual([exposures.of('e', 1, 'a'), exposures.of('e', 2, 'a'), exposures.of('e', 3, 'a')], [1503, 9, 0])
})
