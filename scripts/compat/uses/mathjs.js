import { all, create } from 'mathjs'

const math = create(all)
export const input = {
  a: 1,
  matrix: [
    [2, 1],
    [1, 3],
  ],
}
export const use = ({ a, matrix }) => ({
  root: math.evaluate('sqrt(3^2 + 4^2) + a', { a }),
  inverse: math.inv(matrix),
  eigenvalues: math.eigs(matrix).values,
  exact: math.bignumber('0.1').plus('0.2').toString(),
  derivative: math.derivative('x^2 + sin(x)', 'x').toString(),
  millimetres: math.unit('5 cm').toNumber('mm'),
  fraction: math.format(math.fraction(1, 3)),
})
