import 'core-js/actual/array/group-by.js'
import 'core-js/actual/structured-clone.js'
import 'core-js/stable/array/at.js'
import 'core-js/stable/url/index.js'
export const input = { values: [1, 2, 3] }
export const use = ({ values }) => [
  values.at(-1),
  structuredClone({ d: new Date(0), m: new Map([[1, 2]]) }).d.toISOString(),
  new URL('/a?b=1', 'https://x.example').searchParams.get('b'),
  typeof Array.prototype.groupBy === 'undefined' ? 'not extended' : 'extended',
]
