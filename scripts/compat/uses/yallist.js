import { Yallist } from 'yallist'
export const input = { values: [1, 2, 3] }
export const use = ({ values }) => {
  const list = Yallist.create(values)
  list.unshift(0)
  list.push(4)
  return [list.toArray(), list.map(n => n * 2).toArray(), list.reverse().toArray(), [...list.slice(1, 3)], list.reduce((a, b) => a + b)]
}
