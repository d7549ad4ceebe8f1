import { EigenvalueDecomposition, Matrix, SingularValueDecomposition, solve } from 'ml-matrix'
export const input = {
  rows: [
    [2, 1],
    [1, 3],
    [0, 4],
  ],
  y: [[3], [5], [6]],
}
export const use = ({ rows, y }) => {
  const x = new Matrix(rows)
  const square = x.transpose().mmul(x)
  return {
    weights: solve(x, new Matrix(y)).to2DArray(),
    singular: new SingularValueDecomposition(x).diagonal,
    eigen: new EigenvalueDecomposition(square).realEigenvalues,
    mean: x.mean('column'),
  }
}
