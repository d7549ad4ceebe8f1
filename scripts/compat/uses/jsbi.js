import JSBI from 'jsbi'
export const input = { a: '9007199254740993', b: '3' }
export const use = ({ a, b }) => [
  JSBI.multiply(JSBI.BigInt(a), JSBI.BigInt(b)).toString(),
  JSBI.exponentiate(JSBI.BigInt(b), JSBI.BigInt(60)).toString(36),
  JSBI.toNumber(JSBI.divide(JSBI.BigInt(a), JSBI.BigInt(b))),
]
