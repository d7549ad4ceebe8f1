import Decimal from 'decimal.js'
export const input = { a: '0.1', b: '3' }
export const use = ({ a, b }) => [
  Decimal.add(a, '0.2').toString(),
  new Decimal(1).div(b).toString(),
  Decimal.exp(1).toString(),
  Decimal.sin(b).toString(),
  new Decimal('123.456').toSD(4).toHexadecimal(),
]
