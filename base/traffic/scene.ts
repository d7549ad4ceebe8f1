/** The scene table, compiled for serving: every lookup of the request path is one map access. */
import { limits } from '../kernel/limits.ts'
import type { BreakerRules } from './admission.ts'
import { pointerPath } from './pointer.ts'
import { compileRouting, type Routing } from './routing.ts'
import { breakerDefaults, type Right, type SceneDefinition } from './schema.ts'
import type { SceneEntry, SceneTable, SlotPlan, TokenEntry } from './table.ts'
import { type Attribute, compileAttributes } from './targeting.ts'

export interface CompiledTable {
  readonly revision: number
  readonly scenes: ReadonlyMap<string, Scene>
  /** By sha256 of the token, hex. */
  readonly tokens: ReadonlyMap<string, TokenEntry>
}

export interface Scene {
  readonly id: string
  /** The scene alone: where a chain of `ctx.call` begins. */
  readonly chain: readonly string[]
  readonly definition: SceneDefinition
  readonly deadlineMs: number
  /** Milliseconds of CPU that a request may use in one go. */
  readonly cpuMs: number
  readonly limits: SceneLimits
  readonly unitHeader: string
  /** Unescaped members of the JSON pointer to the unit id; undefined when the scene has none. */
  readonly unitPath: readonly string[] | undefined
  readonly routing: Routing
  readonly baseline: SlotPlan | undefined
  readonly versions: ReadonlyMap<string, SlotPlan>
  /** By name. */
  readonly attributes: ReadonlyMap<string, Attribute>
}

/** What the whole base lets in of a scene. */
export interface SceneLimits {
  readonly maxConcurrency: number
  readonly rate: { readonly rps: number; readonly burst: number } | undefined
  /** Cores. */
  readonly cpu: number | undefined
  /** 0 to 100. */
  readonly priority: number
  readonly breaker: BreakerRules | undefined
}

export function compileTable(table: SceneTable): CompiledTable {
  return {
    revision: table.revision,
    scenes: new Map(table.scenes.map(entry => [entry.definition.id, compileScene(entry)])),
    tokens: new Map(table.tokens.map(token => [token.hash, token])),
  }
}

function compileScene(entry: SceneEntry): Scene {
  const { definition } = entry
  const attributes = compileAttributes(definition)
  const routing = compileRouting(entry, attributes)
  const { unit, deadlineMs, cpuMs } = definition.traffic
  return {
    id: definition.id,
    chain: [definition.id],
    definition,
    deadlineMs,
    cpuMs: cpuMs ?? deadlineMs / 4,
    limits: compileLimits(definition.traffic),
    unitHeader: unit.header,
    unitPath: unit.pointer === undefined ? undefined : pointerPath(unit.pointer),
    attributes,
    routing,
    baseline: routing.baseline?.plan,
    versions: new Map(routing.routes.entries().map(([id, { plan }]) => [id, plan])),
  }
}

function compileLimits({ maxConcurrency, rateLimit, spec, priority, breaker = breakerDefaults }: SceneDefinition['traffic']): SceneLimits {
  return {
    maxConcurrency: maxConcurrency ?? limits.sceneConcurrency,
    rate: rateLimit && { rps: rateLimit.rps, burst: rateLimit.burst ?? Math.max(1, Math.ceil(rateLimit.rps)) },
    cpu: spec.cpu,
    priority: priority ?? limits.scenePriority,
    breaker: breaker.enabled ? breaker : undefined,
  }
}

/** Whether the holder may do what needs `right`; `admin` may do everything, `publish` may pin. */
export function holds(token: Pick<TokenEntry, 'rights'>, right: Right): boolean {
  if (token.rights.includes('admin') || token.rights.includes(right)) return true
  return right === 'pin' && token.rights.includes('publish')
}
