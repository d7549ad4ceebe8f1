/** How a blank becomes the slot of a version: its modules are loaded and bound to the stages of the scene. */
import ivm from 'isolated-vm'
import type { Failure, ServiceNames, StagePlan } from '../inside/protocol.ts'
import { messageOf } from '../kernel/errors.ts'
import { limits } from '../kernel/limits.ts'
import type { LockedModule, LockedStage } from '../traffic/schema.ts'
import { type SlotPlan, stageModules } from '../traffic/table.ts'
import type { Blank, Remote, Remotes } from './blank.ts'
import type { CodeCache } from './code-cache.ts'
import { ModuleError } from './module-error.ts'

export interface SpecialiseParts {
  /** Text of a bundle. */
  readBundle(digest: string): Promise<string>
  /** What the modules of a version may use. @throws BerthError when there is no such service */
  servicesOf(plan: SlotPlan): ServiceNames
  readonly codeCache: CodeCache
  /** Puts an error into the words of the sources. When it is missing, the error stays as V8 made it. */
  explain?(error: ModuleError, plan: SlotPlan): Promise<ModuleError>
}

const TIMED_OUT = 'Script execution timed out.'

/** The name a module's script has in stack traces. */
const scriptName = (module: LockedModule): string => `berth:///${module.name}@${module.version}.js`
const moduleKey = (module: LockedModule): string => `${module.name}@${module.version}`

/**
 * Loads the modules of a version into a blank.
 * @throws ModuleError saying which module cannot be loaded and why; the isolate is gone then.
 */
export async function specialise(blank: Blank, plan: SlotPlan, parts: SpecialiseParts): Promise<Remotes> {
  const { isolate, listener } = blank
  const late = Promise.withResolvers<never>()
  let lost: NodeJS.Timeout | undefined
  const timer = setTimeout(() => {
    if (!isolate.isDisposed) isolate.dispose()
    const message = `Cannot load version "${plan.version}" of scene "${plan.scene}": it took over ${limits.slot.loadMsMax} ms`
    // This is not awaited: loops inside V8's builtins outlive a disposal, and then only the end of the process gets the thread back.
    late.reject(new ModuleError({ code: 'MODULE_LOAD_KILLED', message }))
    lost = setTimeout(() => listener.onLost(`${message}, and cannot be stopped`), limits.slot.stopMsMax)
  }, limits.slot.loadMsMax)
  const loading = load(blank, plan, parts)
  loading.catch(() => undefined).finally(() => clearTimeout(lost))
  try {
    return await Promise.race([loading, late.promise])
  } catch (error) {
    if (!isolate.isDisposed) isolate.dispose()
    throw error instanceof ModuleError && parts.explain !== undefined ? await parts.explain(error, plan) : error
  } finally {
    clearTimeout(timer)
  }
}

async function load(blank: Blank, plan: SlotPlan, parts: SpecialiseParts): Promise<Remotes> {
  const { inside } = blank
  for (const [module, stages] of modulesOf(plan)) await loadModule(blank, inside.define, module, stages, parts)
  await link(inside, plan, parts.servicesOf(plan))
  return inside
}

/** Gives an isolate whose modules are defined its stages. It may be given others only while no request is under way. */
export async function link(inside: Remotes, plan: SlotPlan, offered: ServiceNames): Promise<void> {
  const [stages, services] = [plan.lock.map(stagePlan), offered].map(value => new ivm.ExternalCopy(value).copyInto())
  await inside.link.apply(undefined, [plan.scene, plan.version, stages as ivm.Copy<StagePlan[]>, services as ivm.Copy<ServiceNames>])
}

async function loadModule(
  { isolate, context, clock, memoryMB }: Blank,
  define: Remote<'define'>,
  module: LockedModule,
  stages: readonly string[],
  { readBundle, codeCache }: SpecialiseParts,
): Promise<void> {
  const key = moduleKey(module)
  const code = await readBundle(module.bundle)
  let script: ivm.Script
  try {
    script = await codeCache.compile(isolate, code, scriptName(module))
  } catch (error) {
    throw compileFailure(key, messageOf(error))
  }
  clock.write()
  const bounded = { timeout: limits.module.loadMsMax }
  let failure: Failure | undefined
  try {
    const exports = (await script.run(context, { reference: true, ...bounded })) as ivm.Reference<unknown>
    const stageNames = new ivm.ExternalCopy([...stages]).copyInto()
    // To look at the exports runs their getters, which are the module's code again.
    const found = await define.apply(undefined, [key, stageNames, exports.derefInto()], { result: { copy: true }, ...bounded })
    failure = found as Failure | undefined
    exports.release()
  } catch (error) {
    throw loadFailure(key, error, isolate.isDisposed ? memoryMB : undefined)
  }
  if (failure !== undefined) throw new ModuleError(failure)
}

/** @param memoryMB the limit that the isolate was over, when it is gone */
function loadFailure(module: string, error: unknown, memoryMB: number | undefined): ModuleError {
  const message = messageOf(error)
  if (memoryMB !== undefined || message === TIMED_OUT) {
    const why = memoryMB === undefined ? `still running after ${limits.module.loadMsMax} ms` : `over its memory limit of ${memoryMB} MB`
    return new ModuleError({ code: 'MODULE_LOAD_KILLED', message: `Cannot load module "${module}": its top level was ${why}`, module })
  }
  const stack = error instanceof Error && error.stack !== undefined ? { stack: error.stack } : {}
  return new ModuleError({ code: 'MODULE_LOAD_THREW', message: `Cannot load module "${module}": it threw: ${message}`, module, ...stack })
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
