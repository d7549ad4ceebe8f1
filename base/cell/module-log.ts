/** The lines and the errors of modules. They go into the log of the cell, and to the keeper for whoever reads the log of a scene. */
import type { LogLine } from '../inside/protocol.ts'
import { type BerthError, isErrorCode } from '../kernel/errors.ts'
import { limits } from '../kernel/limits.ts'
import type { Logger } from '../kernel/log.ts'
import { Once } from '../kernel/once.ts'
import type { Located, Stacks } from '../kernel/stacks.ts'
import { SlotKilled, seenAt, type Whereabouts } from '../slot/kill.ts'
import type { Sight } from '../slot/lookout.ts'
import { ModuleError, type Seen } from '../slot/module-error.ts'
import { lockedModules, type SlotPlan } from '../traffic/table.ts'
import type { LogRecord } from '../wire/messages.ts'
import type { LogFeed } from './log-feed.ts'

type Level = LogRecord['level']

/** Errors of one version that are logged in the log of the cell in a second. The rest is counted. */
const ERROR_LINES_PER_SECOND = 5
/** Versions and services whose errors are counted. When there are more, all are counted from nothing again. */
const ERROR_KEYS_KEPT = 1000

/** Where the code of a slot was when it was killed, in the words of its sources, or why that is not known. */
export interface SeenKill extends Partial<Located> {
  readonly where: Whereabouts
  readonly unseen?: string
}

type NotedBeside = Partial<Pick<LogRecord, 'code' | 'module' | 'stage' | 'stack' | 'frame'>>

export class ModuleLog {
  readonly #log: Logger
  readonly #stacks: Stacks
  readonly #feed: LogFeed
  readonly #once = new Once(limits.log.onceMax)
  readonly #errorLines = new Map<string, { second: number; count: number }>()

  constructor(log: Logger, stacks: Stacks, feed: LogFeed) {
    this.#log = log
    this.#stacks = stacks
    this.#feed = feed
  }

  /** Takes the lines that modules have written in a request, or outside of any. */
  write(plan: SlotPlan, requestId: string | undefined, lines: readonly LogLine[]): void {
    for (const line of lines) {
      if (line.once === undefined || this.#once.isFirst(`${plan.key} ${line.once}`)) this.#writeLine(plan, requestId, line)
    }
  }

  #writeLine(plan: SlotPlan, requestId: string | undefined, line: LogLine): void {
    const at = new Date().toISOString()
    if (line.stack === undefined) this.#writeMapped(at, plan, requestId, line)
    else void this.#locate(line.stack, plan).then(({ stack }) => this.#writeMapped(at, plan, requestId, { ...line, stack }))
  }

