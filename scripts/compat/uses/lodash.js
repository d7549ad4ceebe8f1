import _ from 'lodash'
export const input = {
  items: [
    { id: 'a', score: 1, tag: 'x' },
    { id: 'b', score: 3, tag: 'y' },
    { id: 'c', score: 2, tag: 'x' },
  ],
}
export const use = ({ items }) => ({
  order: _.orderBy(items, 'score', 'desc').map(i => i.id),
  groups: _.groupBy(items, 'tag'),
  merged: _.merge({ a: { b: 1 } }, { a: { c: 2 } }),
  text: _.template('<%= n %> items')({ n: items.length }),
  memo: _.memoize(n => n * 2)(4),
  chain: _(items).map('score').sum(),
  clone: _.cloneDeep({ d: new Map([[1, { e: 2 }]]) }).d.get(1).e,
  words: _.words('fred, barney & pebbles'),
  curried: _.curry((a, b, c) => a + b + c)(1)(2)(3),
  path: _.get({ a: [{ b: 3 }] }, 'a[0].b'),
})
