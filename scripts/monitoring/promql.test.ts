import assert from 'node:assert/strict'
import { test } from 'node:test'
import { selectionsOf } from './promql.ts'

const labelsOf = (expression: string, shown?: readonly string[]) =>
  selectionsOf(expression, shown).map(({ metric, labels }) => `${metric}: ${[...labels].sort().join(' ')}`)

test('an expression tells the metrics that it reads, and the labels that it needs of each', () => {
  assert.deepEqual(selectionsOf('rate(a_total{code=~"X|Y", cell!=""}[5m]) > 0'), [
    {
      metric: 'a_total',
      matchers: [
        { label: 'code', operator: '=~', value: 'X|Y' },
        { label: 'cell', operator: '!=', value: '' },
      ],
      labels: ['code', 'cell'],
    },
  ])
  assert.deepEqual(labelsOf('histogram_quantile(0.99, sum by (le, scene) (rate(a_bucket[5m])))', ['scene']), ['a_bucket: le scene'])
  assert.deepEqual(labelsOf('sum by (x) (a) / on (x) group_left sum(b) by (x, y)'), ['a: x', 'b: x y'])
  assert.deepEqual(labelsOf('a and on (x) b offset 1h', ['y']), ['a: x y', 'b: x'])
  assert.deepEqual(labelsOf('topk(5, sum by (x) (a))', ['x']), ['a: x'])
  assert.deepEqual(labelsOf('max without (cell) (a)', ['x']), ['a: cell x'])
})

test('what is no PromQL, reads nothing, or uses a label that is gone, is refused', () => {
  for (const [expression, shown, why] of [
    ['sum(a', [], /no PromQL/],
    ['1 + 1', [], /reads no metric/],
    ['{__name__="a"}', [], /without the name/],
    ['sum by (x) (a)', ['y'], /^y: aggregated away/],
    ['max without (x) (a)', ['x'], /^x: aggregated away/],
    ['sum(a) / on (x) sum by (x) (b)', [], /^x: aggregated away/],
    ['a / on (x) b', ['y'], /^y: not joined on/],
    ['histogram_quantile(0.5, sum by (x) (rate(a_bucket[5m])))', [], /^le: aggregated away/],
    ['histogram_quantile(0.5, rate(a_count[5m]))', [], /a_count, which is no bucket/],
  ] as const) {
    assert.throws(() => selectionsOf(expression, shown), { name: 'SyntaxError', message: why }, expression)
  }
})