  #writeMapped(
    at: string,
    plan: SlotPlan,
    requestId: string | undefined,
    { level, module, message, fields, stack, code, once, dropped }: LogLine,
  ): void {
    const { scene, version } = plan
    const where = { scene, version, module, requestId, dropped }
    const known = isErrorCode(code) ? { code } : {}
    this.#log[level]({ ...where, ...known, fields: parsed(fields), ...asError(message, stack) }, message)
    if (this.#feed.admits(scene, version, level))
      this.#feed.push({ at, level, scene, version, module, requestId, message, fields, stack, ...known, once, dropped })
  }

  /**
   * Logs an error that a request was answered with. Its stack is read only when somebody sees it.
   * @param isShown whether the caller sees what is returned
   * @returns what its engineer sees of it
   */
  async fail(plan: SlotPlan, error: BerthError, requestId: string, isShown: boolean): Promise<Seen> {
    const at = new Date().toISOString()
    const { scene, version } = plan
    const { module, stage }: Whereabouts = error instanceof ModuleError ? error : error instanceof SlotKilled ? error.where : {}
    const isLogged = error instanceof ModuleError && this.mayLogError(plan.key)
    const isFed = this.#feed.admits(scene, version, 'error')
    const rawStack = isLogged || isFed || isShown ? await rawStackOf(error) : undefined
    const { stack, frame, at: place }: Partial<Located> = rawStack === undefined ? {} : await this.#locate(rawStack, plan)
    if (isLogged) {
      this.#log.error(
        { code: error.code, scene, version, requestId, module, stage, frame, ...asError(error.message, stack) },
        error.message,
      )
    }
    if (isFed) {
      this.#feed.push({
        at,
        level: 'error',
        scene,
        version,
        module,
        stage,
        requestId,
        code: error.code,
        message: error.message,
        stack,
        frame,
      })
    }
    return stack === undefined ? {} : { stack, frame, at: place }
  }

  /** Writes what happened to a version into the log of its scene. The caller writes it into the log of the cell. */
  note(plan: Pick<SlotPlan, 'scene' | 'version'>, level: Level, message: string, more: NotedBeside = {}): void {
    const { scene, version } = plan
    if (this.#feed.admits(scene, version, level)) this.#feed.push({ ...more, at: new Date().toISOString(), level, scene, version, message })
  }

  /** Reads what a look at a slot that was killed has found. */
  async locateKill(plan: SlotPlan, sight: Promise<Sight>, known: Whereabouts): Promise<SeenKill> {
    const seen = await sight
    if ('unseen' in seen) return { where: known, ...seen }
    return { where: seenAt(plan, seen.stack, known), ...(await this.#locate(seen.stack, plan)) }
  }

  /** Writes that a request was refused for which its caller is to blame. */
  noteRefusal({ scene, version }: SlotPlan, { code, message, extra, module, stage }: ModuleError, requestId: string): void {
    if (!this.#feed.admits(scene, version, 'info')) return
    const reason = typeof extra?.reason === 'string' ? `${extra.reason}: ` : ''
    const text = `Request refused: ${reason}${message}`
    this.#feed.push({ at: new Date().toISOString(), level: 'info', scene, version, module, stage, requestId, code, message: text })
  }

  /** The error of a module that cannot be loaded, with its place in the source. */
  explain(error: ModuleError, plan: SlotPlan): Promise<ModuleError> {
    return error.inSources(this.#stacks, plan)
  }

  #locate(stack: string, { lock }: SlotPlan): Promise<Located> {
    return this.#stacks.locate(stack, lockedModules(lock))
  }

  /** Whether one more error under this key may go to the log of the cell in this second. */
  mayLogError(key: string): boolean {
    const second = Math.floor(performance.now() / 1000)
    const lines = this.#errorLines.get(key)
    if (lines?.second === second) return ++lines.count <= ERROR_LINES_PER_SECOND
    if (lines !== undefined && lines.count > ERROR_LINES_PER_SECOND) {
      this.#log.error({ version: key, count: lines.count - ERROR_LINES_PER_SECOND }, 'more errors of this version were not logged')
    }
    if (this.#errorLines.size > ERROR_KEYS_KEPT) this.#errorLines.clear()
    this.#errorLines.set(key, { second, count: 1 })
    return true
  }
}

/** The stack of an error as V8 made it. It is that of the look at the slot, when a kill is the reason. */
async function rawStackOf(error: BerthError): Promise<string | undefined> {
  if (error instanceof ModuleError) return error.rawStack
  const sight = error instanceof SlotKilled ? await error.sight : undefined
  return sight !== undefined && 'stack' in sight ? `${error.message}\n${sight.stack}` : undefined
}

/** The member of a log line in which readers of logs look for a stack. */
const asError = (message: string, stack: string | undefined) => (stack === undefined ? {} : { err: { type: 'Error', message, stack } })

/** Fields as a module logged them. JSON that was cut off at the limit stays text. */
function parsed(fields: string | undefined): unknown {
  if (fields === undefined) return undefined
  try {
    return JSON.parse(fields)
  } catch {
    return fields
  }
}
