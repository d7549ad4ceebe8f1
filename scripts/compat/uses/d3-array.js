import { bin, bisectLeft, cumsum, deviation, fsum, group, quantile, rollup, rollups, sum, ticks } from 'd3-array'
export const input = {
  rows: [
    { k: 'a', v: 1 },
    { k: 'b', v: 5 },
    { k: 'a', v: 2.5 },
  ],
}
export const use = ({ rows }) => ({
  sums: rollups(
    rows,
    part => sum(part, r => r.v),
    r => r.k,
  ),
  sizes: [...group(rows, r => r.k)].map(([k, v]) => [k, v.length]),
  a: rollup(
    rows,
    part => part.length,
    r => r.k,
  ).get('a'),
  bins: bin()(rows.map(r => r.v)).map(b => [b.x0, b.x1, b.length]),
  more: [
    quantile([1, 2, 3, 4], 0.3),
    deviation([1, 2, 4]),
    bisectLeft([1, 3, 5], 4),
    fsum([0.1, 0.2, 0.3]),
    [...cumsum([1, 2, 3])],
    ticks(0, 1, 4),
  ],
})
