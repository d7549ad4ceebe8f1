import regression from 'regression'
export const input = {
  data: [
    [0, 1],
    [32, 67],
    [12, 79],
    [40, 91],
  ],
}
export const use = ({ data }) =>
  ['linear', 'polynomial', 'power', 'logarithmic'].map(kind => {
    const { equation, r2, string } = regression[kind](kind === 'linear' || kind === 'polynomial' ? data : data.slice(1), {
      order: 2,
      precision: 4,
    })
    return { equation, r2, string }
  })
