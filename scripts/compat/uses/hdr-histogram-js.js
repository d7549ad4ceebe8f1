import { build } from 'hdr-histogram-js/dist/index.js'
export const input = { values: [1, 5, 10, 100, 1000, 12345] }
export const use = ({ values }) => {
  const histogram = build({ useWebAssembly: false, bitBucketSize: 32, numberOfSignificantValueDigits: 3 })
  for (const value of values) histogram.recordValue(value)
  return {
    p: [50, 90, 99].map(p => histogram.getValueAtPercentile(p)),
    mean: histogram.mean,
    deviation: histogram.stdDeviation,
    max: histogram.maxValue,
  }
}
