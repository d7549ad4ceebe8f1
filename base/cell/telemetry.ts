/** What happens in a cell, counted for Prometheus and logged for operators and engineers. */
import { type BerthError, messageOf } from '../kernel/errors.ts'
import { limits } from '../kernel/limits.ts'
import type { Logger } from '../kernel/log.ts'
import { inWords, type Kill } from '../slot/kill.ts'
import { ModuleError, type Seen } from '../slot/module-error.ts'
import type { BreakerState } from '../traffic/admission.ts'
import { type CompiledTable, holds } from '../traffic/scene.ts'
import type { SlotPlan } from '../traffic/table.ts'
import type { SceneFailure, SlotKills } from '../wire/messages.ts'
import type { Progress, SceneRequest } from './answer.ts'
import type { Metrics } from './metrics.ts'
import type { ModuleLog, SeenKill } from './module-log.ts'

export class Telemetry {
  /** The log of the cell. */
  readonly log: Logger
  readonly moduleLog: ModuleLog
  readonly metrics: Metrics
  /** Kills of slots that have not been reported to the keeper, by version. */
  readonly #kills = new Map<string, Omit<SlotKills, 'answers'>>()
  /** What versions had answered when kills of their slots were last reported. */
  readonly #answeredAtKill = new Map<string, { readonly scene: string; readonly version: string; readonly answered: number }>()

  /** Versions whose answers did not fit the schema of their scene, by the keys of their plans, each with its plan. */
  readonly #misfits = new Map<string, SlotPlan>()
  /** Requests in this second whose callers were to blame, by the keys of plans. */
  readonly #refusals = new Map<string, { second: number; count: number }>()

  constructor(log: Logger, moduleLog: ModuleLog, metrics: Metrics) {
    this.log = log
    this.moduleLog = moduleLog
    this.metrics = metrics
  }

  /**
   * Counts a request that has been answered.
   * @param code `OK` or an error code
   */
  countRequest({ decision, scene }: Progress, code: string, seconds: number): void {
    if (decision === undefined) this.metrics.countRefused(code, scene)
    else {
      this.metrics.count(decision.plan, code, seconds)
      if (decision.exposed) this.metrics.countExposure(decision)
    }
  }

  /** Logs why a request failed. Resolves with what else the caller may see of it. */
  async logFailure(error: BerthError, request: SceneRequest, { decision, token }: Progress): Promise<Readonly<Record<string, unknown>>> {
    const plan = decision?.plan
    const where = { code: error.code, scene: plan?.scene, version: plan?.version, requestId: request.requestId }
    if (error.code === 'INTERNAL') this.log.error({ ...where, err: error.cause }, 'a defect of Berth')
    // The engineer of a module wants to know where it needed what the base could not do. That a breaker is open was logged when it opened.
    const isShown = token !== undefined && holds(token, 'pin')
    if (isShown && error.cause instanceof ModuleError) return { ...error.cause.located }
    const isOfModule = error.blame === 'module' || (error.blame === 'base' && error instanceof ModuleError)
    if (plan !== undefined && error.blame === 'caller' && error instanceof ModuleError) this.#noteRefusal(plan, error, request.requestId)
    if (plan === undefined || !isOfModule || error.code === 'BREAKER_OPEN') return {}
    const failed = this.moduleLog.fail(plan, error, request.requestId, isShown)
    if (isShown) return { ...(await failed) }
    // Whoever may not see the stack does not wait until it has been read.
    failed.catch((err: unknown) => this.log.error({ ...where, err }, 'an error of a module could not be logged'))
    return {}
  }

