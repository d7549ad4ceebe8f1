import {
  ExponentialRegression,
  MultivariateLinearRegression,
  PolynomialRegression,
  SimpleLinearRegression,
  TheilSenRegression,
} from 'ml-regression'
export const input = { x: [1, 2, 3, 4, 5], y: [2.1, 3.9, 6.2, 8.1, 9.8] }
export const use = ({ x, y }) => ({
  linear: new SimpleLinearRegression(x, y).toJSON(),
  robust: new TheilSenRegression(x, y).predict(6),
  cubic: new PolynomialRegression(x, y, 3).predict(2.5),
  exponential: new ExponentialRegression(x, y).predict(2),
  multivariate: new MultivariateLinearRegression(
    x.map((v, i) => [v, i % 2]),
    y.map(v => [v]),
  ).predict([3, 1]),
})
