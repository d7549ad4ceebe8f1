import { ckmeans, linearRegression, median, permutationsHeap, quantile, sampleStandardDeviation, tTestTwoSample } from 'simple-statistics'
export const input = {
  x: [1, 2, 4, 8, 16, 3],
  pairs: [
    [0, 1],
    [1, 3],
    [2, 4],
  ],
}
export const use = ({ x, pairs }) => ({
  median: median(x),
  p80: quantile(x, 0.8),
  deviation: sampleStandardDeviation(x),
  line: linearRegression(pairs),
  clusters: ckmeans(x, 3),
  t: tTestTwoSample([1, 2, 3], [2, 3, 5]),
  orders: permutationsHeap([1, 2, 3]).length,
})
