/** How good predicted probabilities are, each with its standard error. The errors take rows as independent; rows of one user are not quite. */

export interface Prediction {
  readonly probability: number
  readonly positive: boolean
}

export interface Estimate {
  readonly value: number
  readonly standardError: number
}

/** Mean of -ln of the probability given to what happened; lower is better. */
export const logLoss = (predictions: readonly Prediction[]): number => mean(predictions.map(loss))

/** How much lower the log-loss of `predictions` is than that of one constant probability for all rows, compared row by row. */
export function logLossGain(predictions: readonly Prediction[], constant: number): Estimate {
  const gains = predictions.map(prediction => loss({ ...prediction, probability: constant }) - loss(prediction))
  return { value: mean(gains), standardError: Math.sqrt(variance(gains) / gains.length) }
}

/**
 * Probability that a positive row is given a higher probability than a negative one, ties counting half; 0.5 knows nothing.
 * Standard error: E. DeLong, D. DeLong and D. Clarke-Pearson, Biometrics 44(3), 1988. NaN for fewer than two rows of a class.
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

/** Share of the ascending `sorted` that is below `score`, equals counting half. */
function shareBelow(sorted: readonly number[], score: number): number {
  const below = countWhile(sorted, value => value < score)
  const belowOrEqual = countWhile(sorted, value => value <= score)
  return (below + belowOrEqual) / 2 / sorted.length
}

/** How many leading values pass, for a test that fails for all after the first that it fails for. */
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
