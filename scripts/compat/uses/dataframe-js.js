import DF from 'dataframe-js'
export const input = {
  rows: [
    { k: 'a', v: 1 },
    { k: 'b', v: 5 },
    { k: 'a', v: 3 },
  ],
}
export const use = ({ rows }) => {
  const frame = new (DF.DataFrame ?? DF.default)(rows)
  return {
    sums: frame
      .groupBy('k')
      .aggregate(part => part.stat.sum('v'))
      .toCollection(),
    mean: frame.stat.mean('v'),
    sorted: frame.sortBy('v', true).toArray('v'),
  }
}
