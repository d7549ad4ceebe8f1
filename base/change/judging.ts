/**
 * Which versions have cost so much that they get no more requests, by what is remembered of them. Pure: whoever asks passes in what is remembered.
 *
 * A lost cell is evidence only where one version must have been the cause: the cell named it, or the cell ended by itself while nothing else ran.
 * Of any other loss, each version that ran may have been the cause, or none of them, and a busy neighbour runs at the end of every cell. Such a
 * loss counts against a version only when another loss proves that version guilty, and none of the others that ran. So no version is ever
 * quarantined for having been there.
 */
import type { LostCell } from '../contract/change-api.ts'
import { limits } from '../kernel/limits.ts'
import type { Evidence } from '../traffic/rules.ts'
import { versionKey } from './records.ts'

/** A version that is to be quarantined, and why. */
export interface Verdict {
  readonly scene: string
  readonly version: string
  /** In words, as the end of a sentence. */
  readonly why: string
  readonly evidence: readonly Evidence[]
}

type Suspect = LostCell['suspects'][number]

/** A suspect and the loss it is a suspect of. */
interface Accused {
  readonly suspect: Suspect
  readonly loss: LostCell
}

const keyOf = ({ scene, version }: Suspect): string => versionKey(scene, version)

/**
 * Judges by lost cells. Only those within `limits.quarantine.lossWindowMs` of the last one count.
 * @param losses the oldest first
 * @param countsFrom losses up to this time, ISO 8601, do not count against the version, because it was made then, or its quarantine was lifted
 */
export function judgeLosses(
  losses: readonly LostCell[],
  countsFrom: (scene: string, version: string) => string | undefined = () => undefined,
): Verdict[] {
  const since = Date.parse(losses.at(-1)?.at ?? '') - limits.quarantine.lossWindowMs
  const recent = losses.filter(({ at }) => Date.parse(at) > since)
  const counts = ({ suspect, loss }: Accused) => loss.at > (countsFrom(suspect.scene, suspect.version) ?? '')
  const proofs = recent.flatMap(provedBy).filter(counts)
  const guilty = new Set(proofs.map(({ suspect }) => keyOf(suspect)))
  const explained = recent.flatMap(loss => explainedBy(loss, guilty)).filter(counts)
  return [...Map.groupBy([...proofs, ...explained], ({ suspect }) => keyOf(suspect)).values()].flatMap(verdictOn)
}

/** The suspects that must have been the cause. */
function provedBy(loss: LostCell): Accused[] {
  const named = loss.suspects.filter(({ isNamed }) => isNamed)
  const isSure = named.length === 0 && loss.endedItself && loss.suspects.length === 1
  const causes = isSure ? loss.suspects : named
  return causes.map(suspect => ({ suspect, loss }))
}

/** Of a loss that proves nothing, the only suspect that other losses prove guilty. */
function explainedBy(loss: LostCell, guilty: ReadonlySet<string>): Accused[] {
  const known = provedBy(loss).length > 0 ? [] : loss.suspects.filter(suspect => guilty.has(keyOf(suspect)))
  return known.length === 1 ? known.map(suspect => ({ suspect, loss })) : []
}

function verdictOn(accused: readonly Accused[]): Verdict[] {
  const [first] = accused
  if (first === undefined || accused.length < limits.quarantine.lossesMax) return []
  const { scene, version } = first.suspect
  const sorted = accused.toSorted((a, b) => (a.loss.at < b.loss.at ? -1 : 1))
  const minutes = limits.quarantine.lossWindowMs / 60_000
  const why = `it cost ${accused.length} cells within ${minutes} minutes`
  return [{ scene, version, why, evidence: sorted.slice(-limits.quarantine.evidenceMax).map(evidenceOf) }]
}

function evidenceOf({ suspect: { runningMs, stage, module }, loss: { at, cell, why } }: Accused): Evidence {
  return { at, cell, why, runningMs, ...(stage === undefined ? {} : { stage }), ...(module === undefined ? {} : { module }) }
}

/** Slots of a version that were killed in one cell since its last report. */
export interface KillReport {
  /** ISO 8601, UTC. */
  readonly at: string
  readonly cell: number
  /** Why the last of them was killed, in words. */
  readonly why: string
  readonly kills: number
  /** Answers of the version in the cell since its last report, or since the cell began. */
  readonly answers: number
}

/** The reports that still count when the last one has come. */
export function recentReports(reports: readonly KillReport[]): KillReport[] {
  const since = Date.parse(reports.at(-1)?.at ?? '') - limits.quarantine.killWindowMs
  return reports.filter(({ at }) => Date.parse(at) > since)
}

/**
 * Judges a version by the kills of its slots. It is quarantined only when it is killed more often than it answers: a rare bad input among good
 * answers is left to the breaker.
 * @param reports those of `recentReports`
 */
export function judgeKills(scene: string, version: string, reports: readonly KillReport[]): Verdict | undefined {
  const kills = reports.reduce((sum, report) => sum + report.kills, 0)
  const answers = reports.reduce((sum, report) => sum + report.answers, 0)
  if (kills < limits.quarantine.killsMax || answers >= kills) return undefined
  const minutes = limits.quarantine.killWindowMs / 60_000
  const why = `its slots were killed ${kills} times within ${minutes} minutes, while it gave ${answers} answers`
  return { scene, version, why, evidence: reports.slice(-limits.quarantine.evidenceMax) }
}
