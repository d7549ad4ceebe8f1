import Long from 'long'
export const input = { a: '9007199254740993', b: '-3' }
export const use = ({ a, b }) => [
  Long.fromString(a).multiply(Long.fromString(b)).toString(),
  Long.MAX_UNSIGNED_VALUE.toString(16),
  Long.fromString(a).shiftRight(5).toBytesLE(),
  Long.fromBits(1, 2, true).toNumber(),
]
