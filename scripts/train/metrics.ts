/**
 * Measures how good predicted probabilities are, each with its standard error. The errors assume that rows are independent, which is not quite true
 * for rows of one user.
 */

export interface Prediction {
  readonly probability: number
  readonly positive: boolean
}

export interface Estimate {
  readonly value: number
  readonly standardError: number
}

/** The mean of -ln of the probability that was predicted for what happened; lower is better. */
export const logLoss = (predictions: readonly Prediction[]): number => mean(predictions.map(loss))

/** How much lower the log-loss of `predictions` is than that of a constant probability, compared row by row. */
export function logLossGain(predictions: readonly Prediction[], constant: number): Estimate {
  const gains = predictions.map(prediction => loss({ ...prediction, probability: constant }) - loss(prediction))
  return { value: mean(gains), standardError: Math.sqrt(variance(gains) / gains.length) }
}

/**
 * The probability that a positive row gets a higher prediction than a negative one, where ties count half; 0.5 is that of guessing. The standard error
 * is by E. DeLong, D. DeLong and D. Clarke-Pearson, Biometrics 44(3), 1988, and is NaN when a class has fewer than two rows.
 */
export function areaUnderCurve(predictions: readonly Prediction[]): Estimate {
  const positives = scoresOf(predictions, true)
  const negatives = scoresOf(predictions, false)
  const abovePositives = positives.map(score => shareBelow(negatives, score))
  const belowNegatives = negatives.map(score => 1 - shareBelow(positives, score))
  const spread = variance(abovePositives) / positives.length + variance(belowNegatives) / negatives.length
  return { value: mean(abovePositives), standardError: Math.sqrt(spread) }
}

const loss = ({ probability, positive }: Prediction): number => -Math.log(positive ? probability : 1 - probability)

function scoresOf(predictions: readonly Prediction[], positive: boolean): number[] {
  return predictions
    .filter(prediction => prediction.positive === positive)
    .map(prediction => prediction.probability)
    .sort((a, b) => a - b)
}

/** The share of the ascending `sorted` that is below `score`, where equal values count half. */
function shareBelow(sorted: readonly number[], score: number): number {
  const below = countWhile(sorted, value => value < score)
  const belowOrEqual = countWhile(sorted, value => value <= score)
  return (below + belowOrEqual) / 2 / sorted.length
}

/** How many leading values pass a test, found by binary search. After the first value that fails, all others must fail too. */
function countWhile(sorted: readonly number[], passes: (value: number) => boolean): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (passes(sorted[middle] ?? Number.NaN)) low = middle + 1
    else high = middle
  }
  return low
}

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length

function variance(values: readonly number[]): number {
  const center = mean(values)
  return values.reduce((sum, value) => sum + (value - center) ** 2, 0) / (values.length - 1)
}
