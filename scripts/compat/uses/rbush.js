import RBush from 'rbush'
export const input = { n: 50 }
export const use = ({ n }) => {
  const tree = new RBush()
  tree.load(Array.from({ length: n }, (_, i) => ({ minX: i % 7, minY: i % 11, maxX: (i % 7) + 1, maxY: (i % 11) + 1, i })))
  const found = tree
    .search({ minX: 2, minY: 3, maxX: 3, maxY: 4 })
    .map(item => item.i)
    .sort((a, b) => a - b)
  return { found, hits: tree.collides({ minX: 90, minY: 90, maxX: 91, maxY: 91 }), height: tree.toJSON().height }
}
