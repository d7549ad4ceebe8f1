import Flatbush from 'flatbush'
export const input = {
  boxes: [
    [0, 0, 1, 1],
    [5, 5, 6, 6],
    [2, 2, 3, 3],
    [10, 10, 11, 12],
  ],
}
export const use = ({ boxes }) => {
  const index = new Flatbush(boxes.length)
  for (const box of boxes) index.add(...box)
  index.finish()
  return { found: index.search(1.5, 1.5, 5.5, 5.5), nearest: index.neighbors(4, 4, 2), again: Flatbush.from(index.data).search(0, 0, 2, 2) }
}
