import kd from 'kd-tree-javascript'
export const input = {
  points: [
    { x: 1, y: 2 },
    { x: 3, y: 4 },
    { x: 5, y: 6 },
    { x: 7, y: 8 },
  ],
}
export const use = ({ points }) => {
  const tree = new kd.kdTree(points, (a, b) => Math.hypot(a.x - b.x, a.y - b.y), ['x', 'y'])
  tree.insert({ x: 4, y: 4 })
  return { nearest: tree.nearest({ x: 4, y: 5 }, 2), balance: tree.balanceFactor() }
}
