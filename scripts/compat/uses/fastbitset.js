import FastBitSet from 'fastbitset'
export const input = { a: [1, 2, 100], b: [2, 100, 1000] }
export const use = ({ a, b }) => {
  const [x, y] = [new FastBitSet(a), new FastBitSet(b)]
  return {
    both: x.new_intersection(y).array(),
    either: x.union_size(y),
    jaccard: x.intersection_size(y) / x.union_size(y),
    without: x.clone().difference(y).array(),
  }
}
