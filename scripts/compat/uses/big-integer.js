import bigInt from 'big-integer'
export const input = { a: '90071992547409919007199254740991', b: 12345 }
export const use = ({ a, b }) => [
  bigInt(a).times(b).toString(),
  bigInt(b).modPow(a, 97).toString(),
  bigInt(a).toString(36),
  bigInt(97).isPrime(),
  bigInt.gcd(12, 18).toJSNumber(),
  bigInt(a).shiftRight(40).bitLength().toString(),
]
