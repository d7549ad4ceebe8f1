/**
 * Has a version or params answer captured requests before they get traffic.
 *
 *   capsules ─▶ both answer all, in a slot each ─▶ those that differ again, in fresh slots ─▶ the noise of the baseline ─▶ report
 *
 * Whether a change is validated depends on what it gives traffic to; what is on its way back, or gets less, never is.
 */
import type { Answered, Answering, Contender, Freshness } from '../../capsule/answered.ts'
import type { Inexactness } from '../../capsule/capsule.ts'
import { capsulesToConfirm, type Evidence, type FreshRound, hasNewErrors, judge, type Round } from '../../capsule/judgement.ts'
import type { EarlyEnd, Report } from '../../capsule/report.ts'
import type { SceneChangeOf, WishKind } from '../../change/change.ts'
import { type KeptScene, type Next, routedIn, type SceneState } from '../../change/scene-state.ts'
import { BerthError } from '../../kernel/errors.ts'
import { limits } from '../../kernel/limits.ts'
import { isQuarantined } from '../../traffic/rules.ts'
import { type Validation, type ValidationMode, type VersionRecord, validationDefaults } from '../../traffic/schema.ts'
import { slotPlan } from '../../traffic/table.ts'

/** Where capsules are found. */
export interface CapsuleSource {
  /** The newest first. */
  newest(scene: string, version: string, count: number): readonly { readonly id: string; readonly inexact: readonly Inexactness[] }[]
}

export interface ValidationParts {
  readonly capsules: CapsuleSource
  readonly answering: Answering
  /** @default limits.capsule.validationMsMax */
  readonly msMax?: number
}

/** What is compared: a version before and after a change, or two versions. */
export interface Trial {
  readonly scene: string
  readonly what: Evidence['what']
  readonly baseline: Omit<Contender, 'chance'>
  readonly candidate: Omit<Contender, 'chance'>
  /** Versions whose capsules are answered, as many of the first as there are. */
  readonly capsulesOf: readonly string[]
  /** Versions of which the first that has capsules stands in for those, when they have none: both sides answer the requests anew. */
  readonly insteadOf?: readonly string[]
}

/** Kills of the candidate after which nothing more needs to be known. */
const KILLS_ENOUGH = 5
/** How the baseline is asked again. Noise that shows in one of a hundred requests would often be missed by one time. */
const NOISY = ['other', 'another'] as const

/**
 * Answers the capsules and judges the candidate. What could not be answered is missing in the report.
 * @param gone aborts when nobody waits for the report any more
 * @throws BASE_DRAINING when the keeper stops; VALIDATION_FAILED when `gone` aborts
 */
export async function validate(trial: Trial, settings: Validation, parts: ValidationParts, gone?: AbortSignal): Promise<Report> {
  const startedAt = performance.now()
  const gathering = new Gathering(trial, parts, gone)
  await gathering.run(settings)
  if (gone?.aborted)
    throw new BerthError(
      'VALIDATION_FAILED',
      `Cannot change scene "${trial.scene}": the connection of whoever asked has closed, so nothing was changed`,
    )
  return judge({ ...gathering.evidence(), tookMs: performance.now() - startedAt }, settings)
}

/** What the answers have shown so far. */
class Gathering {
  readonly #trial: Trial
  readonly #answering: Answering
  readonly #chosen: readonly string[]
  readonly #end = new AbortController()
  readonly #signal: AbortSignal
  readonly #msMax: number
  readonly #used: Round[] = []
  readonly #fresh: FreshRound[] = []
  readonly #noise: Round[] = []
  #kills = 0
  /** Characters of all answers that are kept. */
  #chars = 0
  #ended: EarlyEnd | undefined

  constructor(
    trial: Trial,
    { capsules, answering, msMax = limits.capsule.validationMsMax }: ValidationParts,
    gone: AbortSignal = this.#end.signal,
  ) {
    this.#trial = trial
    this.#signal = AbortSignal.any([this.#end.signal, gone])
    this.#answering = answering
    this.#msMax = msMax
    this.#chosen = chooseCapsules(trial, capsules)
  }

