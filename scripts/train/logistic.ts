/** L2-regularised logistic regression on sparse rows, by Newton's method. It is pure and deterministic, since the optimum is unique. */

export interface SparseRow {
  /** The columns that are not 0, each at most once. */
  readonly indices: Uint16Array
  readonly values: Float64Array
  readonly positive: boolean
}

export interface LinearModel {
  readonly intercept: number
  /** Weights by column. */
  readonly weights: Float64Array
}

const ITERATIONS_MAX = 50
const STEP_TOLERANCE = 1e-9

/**
 * Minimises the summed log-loss of `rows` + `penalty` / 2 · |weights|². The intercept is not penalised, so a heavy penalty leads to the base rate.
 * @param penalty above 0, because otherwise a column that separates the classes has no finite optimum
 * @throws Error when all rows are of one class
 */
export function fitLogistic(rows: readonly SparseRow[], columns: number, penalty: number): LinearModel {
  const positives = rows.filter(row => row.positive).length
  if (positives === 0 || positives === rows.length)
    throw new Error(`Cannot fit: ${positives} of ${rows.length} rows are positive, both classes are needed`)
  let model: LinearModel = { intercept: Math.log(positives / (rows.length - positives)), weights: new Float64Array(columns) }
  for (let iteration = 0; iteration < ITERATIONS_MAX; iteration++) {
    const step = newtonStep(rows, model, penalty)
    model = improve(rows, model, step, penalty)
    if (step.every(part => Math.abs(part) < STEP_TOLERANCE)) return model
  }
  throw new Error(`Cannot fit: no convergence after ${ITERATIONS_MAX} iterations`)
}

export function logOdds({ intercept, weights }: LinearModel, { indices, values }: SparseRow): number {
  let sum = intercept
  for (let k = 0; k < indices.length; k++) sum += at(weights, at(indices, k)) * at(values, k)
  return sum
}

export const probability = (model: LinearModel, row: SparseRow): number => 1 / (1 + Math.exp(-logOdds(model, row)))

/** Takes the Newton step, halved until it does not make the objective worse. */
function improve(rows: readonly SparseRow[], model: LinearModel, step: Float64Array, penalty: number): LinearModel {
  const before = objective(rows, model, penalty)
  for (let scale = 1; scale > 1e-6; scale /= 2) {
    const moved: LinearModel = {
      intercept: model.intercept - scale * at(step, model.weights.length),
      weights: model.weights.map((weight, index) => weight - scale * at(step, index)),
    }
    // At the optimum, rounding alone changes the objective a little.
    if (objective(rows, moved, penalty) <= before + 1e-9 * Math.abs(before)) return moved
  }
  return model
}

function objective(rows: readonly SparseRow[], model: LinearModel, penalty: number): number {
  const loss = rows.reduce((sum, row) => sum + Math.log1p(Math.exp(row.positive ? -logOdds(model, row) : logOdds(model, row))), 0)
  return loss + (penalty / 2) * model.weights.reduce((sum, weight) => sum + weight * weight, 0)
}

/** The inverse Hessian times the gradient; the intercept is the last element. */
function newtonStep(rows: readonly SparseRow[], model: LinearModel, penalty: number): Float64Array {
  const size = model.weights.length + 1
  const gradient = new Float64Array(size)
  const hessian = squareMatrix(size)
  for (const row of rows) {
    const p = probability(model, row)
    addRow(gradient, hessian, row, p - Number(row.positive), p * (1 - p))
  }
  for (const [index, weight] of model.weights.entries()) {
    add(gradient, index, penalty * weight)
    add(rowOf(hessian, index), index, penalty)
  }
  return solvePositive(hessian, gradient)
}

/** Adds residual · x to the gradient, and curvature · x xᵀ to the lower half of the Hessian, where the last element of x is the 1 of the intercept. */
function addRow(gradient: Float64Array, hessian: readonly Float64Array[], row: SparseRow, residual: number, curvature: number): void {
  const { indices, values } = row
  const last = gradient.length - 1
  const interceptLine = rowOf(hessian, last)
  for (let k = 0; k < indices.length; k++) {
    const i = at(indices, k)
    const value = at(values, k)
    const line = rowOf(hessian, i)
    add(gradient, i, residual * value)
    add(interceptLine, i, curvature * value)
    for (let l = 0; l < indices.length; l++) {
      const j = at(indices, l)
      if (j <= i) add(line, j, curvature * value * at(values, l))
    }
  }
  add(gradient, last, residual)
  add(interceptLine, last, curvature)
}

/** Solves A x = b by Cholesky decomposition, for a symmetric positive definite A that is given by its lower half. */
function solvePositive(lower: readonly Float64Array[], b: Float64Array): Float64Array {
  const size = b.length
  const factor = squareMatrix(size)
  for (const [i, line] of factor.entries()) {
    for (let j = 0; j <= i; j++) {
      const other = rowOf(factor, j)
      const rest = at(rowOf(lower, i), j) - dot(line, other, j)
      line[j] = i === j ? Math.sqrt(rest) : rest / at(other, j)
    }
  }
  const forward = new Float64Array(size)
  for (const [i, line] of factor.entries()) forward[i] = (at(b, i) - dot(line, forward, i)) / at(line, i)
  const solution = new Float64Array(size)
  for (let i = size - 1; i >= 0; i--) {
    let rest = at(forward, i)
    for (let j = i + 1; j < size; j++) rest -= at(rowOf(factor, j), i) * at(solution, j)
    solution[i] = rest / at(rowOf(factor, i), i)
  }
  return solution
}

const squareMatrix = (size: number): Float64Array[] => Array.from({ length: size }, () => new Float64Array(size))

function dot(a: Float64Array, b: Float64Array, length: number): number {
  let sum = 0
  for (let k = 0; k < length; k++) sum += at(a, k) * at(b, k)
  return sum
}

// An index out of range gives NaN, so that it is noticed; it never counts as 0.
const at = (values: Float64Array | Uint16Array, index: number): number => values[index] ?? Number.NaN

function add(values: Float64Array, index: number, amount: number): void {
  values[index] = at(values, index) + amount
}

function rowOf(matrix: readonly Float64Array[], index: number): Float64Array {
  const row = matrix[index]
  if (!row) throw new RangeError(`Cannot read row ${index} of a matrix of ${matrix.length}`)
  return row
}
