import LogisticRegression from 'ml-logistic-regression'
import { Matrix } from 'ml-matrix'
export const input = {
  x: [
    [0, -1],
    [1, 0],
    [1, 1],
    [1, -1],
    [2, 0],
    [2, 1],
    [2, -1],
    [3, 2],
    [0, 4],
    [1, 3],
  ],
  y: [0, 0, 0, 0, 0, 0, 0, 1, 1, 1],
}
export const use = ({ x, y }) => {
  const regression = new LogisticRegression({ numSteps: 100, learningRate: 5e-3 })
  regression.train(new Matrix(x), Matrix.columnVector(y))
  return {
    classes: regression.predict(
      new Matrix([
        [0, -2],
        [1, 0.5],
        [1, 4],
      ]),
    ),
    weights: regression.classifiers[0].weights.to1DArray(),
  }
}
