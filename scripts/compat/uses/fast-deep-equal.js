import equal from 'fast-deep-equal/es6/index.js'
export const input = { a: { x: [1, { y: 2 }] } }
export const use = ({ a }) => [
  equal(a, structuredClone(a)),
  equal(a, { x: [1, { y: 3 }] }),
  equal(new Map([[1, { a }]]), new Map([[1, { a }]])),
  equal(new Uint8Array([1]), new Uint8Array([1])),
  equal(/a/g, /a/i),
  equal(Number.NaN, Number.NaN),
]
