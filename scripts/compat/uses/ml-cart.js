import { DecisionTreeClassifier, DecisionTreeRegression } from 'ml-cart'
export const input = { x: [[1], [2], [3], [10], [11], [12]], y: [0, 0, 0, 1, 1, 1], value: [1, 2, 3, 20, 21, 25] }
export const use = ({ x, y, value }) => {
  const classifier = new DecisionTreeClassifier({ gainFunction: 'gini', maxDepth: 4, minNumSamples: 2 })
  classifier.train(x, y)
  const regression = new DecisionTreeRegression({ maxDepth: 3, minNumSamples: 2 })
  regression.train(x.flat(), value)
  return { classes: classifier.predict([[2.5], [10.5]]), values: regression.predict([2.5, 11.4]), model: classifier.toJSON() }
}
