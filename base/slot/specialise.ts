/** How a blank becomes the slot of a version: its modules are loaded and bound to the stages of the scene. */
import ivm from 'isolated-vm'
import type { Failure, SchemaTexts, ServiceNames, StagePlan } from '../inside/protocol.ts'
import { messageOf } from '../kernel/errors.ts'
import { limits } from '../kernel/limits.ts'
import type { LockedModule, LockedStage } from '../traffic/schema.ts'
import { type SlotPlan, stageModules } from '../traffic/table.ts'
import { type Blank, type Remotes, withoutCollection } from './blank.ts'
import type { CodeCache } from './code-cache.ts'
import { CpuClock } from './cpu-clock.ts'
import type { Lookout } from './lookout.ts'
import { ModuleError } from './module-error.ts'
import { watchEnd } from './watch-end.ts'

export interface SpecialiseParts {
  /** Text of a bundle. */
  readBundle(digest: string): Promise<string>
  /** What the modules of a version may use. @throws BerthError when there is no such service */
  servicesOf(plan: SlotPlan): ServiceNames
  readonly codeCache: CodeCache
  /**
   * Called when code of a module begins to run in `blank`, with the name and version of the module, and with undefined when it is over. It is never over when
   * the code ends the process.
   */
  onLoading?(blank: Blank, plan: SlotPlan, module: string | undefined): void
  /** Puts an error into the words of the sources. When it is missing, the error stays as V8 made it. */
  explain?(error: ModuleError, plan: SlotPlan): Promise<ModuleError>
}

/** The name a module's script has in stack traces. */
const scriptName = (module: LockedModule): string => `berth:///${module.name}@${module.version}.js`
const moduleKey = (module: LockedModule): string => `${module.name}@${module.version}`

/**
 * Loads the modules of a version into a blank. What it may use is bounded in CPU only, so that no busy machine can make it fail. Nothing in an isolate can
 * wait without using CPU, and a file that cannot be read harms nobody but those who wait for it.
 * @throws ModuleError saying which module cannot be loaded and why; the isolate is gone then.
 */
export async function specialise(blank: Blank, plan: SlotPlan, parts: SpecialiseParts, lookout?: Lookout): Promise<void> {
  const { isolate, listener } = blank
  const budget = new LoadBudget(plan)
  const dispose = () => {
    if (!isolate.isDisposed) isolate.dispose()
  }
  const end = () => {
    if (lookout === undefined) dispose()
    else void lookout.close().then(dispose)
  }
  const killed = Promise.withResolvers<never>()
  const kill = async (why: ModuleError) => {
    const error = await withStack(why, lookout)
    killed.reject(error)
    end()
  }
  if (lookout !== undefined) lookout.onOutOfMemory = () => void kill(budget.overMemory(blank.memoryMB))
  const clock = new CpuClock(isolate)
  clock.run()
  const fromMs = clock.readMs()
  blank.clock.write()
  const looks = setInterval(() => {
    blank.clock.write()
    const overrun = budget.charge(clock.readMs() - fromMs)
    if (overrun === undefined || isolate.isDisposed) return
    clearInterval(looks)
    void kill(overrun)
    watchEnd(
      () => isOver,
      () => listener.onLost(`${overrun.message}, and cannot be stopped`, overrun.module),
    )
  }, limits.slot.watchdogTickMs)
  let isOver = false
  const loading = load(blank, plan, parts, budget).finally(() => {
    isOver = true
  })
  try {
    await Promise.race([loading, killed.promise])
  } catch (error) {
    end()
    throw error instanceof ModuleError && parts.explain !== undefined ? await parts.explain(error, plan) : error
  } finally {
    clearInterval(looks)
    clock.end()
  }
}

/** The error with the stack of the code that runs, if there is a lookout that sees it. */
async function withStack(error: ModuleError, lookout: Lookout | undefined): Promise<ModuleError> {
  const sight = await lookout?.look()
  return sight !== undefined && 'stack' in sight ? error.at(sight.stack) : error
}

/** What a load may still use, and what it is charged for. */
class LoadBudget {
  readonly #plan: SlotPlan
  #usedMs = 0
  /** The module whose code runs, and what had been used when it began. */
  #running: { readonly module: string; readonly fromMs: number } | undefined

  constructor(plan: SlotPlan) {
    this.#plan = plan
  }

  begin(module: string): void {
    this.#running = { module, fromMs: this.#usedMs }
  }

  end(): void {
    this.#running = undefined
  }