  /** The engineer of a module may want to see what is refused. Many callers may send what is, so few lines say so. */
  #noteRefusal(plan: SlotPlan, error: ModuleError, requestId: string): void {
    const second = Math.floor(performance.now() / 1000)
    const known = this.#refusals.get(plan.key)
    const count = known?.second === second ? known.count + 1 : 1
    this.#refusals.set(plan.key, { second, count })
    if (count <= limits.request.refusalLinesPerSecondMax) this.moduleLog.noteRefusal(plan, error, requestId)
  }

  /** Counts an answer that did not fit the schema of its scene. The first of a version is logged. */
  onMisfit(plan: SlotPlan, text: string): void {
    const { scene, version } = plan
    this.metrics.countMisfit(scene, version)
    if (this.#misfits.has(plan.key)) return
    this.#misfits.set(plan.key, plan)
    this.log.warn({ scene, version }, text)
    this.moduleLog.note(plan, 'warn', `${text}. Callers get such answers; no other one of this version is logged`, { code: 'RESULT_UNFIT' })
  }

  onServiceFailed(service: string, method: string, error: unknown): void {
    if (this.moduleLog.mayLogError(`service ${service}`))
      this.log.error({ service, method, err: error }, `service failed: ${messageOf(error)}`)
  }

  /** Resolves with why a version could not be loaded, in the words of its sources. */
  explainLoad(error: ModuleError, plan: SlotPlan): Promise<ModuleError> {
    if (error.code === 'MODULE_LOAD_KILLED') this.#noteKill(plan, error.message)
    return this.moduleLog.explain(error, plan)
  }

  /** Notes a slot that was killed, or had to be killed while it was loaded. */
  #noteKill({ scene, version }: SlotPlan, why: string): void {
    const key = `${scene}/${version}`
    const kills = (this.#kills.get(key)?.kills ?? 0) + 1
    this.#kills.set(key, { scene, version, kills, why })
  }

  /** The slots that were killed since the last call, by version. */
  takeKills(): SlotKills[] {
    const taken = [...this.#kills].map(([key, killed]) => {
      const { scene, version } = killed
      const answered = this.metrics.answersOf(scene, version)
      // What is counted begins at 0 again when the metrics have forgotten the version.
      const answers = Math.max(0, answered - (this.#answeredAtKill.get(key)?.answered ?? 0))
      this.#answeredAtKill.set(key, { scene, version, answered })
      return { ...killed, answers }
    })
    this.#kills.clear()
    return taken
  }

  /** Counts a kill at once, and logs it as soon as it is known where the code was. */
  onSlotKilled(plan: SlotPlan, kill: Kill): void {
    const { scene, version } = plan
    this.metrics.countKill(scene, version)
    if (kill.sight === undefined) this.#logKill(plan, kill, {})
    else {
      this.moduleLog.locateKill(plan, kill.sight, kill.where).then(
        seen => this.#logKill(plan, kill, seen),
        (err: unknown) => this.log.error({ scene, version, err }, 'it could not be found out where the code of a killed slot was'),
      )
    }
  }

  #logKill(plan: SlotPlan, { reason, blame, where: known }: Kill, { where = known, place, unseen, stack, frame }: Partial<SeenKill>): void {
    const { scene, version } = plan
    const line = place !== undefined ? ` (${place})` : unseen !== undefined ? ` (the line is not known: ${unseen})` : ''
    const why = `${reason}${inWords(where)}${line}`
    // What a caller has sent must not bring a version into quarantine.
    if (blame !== 'caller') this.#noteKill(plan, why)
    this.log.error({ scene, version, reason, blame, ...(blame !== 'caller' && where), place, unseen, frame }, 'slot killed')
    if (blame === 'caller') {
      const text = `The slot was killed: ${reason}, while a body was read or checked against the schema of the scene`
      this.moduleLog.note({ scene, version }, 'error', text, {})
    } else
      this.moduleLog.note({ scene, version }, 'error', `The slot was killed: ${why}`, { code: 'MODULE_KILLED', ...where, stack, frame })
  }

  onBreaker(scene: string, version: string, state: BreakerState): void {
    const level = state === 'open' ? 'warn' : 'info'
    this.log[level]({ scene, version, state }, 'breaker changed')
    this.moduleLog.note({ scene, version }, level, `The breaker of this version is ${state}`)
  }

  onTable({ scenes }: CompiledTable): void {
    const isOnline = (key: string, { scene, version }: Pick<SlotPlan, 'scene' | 'version'>) =>
      scenes.get(scene)?.versions.get(version)?.key === key
    for (const [key, plan] of this.#misfits) if (!isOnline(key, plan)) this.#misfits.delete(key)
    this.#refusals.clear()
    this.metrics.retain((scene, version) => scenes.get(scene)?.versions.has(version) ?? false)
    for (const [key, { scene, version }] of this.#answeredAtKill)
      if (!scenes.get(scene)?.versions.has(version)) this.#answeredAtKill.delete(key)
  }

  /** @param isBaseline whether requests to the scene fail now that no rule sends elsewhere */
  onLoadFailed(failure: SceneFailure, error: unknown, isBaseline: boolean): void {
    const { stack, frame }: Seen = error instanceof ModuleError ? error.located : {}
    const what = isBaseline ? 'baseline cannot answer' : 'version cannot be loaded'
    this.log.error({ ...failure, frame }, what)
    this.moduleLog.note(failure, 'error', `The ${what}: ${failure.message}`, { code: failure.code, stack, frame })
  }
}