  async run(settings: Validation): Promise<void> {
    if (this.#chosen.length === 0) return
    const timer = setTimeout(() => this.#endBy('time'), this.#msMax)
    try {
      await this.#answerAll(settings)
    } catch (error) {
      if (error instanceof BerthError && error.code === 'BASE_DRAINING') throw error
      // Kills by the candidate are in the answers; without them the report says that the process ended, and judges by what there is.
      this.#endBy('process')
    } finally {
      clearTimeout(timer)
    }
  }

  evidence(): Omit<Evidence, 'tookMs'> {
    const { what, baseline, candidate } = this.#trial
    return {
      what,
      baseline: baseline.plan.version,
      candidate: candidate.plan.version,
      chosen: this.#chosen.length,
      used: this.#used,
      fresh: this.#fresh,
      noise: this.#noise,
      ...(this.#ended !== undefined && { ended: this.#ended }),
    }
  }

  async #answerAll(settings: Validation): Promise<void> {
    const baseline: Contender = { ...this.#trial.baseline, chance: 'recorded' }
    const candidate: Contender = { ...this.#trial.candidate, chance: 'recorded' }
    const again: Contender = { ...this.#trial.baseline, chance: 'other' }
    await this.#answer(this.#chosen, [baseline, candidate], 'shared', ([before, after]) => {
      if (before === undefined || after === undefined) return
      this.#used.push({ before, after })
      if (after.killed && ++this.#kills >= KILLS_ENOUGH) this.#endBy('kills')
    })
    const differing = capsulesToConfirm(this.#used, settings)
    if (differing.length === 0 && !hasNewErrors(this.#used)) return
    await this.#answer(differing, [baseline, candidate, again], 'fresh', ([before, after, otherwise]) => {
      if (before !== undefined && after !== undefined && otherwise !== undefined) this.#fresh.push({ before, after, again: otherwise })
    })
    await this.#answer(this.#chosen, [baseline, ...NOISY.map(chance => ({ ...baseline, chance }))], 'shared', ([before, ...others]) => {
      if (before !== undefined) this.#noise.push(...others.map(after => ({ before, after })))
    })
  }

  async #answer(
    capsules: readonly string[],
    contenders: readonly Contender[],
    freshness: Freshness,
    take: (answers: readonly Answered[]) => void,
  ): Promise<void> {
    const signal = this.#signal
    if (signal.aborted || capsules.length === 0) return
    const measuresHeap = freshness === 'shared' && this.#used.length === 0
    const takeSome = (answers: readonly Answered[]) => {
      for (const { answer } of answers) this.#chars += 'json' in answer ? answer.json.length : 0
      if (this.#chars > limits.capsule.answeredBytesMax) this.#endBy('size')
      else take(answers)
    }
    await this.#answering.answer({ scene: this.#trial.scene, capsules, contenders, freshness, measuresHeap }, takeSome, signal)
  }

  #endBy(why: EarlyEnd): void {
    this.#ended ??= why
    this.#end.abort(why)
  }
}

function chooseCapsules({ scene, capsulesOf, insteadOf = [] }: Trial, source: CapsuleSource): string[] {
  const chosen = new Set<string>()
  for (const version of [...capsulesOf, ...insteadOf]) {
    if (chosen.size > 0 && !capsulesOf.includes(version)) break
    for (const { id, inexact } of source.newest(scene, version, limits.capsule.validatedMax - chosen.size)) {
      // The baseline would be killed over it again.
      if (!inexact.includes('killed')) chosen.add(id)
    }
  }
  // Oldest first: what a slot remembers, it has then from the requests before.
  return [...chosen].slice(0, limits.capsule.validatedMax).reverse()
}

// Which changes are validated

/** A trial that a change asks for, and by which settings. */
export interface Planned {
  readonly trial: Trial
  readonly settings: Validation
}

type RecordOf = (version: string) => VersionRecord

/**
 * What has to be validated before the change is made.
 * @param asked the mode that the change itself asks for
 * @returns undefined for a change that gives no traffic to anything new, and where nothing shall be validated
 */
export function planValidation<K extends WishKind>(
  change: SceneChangeOf<K>,
  before: KeptScene | undefined,
  next: Next<unknown>,
  recordOf: RecordOf,
  asked: ValidationMode | undefined,
): Planned | undefined {
  if (before?.baseline == null) return undefined
  const ofScene = before.definition.validation ?? validationDefaults
  const settings = { ...ofScene, mode: asked ?? ofScene.mode }
  if (settings.mode === 'off') return undefined
  const trial =
    change.kind === 'set params'
      ? trialOfParams(before, next.scene, versionOf(change), recordOf)
      : trialOfVersion(change.kind, before, next, recordOf)
  return trial === undefined ? undefined : { trial, settings }
}

const versionOf = ({ payload }: SceneChangeOf<WishKind>): string | null => (payload as { readonly version: string | null }).version

/** Of the version that gets the baseline or a cutover, unless it goes back to the baseline before. */
function trialOfVersion(kind: WishKind, before: KeptScene, { scene }: Next<unknown>, recordOf: RecordOf): Trial | undefined {
  if (kind !== 'create version' && kind !== 'promote version') return undefined
  const { previousBaseline, cutover: was } = before.rules
  const { cutover } = scene.rules
  const isNewBaseline = scene.baseline !== before.baseline && scene.baseline !== previousBaseline
  const version = isNewBaseline ? scene.baseline : cutover?.version === was?.version ? undefined : cutover?.version
  if (version == null || before.baseline === null) return undefined
  return {
    what: 'version',
    scene: scene.definition.id,
    baseline: contender(before, before.baseline, recordOf),
    candidate: contender(scene, version, recordOf),
    capsulesOf: trustedIn(before, [before.baseline, previousBaseline]),
    insteadOf: trustedIn(before, before.online.toReversed()),
  }
}

/** Of the version whose params change, if it has traffic; of the baseline when those of the scene change. */
function trialOfParams(before: KeptScene, after: SceneState, of: string | null, recordOf: RecordOf): Trial | undefined {
  const version = of ?? before.baseline
  if (version === null || ![...routedIn(before)].includes(version)) return undefined
  return {
    what: 'params',
    scene: after.definition.id,
    baseline: contender(before, version, recordOf),
    candidate: contender(after, version, recordOf),
    capsulesOf: trustedIn(before, [version, before.baseline, before.rules.previousBaseline]),
    insteadOf: trustedIn(before, before.online.toReversed()),
  }
}

/** A version in quarantine kills what it runs in, so there is nothing to compare with: a bad baseline does not hold up what replaces it. */
function trustedIn({ rules, baseline }: KeptScene, versions: readonly (string | null | undefined)[]): string[] {
  if (baseline !== null && isQuarantined(rules, baseline)) return []
  return [...new Set(versions.filter(version => version != null && !isQuarantined(rules, version)))] as string[]
}

function contender({ definition, rules }: SceneState, version: string, recordOf: RecordOf): Omit<Contender, 'chance'> {
  const { deadlineMs, cpuMs = deadlineMs / 4 } = definition.traffic
  return {
    plan: slotPlan(definition, recordOf(version)),
    sceneParams: definition.params,
    versionParams: rules.versionParams?.[version] ?? {},
    cpuMs,
  }
}
