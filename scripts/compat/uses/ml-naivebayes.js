import { GaussianNB, MultinomialNB } from 'ml-naivebayes'
export const input = {
  x: [
    [6, 9],
    [5, 5],
    [9, 5],
    [1, 2],
    [2, 1],
  ],
  y: [0, 0, 0, 1, 1],
}
export const use = ({ x, y }) =>
  [new GaussianNB(), new MultinomialNB()].map(model => {
    model.train(x, y)
    return model.predict([
      [7, 7],
      [1, 1],
    ])
  })
