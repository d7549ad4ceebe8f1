import quantile from '@stdlib/stats-base-dists-normal-quantile'
export const input = { p: [0.01, 0.5, 0.975, 2] }
export const use = ({ p }) => ({ z: p.map(x => quantile(x, 0, 1)), made: quantile.factory(10, 2)(0.9) })
