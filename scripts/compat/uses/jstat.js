import jStat from 'jstat'
export const input = { x: [2, 4, 4, 5, 7, 9], p: 0.975 }
export const use = ({ x, p }) => ({
  z: jStat.normal.inv(p, 0, 1),
  beta: jStat.beta.cdf(0.3, 2, 5),
  t: jStat.studentt.inv(p, 9),
  interval: jStat.tci(5, 0.05, x),
  anova: jStat.anovaftest([1, 2, 3], [2, 3, 4], [5, 6, 7]),
  percentile: jStat.percentile(x, 0.9),
})
