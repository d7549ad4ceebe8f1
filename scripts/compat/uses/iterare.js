import { iterate } from 'iterare'
export const input = { values: [1, 2, 3, 4, 5] }
export const use = ({ values }) => ({
  list: iterate(values)
    .filter(n => n % 2 === 1)
    .map(n => n * 2)
    .toArray(),
  flat: iterate([[1], [2, 3]])
    .flatten()
    .join('-'),
  set: iterate([1, 1]).toSet().size,
  part: [...iterate(values).slice(1, 3)],
})
