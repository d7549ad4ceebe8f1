import Denque from 'denque'
export const input = { values: [1, 2, 3, 4] }
export const use = ({ values }) => {
  const queue = new Denque(values, { capacity: 4 })
  queue.push(5)
  queue.unshift(0)
  return [queue.toArray(), queue.shift(), queue.peekBack(), queue.splice(1, 1), queue.size()]
}
