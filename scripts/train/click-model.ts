/** Fits the weights of `modules/rank-lr` to impressions, and evaluates weights on impressions that they were not fitted to. Pure functions. */
import { type Feature, itemFeatures, scorer, sigmoid, userFeatures, type Weights } from '../../modules/rank-lr/features.ts'
import { fitLogistic, probability, type SparseRow } from './logistic.ts'
import type { Impression } from './logs.ts'
import { areaUnderCurve, type Estimate, logLoss, logLossGain, type Prediction } from './metrics.ts'

/**
 * The affinities of the first day count that day's own clicks: all 36 clicked rows of that day have one, and only 1 in 20 on later days. A model that
 * is fitted to that day would learn to look up the answer.
 */
export const leakyDay = '2019-11-24'
/** The last two of the seven days, from this one on, are kept for the evaluation. */
export const holdoutFrom = '2019-11-29'

const penalties = [3, 10, 30, 100, 300, 1000]
const DECIMALS = 5

export interface Evaluation {
  readonly rows: number
  readonly clicks: number
  /** The log-loss of always predicting the click rate of the training rows. */
  readonly baseLogLoss: number
  readonly logLoss: number
  /** Base log-loss minus log-loss; above 0 when the model is better. */
  readonly gain: Estimate
  readonly auc: Estimate
}

export const dayOf = ({ timestamp }: Impression): string => timestamp.slice(0, 10)

export const withoutLeak = (impressions: readonly Impression[]): Impression[] => impressions.filter(row => dayOf(row) !== leakyDay)

/** Splits impressions by time, because in use a model also predicts days after those it was fitted to. */
export function splitByTime(impressions: readonly Impression[]): { readonly training: Impression[]; readonly holdout: Impression[] } {
  return {
    training: impressions.filter(row => dayOf(row) < holdoutFrom),
    holdout: impressions.filter(row => dayOf(row) >= holdoutFrom),
  }
}

/** Chooses the penalty with the lowest log-loss when each day is predicted from the others. */
export function choosePenalty(impressions: readonly Impression[]): number {
  const { columns, rows } = encode(impressions)
  const days = impressions.map(dayOf)
  const folds = [...Map.groupBy(rows, (_, index) => days[index]).values()]
  const losses = penalties.map(penalty => ({ penalty, loss: logLoss(crossPredict(folds, columns.length, penalty)) }))
  return losses.reduce((best, next) => (next.loss < best.loss ? next : best)).penalty
}

function crossPredict(folds: readonly SparseRow[][], columns: number, penalty: number): Prediction[] {
  return folds.flatMap(fold => {
    const others = folds.filter(other => other !== fold).flat()
    const model = fitLogistic(others, columns, penalty)
    return fold.map(row => ({ probability: probability(model, row), positive: row.positive }))
  })
}

/** Fits weights and rounds them as in the committed file, so that an evaluation is of what is served. Weights that round to 0 are left out. */
export function fitWeights(impressions: readonly Impression[], penalty: number): Weights {
  const { columns, rows } = encode(impressions)
  const { intercept, weights } = fitLogistic(rows, columns.length, penalty)
  const fitted = columns
    .map(([field, value], index) => ({ field, value, weight: round(weights[index] ?? Number.NaN) }))
    .filter(({ weight }) => weight !== 0)
    .sort((a, b) => compare(a.field, b.field) || compare(a.value, b.value))
  const byField = Map.groupBy(
    fitted.filter(({ value }) => value !== undefined),
    ({ field }) => field,
  )
  return {
    intercept: round(intercept),
    numbers: Object.fromEntries(fitted.filter(({ value }) => value === undefined).map(({ field, weight }) => [field, weight])),
    classes: Object.fromEntries(
      [...byField].map(([field, classes]) => [field, Object.fromEntries(classes.map(({ value, weight }) => [value, weight]))]),
    ),
  }
}

/** Evaluates weights. @param training the rows that they were fitted to, whose click rate they have to beat */
export function evaluate(weights: Weights, training: readonly Impression[], holdout: readonly Impression[]): Evaluation {
  const predictions = predict(weights, holdout)
  const baseRate = clicksOf(training) / training.length
  return {
    rows: holdout.length,
    clicks: clicksOf(holdout),
    baseLogLoss: logLoss(predictions.map(({ positive }) => ({ positive, probability: baseRate }))),
    logLoss: logLoss(predictions),
    gain: logLossGain(predictions, baseRate),
    auc: areaUnderCurve(predictions),
  }
}

export const clicksOf = (impressions: readonly Impression[]): number => impressions.filter(row => row.clicked).length

function predict(weights: Weights, impressions: readonly Impression[]): Prediction[] {
  const logOdds = scorer(weights)
  return impressions.map(impression => ({
    probability: sigmoid(weights.intercept + logOdds(featuresOf(impression))),
    positive: impression.clicked,
  }))
}

const featuresOf = ({ item, user }: Impression): Feature[] => [...userFeatures(user), ...itemFeatures(item, user)]

const round = (value: number): number => Number(value.toFixed(DECIMALS))

const compare = (a = '', b = ''): number => (a < b ? -1 : Number(a > b))

/** The column of one weight: that of a class, or of a field that is a number (then the class name is undefined). */
type Column = readonly [field: string, className: string | undefined]

/** Turns impressions into sparse rows, with the features numbered in the order in which they are first seen. */
function encode(impressions: readonly Impression[]): { readonly columns: readonly Column[]; readonly rows: readonly SparseRow[] } {
  const columns: Column[] = []
  const indexByKey = new Map<string, number>()
  const indexOf = ([field, value]: Feature): number => {
    const className = typeof value === 'number' ? undefined : value
    const key = `${field} ${className}`
    const index = indexByKey.get(key) ?? columns.push([field, className]) - 1
    indexByKey.set(key, index)
    return index
  }
  const rows = impressions.map((impression): SparseRow => {
    const present = featuresOf(impression).filter(([, value]) => value !== 0)
    return {
      indices: Uint16Array.from(present, indexOf),
      values: Float64Array.from(present, ([, value]) => (typeof value === 'number' ? value : 1)),
      positive: impression.clicked,
    }
  })
  return { columns, rows }
}
