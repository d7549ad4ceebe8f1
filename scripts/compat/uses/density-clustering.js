import clustering from 'density-clustering'
export const input = {
  points: [
    [1, 1],
    [0, 1],
    [1, 0],
    [10, 10],
    [10, 13],
    [13, 13],
    [54, 54],
    [55, 55],
    [89, 89],
    [57, 55],
  ],
}
export const use = ({ points }) => {
  const dbscan = new clustering.DBSCAN()
  return { clusters: dbscan.run(points, 5, 2), noise: dbscan.noise, optics: new clustering.OPTICS().run(points, 6, 2) }
}
