import hash from 'object-hash'
export const input = { value: { b: [1, 'x', null], a: { nested: true } } }
export const use = ({ value }) => [
  hash(value),
  hash(value, { algorithm: 'md5', encoding: 'base64', unorderedArrays: true }),
  hash.keys(value),
  hash(new Map([[1, new Date(0)]])),
]
