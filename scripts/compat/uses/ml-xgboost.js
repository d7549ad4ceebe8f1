import loading from 'ml-xgboost'
export const input = {
  x: [
    [1, 2],
    [2, 1],
    [8, 9],
    [9, 8],
  ],
  y: [0, 0, 1, 1],
}
export const use = async ({ x, y }) => {
  const XGBoost = await loading
  const booster = new XGBoost({
    booster: 'gbtree',
    objective: 'reg:linear',
    max_depth: 2,
    eta: 0.5,
    min_child_weight: 1,
    iterations: 10,
    silent: 1,
  })
  booster.train(x, y)
  return booster
    .predict([
      [1, 1],
      [9, 9],
    ])
    .map(v => v.toFixed(3))
}
