import numeric from 'numeric'
export const input = {
  a: [
    [1, 2],
    [3, 4],
  ],
  b: [5, 6],
}
export const use = ({ a, b }) => ({
  solved: numeric.solve(a, b),
  eigenvalues: numeric.eig(a).lambda.x,
  singular: numeric.svd(a).S,
  minimum: numeric.uncmin(([x, y]) => (x - 1) ** 2 + (y + 2) ** 2, [0, 0]).solution.map(v => v.toFixed(4)),
  spline: numeric.spline([0, 1, 2], [0, 1, 4]).at(1.5),
})
