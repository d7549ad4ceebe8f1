import { scaleBand, scaleLinear, scaleLog, scaleQuantile, scaleThreshold, scaleTime } from 'd3-scale'
export const input = { values: [1, 10, 55, 1000] }
export const use = ({ values }) => ({
  linear: values.map(scaleLinear([0, 1000], [0, 1]).clamp(true)),
  log: values.map(scaleLog([1, 1000], [0, 1])),
  color: scaleLinear([0, 10], ['#ff0000', '#0000ff'])(5),
  quantile: values.map(scaleQuantile(values, ['low', 'high'])),
  threshold: values.map(scaleThreshold([10, 100], ['a', 'b', 'c'])),
  band: scaleBand(['x', 'y'], [0, 100]).padding(0.1)('y'),
  ticks: scaleTime([new Date(0), new Date(864e5)], [0, 1])
    .ticks(4)
    .map(d => d.toISOString()),
})
