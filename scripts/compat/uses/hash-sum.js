import sum from 'hash-sum'
export const input = { value: { b: [1, 'x', null], a: { nested: true } } }
export const use = ({ value }) => [sum(value), sum([]), sum(new Date(0))]
