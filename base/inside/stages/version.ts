/** The version that the isolate is specialised to: its modules, bound to the stages of its scene. */
import { closeGlobals, mendMembers } from '../built-ins/open.ts'
import { offer } from '../calls/services.ts'
import { keys } from '../primordials.ts'
import type { Failure, SchemaTexts, ServiceNames, StagePlan } from '../protocol.ts'
import { kindOf } from '../to-text.ts'
import { useSchemas } from './schemas.ts'

/** A module bound to a stage. */
export interface Step {
  /** See `CURSOR`. */
  readonly no: number
  readonly stage: string
  readonly module: string
  readonly run: (input: unknown, ctx: unknown) => unknown
}

export interface Stage extends Omit<StagePlan, 'modules' | 'merge' | 'fallbackModule'> {
  readonly steps: readonly Step[]
  readonly merge: Step | undefined
  readonly fallbackStep: Step | undefined
  /** Whether the stage is the first, which has no input to pass on when it is skipped. */
  readonly first: boolean
}

const modules = new Map<string, Readonly<Record<string, unknown>>>()

export let scene = ''
export let version = ''
export let stages: readonly Stage[] = []
let lastStep = 0

export function define(module: string, stages: readonly string[], exports: unknown): Failure | undefined {
  const mended = mendMembers()
  if (mended !== undefined) {
    const message = `Cannot load module "${module}": it has changed ${mended.changed.join(', ')}, which the modules of a version share`
    return { code: 'MODULE_CHANGES_BUILTINS', message, module }
  }
  const found = typeof exports === 'object' && exports !== null ? (exports as Readonly<Record<string, unknown>>) : {}
  const names = keys(found)
  if (names.length === 0) return { code: 'MODULE_EXPORTS_NOTHING', message: `Cannot load module "${module}": it exports nothing`, module }
  for (const stage of stages) {
    if (!names.includes(stage)) {
      const message = `Cannot load module "${module}": it does not export "${stage}", only ${names.join(', ')}`
      return { code: 'MODULE_EXPORT_MISSING', message, module, stage }
    }
    if (typeof found[stage] !== 'function') {
      const message = `Cannot load module "${module}": its export "${stage}" is not a function but ${kindOf(found[stage])}`
      return { code: 'MODULE_EXPORT_NOT_FUNCTION', message, module, stage }
    }
  }
  modules.set(module, found)
  return undefined
}

export function link(sceneId: string, versionId: string, plans: readonly StagePlan[], services: ServiceNames, schemas: SchemaTexts): void {
  closeGlobals()
  offer(services)
  useSchemas(schemas)
  scene = sceneId
  version = versionId
  lastStep = 0
  stages = plans.map((plan, i) => bindStage(plan, i === 0))
}

function bindStage({ modules: keys, merge, fallbackModule, ...plan }: StagePlan, first: boolean): Stage {
  const bind = (module: string): Step => ({
    no: ++lastStep,
    stage: plan.stage,
    module,
    run: modules.get(module)?.[plan.stage] as Step['run'],
  })
  const optional = (module: string | undefined) => (module === undefined ? undefined : bind(module))
  return { ...plan, first, steps: keys.map(bind), merge: optional(merge), fallbackStep: optional(fallbackModule) }
}
