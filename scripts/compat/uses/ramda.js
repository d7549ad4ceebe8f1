import * as R from 'ramda'
export const input = {
  items: [
    { id: 'a', tag: 'x', score: 1 },
    { id: 'b', tag: 'y', score: 3 },
    { id: 'c', tag: 'x', score: 2 },
  ],
}
export const use = ({ items }) => ({
  best: R.pipe(R.sortBy(R.prop('score')), R.reverse, R.pluck('id'))(items),
  groups: R.map(R.length, R.groupBy(R.prop('tag'), items)),
  lens: R.over(R.lensPath(['a', 'b']), R.inc, { a: { b: 1 } }),
  transduced: R.into([], R.compose(R.filter(R.gt(R.__, 1)), R.map(R.multiply(2))), [1, 2, 3]),
  same: R.equals(new Map([[1, [2]]]), new Map([[1, [2]]])),
})
