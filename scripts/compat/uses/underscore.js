import _ from 'underscore'
export const input = {
  items: [
    { id: 'a', score: 1 },
    { id: 'b', score: 3 },
  ],
}
export const use = ({ items }) => ({
  sorted: _.sortBy(items, 'score'),
  by: _.indexBy(items, 'id'),
  text: _.template('<% items.forEach(i => { %><%- i.id %>;<% }) %>')({ items }),
  chain: _.chain(items)
    .pluck('score')
    .reduce((a, b) => a + b)
    .value(),
  equal: _.isEqual({ a: [1] }, { a: [1] }),
  escaped: _.escape('<b>'),
})
