import assert from 'node:assert/strict'
import { test } from 'node:test'
import { describeOverride, overridesOf, warnOverridden } from './overrides.ts'
import type { BusinessExperiment, Layer } from './rules.ts'

const experiment = (id: string, more: Partial<BusinessExperiment> = {}): BusinessExperiment => ({
  ...{ id, phase: 1, salt: id, unit: 'unit', state: 'running', segments: [[0, 10_000]], where: [] },
  arms: [
    { name: 'a', values: { topK: 3 }, reserve: [[0, 5000]], share: 5000 },
    { name: 'b', values: { topK: 5, mode: 'fast' }, reserve: [[5000, 10_000]], share: 5000 },
  ],
  ...more,
})
const layer = (experiments: BusinessExperiment[], more: Partial<Layer> = {}): Layer => ({
  ...{ id: 'ui', state: 'live', salt: 'ui', keys: ['topK', 'mode'], experiments },
  ...more,
})

test('a parameter is overridden by the running experiments of live layers, for the units of the arms that set it', () => {
  const shown = (layers: Layer[]) =>
    overridesOf({ layers }).map(({ parameter, arms, share, isLimited }) => [parameter, arms, share, isLimited])
  assert.deepEqual(shown([layer([experiment('e')])]), [
    ['topK', ['a', 'b'], 1, false],
    ['mode', ['b'], 0.5, false],
  ])
  const limited = [experiment('e', { segments: [[0, 4000]], where: [{ attribute: 'age', op: 'gt', value: 30 }] })]
  assert.deepEqual(shown([layer(limited)])[1], ['mode', ['b'], 0.2, true])
  for (const nobody of [
    layer([experiment('e', { state: 'draft' }), experiment('f', { state: 'stopped' })]),
    layer([experiment('e')], { state: 'retired' }),
    layer([experiment('e', { arms: [{ name: 'a', values: { topK: 3 }, reserve: [[0, 100]], share: 0 }] })]),
  ]) {
    assert.deepEqual(shown([nobody]), [])
  }
})

test('a change of an overridden parameter names the experiment and the arms, and for how many units they set it', () => {
  const layers = [layer([experiment('exp-9')])]
  assert.deepEqual(warnOverridden({ layers }, { topK: 1, mode: 'slow' }, { topK: 2, mode: 'slow' }), [
    'experiment "exp-9" of layer "ui" sets "topK" for all units, in its arms a, b, whatever it is set to here',
  ])
  assert.deepEqual(warnOverridden({ layers }, {}, { other: 1 }), [])
  const [, mode] = overridesOf({ layers: [layer([experiment('e', { segments: [[0, 2501]], versions: ['v1'] })])] })
  assert.equal(
    mode && describeOverride(mode),
    'experiment "e" of layer "ui" sets "mode" for 12.505% of the units among those that it is limited to, in its arm b, whatever it is set to here',
  )
})
