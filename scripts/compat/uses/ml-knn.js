import KNN from 'ml-knn'
export const input = {
  points: [
    [0, 0],
    [0, 1],
    [5, 5],
    [6, 5],
  ],
  labels: ['cold', 'cold', 'warm', 'warm'],
}
export const use = ({ points, labels }) =>
  new KNN(points, labels, { k: 3 }).predict([
    [1, 1],
    [5, 6],
  ])
