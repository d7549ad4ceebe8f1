import solver from 'javascript-lp-solver'
export const input = {
  model: {
    optimize: 'profit',
    opType: 'max',
    constraints: { wood: { max: 300 }, labour: { max: 110 } },
    variables: { table: { wood: 30, labour: 5, profit: 1200 }, dresser: { wood: 20, labour: 10, profit: 1600 } },
    ints: { table: 1, dresser: 1 },
  },
}
export const use = ({ model }) => solver.Solve(model)
