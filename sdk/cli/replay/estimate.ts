/**
 * What a log of clicks says about a policy that did not write it (off-policy evaluation). Pure.
 *
 * A row says which item was shown at which position, with which probability (propensity), and whether it was clicked. The policy under test
 * is asked for the same visitor, and the row *matches* when it puts the same item at the same position. Whether it does is one draw from the
 * policy, so weights made of matches have the expectations the estimators ask for; several answers to a row are averaged before anything else.
 *
 * - replay: the click rate of the rows that match. L. Li, W. Chu, J. Langford, X. Wang, "Unbiased Offline Evaluation of
 *   Contextual-bandit-based News Article Recommendation Algorithms", WSDM 2011. Unbiased only where every item was shown equally often.
 * - IPS: mean of match · click / propensity. Unbiased for any logging policy that could have shown whatever the tested one shows;
 *   Y. Saito, S. Aihara, M. Matsutani, Y. Narita, "Open Bandit Dataset and Pipeline", arXiv:2008.07146, 2020.
 * - SNIPS: the same, divided by the mean of match / propensity (which is 1 in expectation): a little biased, much less spread.
 *   A. Swaminathan, T. Joachims, "The Self-Normalized Estimator for Counterfactual Learning", NIPS 2015.
 *
 * A standard error says how far the estimate would move with other visitors of the same days and other draws of the policy. Rows are taken to
 * be independent.
 */

import { idAt } from '../../../base/kernel/exact-json.ts'
import { atPath, pointerPath } from '../../../base/traffic/pointer.ts'

/** A row of the log that the policy under test has answered at least once. */
export interface Outcome {
  readonly clicked: 0 | 1
  /** Probability with which the logging policy showed this item at this position; above 0, at most 1. */
  readonly propensity: number
  /** Answers to it, at least one, and those of them that put the same item there. */
  readonly answers: number
  readonly matches: number
}

export interface Estimate {
  readonly rate: number
  /** Null when it cannot be estimated: fewer than two rows, or none or all of those that count clicked. */
  readonly standardError: number | null
}

export interface ClickRates {
  readonly rows: number
  readonly clicks: number
  /** Answers that match. Several answers to one row are about one visitor, so the estimates count rows, not answers. */
  readonly matches: number
  /** Rows with a match in at least one answer, and those of them that were clicked. */
  readonly matchedRows: number
  readonly matchedClicks: number
  /** How many rows of equal weight would give as precise an estimate: (Σ weight)² / Σ weight², by the weights of SNIPS. */
  readonly effectiveRows: number
  /** Whether all propensities are equal, so that `replay` is unbiased. */
  readonly uniform: boolean
  /** The click rate of the policy that wrote the log; null without rows. */
  readonly logged: Estimate | null
  /** Null without a match, like the two others: then the log says nothing of the policy. */
  readonly replay: Estimate | null
  readonly ips: Estimate | null
  readonly snips: Estimate | null
}

export function clickRates(outcomes: readonly Outcome[]): ClickRates {
  const matched = outcomes.filter(({ matches }) => matches > 0)
  const found = matched.length > 0
  return {
    rows: outcomes.length,
    clicks: sum(outcomes, ({ clicked }) => clicked),
    matches: sum(outcomes, ({ matches }) => matches),
    matchedRows: matched.length,
    matchedClicks: sum(matched, ({ clicked }) => clicked),
    effectiveRows: found ? sum(outcomes, weight) ** 2 / sum(outcomes, outcome => weight(outcome) ** 2) : 0,
    uniform: isUniform(outcomes),
    logged: outcomes.length > 0 ? weightedRate(outcomes, () => 1) : null,
    replay: found ? weightedRate(outcomes, share) : null,
    ips: found ? meanOf(outcomes, outcome => weight(outcome) * outcome.clicked) : null,
    snips: found ? weightedRate(outcomes, weight) : null,
  }
}

/** An unbiased guess of the probability with which the tested policy shows the logged item. */
const share = ({ matches, answers }: Outcome): number => matches / answers
const weight = (outcome: Outcome): number => share(outcome) / outcome.propensity

/**
 * Σ weight · click / Σ weight. Its standard error is that of the linearised ratio, √Σ weight² (click − rate)² / Σ weight, which for weights
 * of 0 and 1 is the binomial √(rate (1 − rate) / Σ weight).
 */
function weightedRate(outcomes: readonly Outcome[], weightOf: (outcome: Outcome) => number): Estimate {
  const total = sum(outcomes, weightOf)
  const rate = sum(outcomes, outcome => weightOf(outcome) * outcome.clicked) / total
  const spread = sum(outcomes, outcome => (weightOf(outcome) * (outcome.clicked - rate)) ** 2)
  return { rate, standardError: spread > 0 ? Math.sqrt(spread) / total : null }
}

/** The mean of the sample, and its standard deviation over √n. */
function meanOf(outcomes: readonly Outcome[], of: (outcome: Outcome) => number): Estimate {
  const n = outcomes.length
  const rate = sum(outcomes, of) / n
  const spread = sum(outcomes, outcome => (of(outcome) - rate) ** 2)
  return { rate, standardError: spread > 0 ? Math.sqrt(spread / (n - 1) / n) : null }
}

function isUniform(outcomes: readonly Outcome[]): boolean {
  const [first] = outcomes
  return first !== undefined && outcomes.every(({ propensity }) => Math.abs(propensity / first.propensity - 1) < 1e-9)
}

function sum<T>(values: readonly T[], of: (value: T) => number): number {
  let total = 0
  for (const value of values) total += of(value)
  return total
}

/**
 * Makes a function that reads which item an answer shows at a position.
 * @param pointer JSON pointer to the list of what is shown, first position first; "" is the answer itself
 * @param member of an entry of the list that holds the id of the item; an entry that is no object is the id
 * @returns a function of an answer, as text, and of a position, which counts from 1. It returns null when the list ends before the
 * position, and undefined when the answer has no list, or no exact id there
 */
export function itemReader(pointer: string, member: string): (answer: string, position: number) => string | null | undefined {
  const names = pointer === '' ? [] : pointerPath(pointer)
  return (answer, position) => {
    const list = atPath(parse(answer), names)
    if (!Array.isArray(list)) return undefined
    if (position > list.length) return null
    const index = position - 1
    const entry: unknown = list[index]
    const isObject = typeof entry === 'object'
    const id = isObject ? atPath(entry, [member]) : entry
    if (typeof id !== 'number') return typeof id === 'string' ? id : undefined
    return exactId(answer, [...names, String(index), ...(isObject ? [member] : [])], id)
  }
}

function parse(answer: string): unknown {
  try {
    return JSON.parse(answer)
  } catch {
    return undefined
  }
}

function exactId(answer: string, path: readonly string[], number: number): string | undefined {
  try {
    return idAt(answer, path, number)
  } catch {
    return undefined
  }
}
