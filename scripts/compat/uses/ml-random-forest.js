import { RandomForestClassifier, RandomForestRegression } from 'ml-random-forest'
export const input = {
  x: [
    [1, 2],
    [2, 1],
    [8, 9],
    [9, 8],
    [1, 1],
    [9, 9],
  ],
  label: [0, 0, 1, 1, 0, 1],
  value: [3, 3, 17, 17, 2, 18],
}
export const use = ({ x, label, value }) => {
  const options = { seed: 3, maxFeatures: 1.0, replacement: true, nEstimators: 10 }
  const classifier = new RandomForestClassifier(options)
  classifier.train(x, label)
  const regression = new RandomForestRegression(options)
  regression.train(x, value)
  return {
    labels: classifier.predict([
      [1.5, 1],
      [8.5, 8],
    ]),
    values: regression.predict([
      [1.5, 1],
      [8.5, 8],
    ]),
  }
}
