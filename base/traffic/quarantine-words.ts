/** Versions in quarantine, in words: what kept killing its slots or its cells gets no requests until somebody lifts that. */
import { BerthError } from '../kernel/errors.ts'
import { limits } from '../kernel/limits.ts'
import type { Evidence, Quarantine } from './rules.ts'

/** What is said of a quarantine, also as the control API answers it. */
type Shown = Readonly<Pick<Quarantine, 'since' | 'why'>> & { readonly evidence: readonly ShownEvidence[] }
type ShownEvidence = Readonly<Pick<Evidence, 'at' | 'cell' | 'why'>> & {
  readonly [K in 'runningMs' | 'kills' | 'stage' | 'module']?: Evidence[K] | undefined
}

/** The reason with its evidence, as part of a sentence. */
export const describeQuarantine = ({ since, why, evidence }: Shown): string =>
  `in quarantine since ${since}, because ${why} (${evidence.map(describeEvidence).join('; ')})`

function describeEvidence({ at, cell, why, runningMs, kills, stage, module }: ShownEvidence): string {
  const where = [stage === undefined ? [] : [`stage ${stage}`], module === undefined ? [] : [`module ${module}`]].flat().join(', ')
  const running = runningMs === undefined ? '' : `, after ${runningMs} ms`
  const killed = kills === undefined ? '' : `${kills} killed, the last because `
  return `cell ${cell} at ${at}: ${killed}${why}${where === '' ? '' : `, in ${where}`}${running}`
}

/** How to let a version have requests again. */
export const liftAdvice = (scene: string, version: string): string =>
  `publish a version that is mended, or lift the quarantine: sdk version lift ${scene} ${version}`

/** The error of whoever asks for a version in quarantine, or for a scene that has no other version left to answer. */
export const quarantineError = (message: string): BerthError =>
  new BerthError('VERSION_QUARANTINED', message, { retryAfterSeconds: limits.quarantine.retryAfterSeconds })