  overMemory(memoryMB: number): ModuleError {
    return overMemory(this.#running?.module ?? '', memoryMB)
  }

  /**
   * @param usedMs milliseconds of CPU that the load has used so far
   * @returns why the load has to end, if it has to
   */
  charge(usedMs: number): ModuleError | undefined {
    this.#usedMs = usedMs
    const { scene, version } = this.#plan
    const over = (what: string, maxMs: number) => {
      const message = `Cannot load ${what} used more than ${maxMs} ms of CPU`
      const module = this.#running?.module
      return new ModuleError({ code: 'MODULE_LOAD_KILLED', message, ...(module !== undefined && { module }) })
    }
    if (this.#running !== undefined && usedMs - this.#running.fromMs > limits.module.loadCpuMsMax) {
      return over(`module "${this.#running.module}": its top level`, limits.module.loadCpuMsMax)
    }
    const { loadCpuMsMax } = limits.slot
    return usedMs > loadCpuMsMax ? over(`version "${version}" of scene "${scene}": it`, loadCpuMsMax) : undefined
  }
}

async function load(blank: Blank, plan: SlotPlan, parts: SpecialiseParts, budget: LoadBudget): Promise<void> {
  for (const [module, stages] of modulesOf(plan)) {
    const text = await parts.readBundle(module.bundle)
    const script = await compile(blank, text, module, parts.codeCache)
    const key = moduleKey(module)
    budget.begin(key)
    parts.onLoading?.(blank, plan, key)
    try {
      await runModule(blank, script, key, stages)
    } finally {
      parts.onLoading?.(blank, plan, undefined)
      budget.end()
    }
  }
  await link(blank.inside, plan, parts.servicesOf(plan))
}

/** Gives an isolate whose modules are defined its stages. It may be given others only while no request is under way. */
export async function link(inside: Remotes, plan: SlotPlan, offered: ServiceNames): Promise<void> {
  const { request, answer } = plan.schemas ?? {}
  const texts: SchemaTexts = { request: textOf(request), answer: textOf(answer) }
  const [stages, services, schemas] = [plan.lock.map(stagePlan), offered, texts].map(value => new ivm.ExternalCopy(value).copyInto())
  await inside.link.apply(undefined, [
    plan.scene,
    plan.version,
    stages as ivm.Copy<StagePlan[]>,
    services as ivm.Copy<ServiceNames>,
    schemas as ivm.Copy<SchemaTexts>,
  ])
}

const textOf = (schema: unknown): string => (schema === undefined ? '' : JSON.stringify(schema))

async function compile({ isolate }: Blank, text: string, module: LockedModule, codeCache: CodeCache): Promise<ivm.Script> {
  try {
    return await withoutCollection(() => codeCache.compile(isolate, text, scriptName(module)))
  } catch (error) {
    throw compileFailure(moduleKey(module), messageOf(error))
  }
}

async function runModule(
  { isolate, context, clock, inside, memoryMB }: Blank,
  script: ivm.Script,
  module: string,
  stages: readonly string[],
): Promise<void> {
  clock.write()
  let failure: Failure | undefined
  try {
    const exports = (await script.run(context, { reference: true })) as ivm.Reference<unknown>
    const stageNames = new ivm.ExternalCopy([...stages]).copyInto()
    // To look at the exports runs their getters, which are the module's code again.
    const found = await inside.define.apply(undefined, [module, stageNames, exports.derefInto()], { result: { copy: true } })
    failure = found as Failure | undefined
    exports.release()
  } catch (error) {
    throw loadFailure(module, error, isolate.isDisposed ? memoryMB : undefined)
  }
  if (failure !== undefined) throw new ModuleError(failure)
}

/** @param memoryMB the limit that the isolate was over, when it is gone */
function loadFailure(module: string, error: unknown, memoryMB: number | undefined): ModuleError {
  if (memoryMB !== undefined) return overMemory(module, memoryMB)
  const stack = error instanceof Error && error.stack !== undefined ? { stack: error.stack } : {}
  const message = `Cannot load module "${module}": it threw: ${messageOf(error)}`
  return new ModuleError({ code: 'MODULE_LOAD_THREW', message, module, ...stack })
}

function overMemory(module: string, memoryMB: number): ModuleError {
  const message = `Cannot load module "${module}": its top level was over its memory limit of ${memoryMB} MB`
  return new ModuleError({ code: 'MODULE_LOAD_KILLED', message, module })
}

function compileFailure(module: string, message: string): ModuleError {
  const awaits = /\bawait\b/.test(message)
  const code = awaits ? 'MODULE_LOAD_AWAITS' : 'BUNDLE_INVALID'
  const why = awaits ? 'it awaits at its top level' : `it is not a classic script: ${message}`
  return new ModuleError({ code, message: `Cannot load module "${module}": ${why}`, module })
}

/** Each module of a plan once, with every stage it is bound to. */
function modulesOf(plan: SlotPlan): Map<LockedModule, string[]> {
  const byKey = new Map<string, LockedModule>()
  const found = new Map<LockedModule, string[]>()
  for (const stage of plan.lock) {
    for (const module of stageModules(stage)) {
      const first = byKey.get(moduleKey(module)) ?? module
      byKey.set(moduleKey(module), first)
      found.set(first, [...(found.get(first) ?? []), stage.stage])
    }
  }
  return found
}

/** The steps of a plan in the order in which the code inside numbers them; see `CURSOR`. */
export function stepsOf({ lock }: Pick<SlotPlan, 'lock'>): { readonly stage: string; readonly module: string }[] {
  return lock.flatMap(stage => {
    const { modules, merge, fallbackModule } = stagePlan(stage)
    return [...modules, merge, fallbackModule].flatMap(module => (module === undefined ? [] : { stage: stage.stage, module }))
  })
}

function stagePlan({ stage, modules, parallel = false, merge, deadlineMs, onFailure = 'fail', fallback }: LockedStage): StagePlan {
  return {
    stage,
    modules: modules.map(moduleKey),
    parallel,
    merge: typeof merge === 'object' ? moduleKey(merge) : undefined,
    deadlineMs,
    onFailure,
    fallbackModule: fallback !== undefined && 'module' in fallback ? moduleKey(fallback.module) : undefined,
    fallbackValue: fallback !== undefined && 'value' in fallback ? JSON.stringify(fallback.value) : undefined,
  }
}
