/** What happens in a cell, counted for Prometheus and logged for operators and engineers. */
import { type BerthError, messageOf } from '../kernel/errors.ts'
import type { Logger } from '../kernel/log.ts'
import { ModuleError } from '../slot/module-error.ts'
import type { KillBlame } from '../slot/slot.ts'
import type { BreakerState } from '../traffic/admission.ts'
import { type CompiledTable, holds } from '../traffic/scene.ts'
import type { SlotPlan } from '../traffic/table.ts'
import type { SceneFailure } from '../wire/messages.ts'
import type { Progress, SceneRequest } from './answer.ts'
import type { Metrics } from './metrics.ts'
import type { ModuleLog } from './module-log.ts'

export class Telemetry {
  /** The log of the cell. */
  readonly log: Logger
  readonly moduleLog: ModuleLog
  readonly metrics: Metrics

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
      this.metrics.count(decision.plan.scene, decision.plan.version, code, seconds)
      if (decision.exposed) this.metrics.countExposure(decision)
    }
  }

  /** Logs why a request failed. Resolves with what else the caller may see of it. */
  async logFailure(error: BerthError, request: SceneRequest, { decision, token }: Progress): Promise<Readonly<Record<string, unknown>>> {
    const plan = decision?.plan
    const where = { code: error.code, scene: plan?.scene, version: plan?.version, requestId: request.requestId }
    if (error.code === 'INTERNAL') this.log.error({ ...where, err: error.cause }, 'a defect of Berth')
    // The engineer of a module wants to know where it needed what the base could not do. That a breaker is open was logged when it opened.
    const isOfModule = error.blame === 'module' || (error.blame === 'base' && error instanceof ModuleError)
    if (plan === undefined || !isOfModule || error.code === 'BREAKER_OPEN') return {}
    const isShown = token !== undefined && holds(token, 'pin')
    const failed = this.moduleLog.fail(plan, error, request.requestId, isShown)
    if (isShown) return { ...(await failed) }
    // Whoever may not see the stack does not wait until it has been read.
    failed.catch((err: unknown) => this.log.error({ ...where, err }, 'an error of a module could not be logged'))
    return {}
  }

  onServiceFailed(service: string, method: string, error: unknown): void {
    if (this.moduleLog.mayLogError(`service ${service}`))
      this.log.error({ service, method, err: error }, `service failed: ${messageOf(error)}`)
  }

  onSlotKilled({ scene, version }: SlotPlan, reason: string, blame: KillBlame): void {
    this.metrics.countKill(scene, version)
    this.log.error({ scene, version, reason, blame }, 'slot killed')
    const code = blame === 'caller' ? 'BODY_TOO_LARGE' : 'MODULE_KILLED'
    this.moduleLog.note({ scene, version }, 'error', `The slot was killed: ${reason}`, code)
  }

  onBreaker(scene: string, version: string, state: BreakerState): void {
    const level = state === 'open' ? 'warn' : 'info'
    this.log[level]({ scene, version, state }, 'breaker changed')
    this.moduleLog.note({ scene, version }, level, `The breaker of this version is ${state}`)
  }

  onTable({ scenes }: CompiledTable): void {
    this.metrics.retain((scene, version) => scenes.get(scene)?.versions.has(version) ?? false)
  }

  /** @param isBaseline whether requests to the scene fail now that no rule sends elsewhere */
  onLoadFailed(failure: SceneFailure, isBaseline: boolean): void {
    const what = isBaseline ? 'baseline cannot answer' : 'version cannot be loaded'
    this.log.error(failure, what)
    this.moduleLog.note(failure, 'error', `The ${what}: ${failure.message}`, failure.code)
  }
}
