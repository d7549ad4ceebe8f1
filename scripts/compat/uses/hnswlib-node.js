import hnswlib from 'hnswlib-node'
export const input = {
  points: [
    [1, 0],
    [0, 1],
    [1, 1],
  ],
}
export const use = ({ points }) => {
  const index = new hnswlib.HierarchicalNSW('l2', 2)
  index.initIndex(10)
  points.forEach((point, i) => {
    index.addPoint(point, i)
  })
  return index.searchKnn([1, 0.9], 2)
}
