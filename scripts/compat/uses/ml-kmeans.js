import { kmeans } from 'ml-kmeans'
export const input = {
  points: [
    [1, 1],
    [1.2, 0.8],
    [9, 9],
    [8.8, 9.1],
    [5, 0],
    [5.1, 0.2],
  ],
}
export const use = ({ points }) => {
  const { clusters, centroids, iterations } = kmeans(points, 3, {
    initialization: [
      [1, 1],
      [9, 9],
      [5, 0],
    ],
  })
  return { clusters, centroids, iterations }
}
