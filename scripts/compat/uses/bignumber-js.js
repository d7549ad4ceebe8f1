import BigNumber from 'bignumber.js'
export const input = { a: '0.1', b: '3' }
export const use = ({ a, b }) => [
  BigNumber(a).plus('0.2').toString(),
  BigNumber(1).div(b).toFixed(30),
  BigNumber('1e50').sqrt().toString(),
  BigNumber('ff', 16).toFormat(),
  BigNumber(a).toFraction(),
]
