/** The scene table, compiled for serving: every lookup of the request path is one map access. */
import { limits } from '../kernel/limits.ts'
import type { BreakerRules } from './admission.ts'
import { breakerDefaults, type Right, type SceneDefinition } from './schema.ts'
import { type SceneTable, type SlotPlan, slotPlan, type TokenEntry } from './table.ts'

export interface CompiledTable {
  readonly revision: number
  readonly scenes: ReadonlyMap<string, Scene>
  /** By sha256 of the token, hex. */
  readonly tokens: ReadonlyMap<string, TokenEntry>
}

export interface Scene {
  readonly id: string
  readonly definition: SceneDefinition
  readonly deadlineMs: number
  /** Milliseconds of CPU that a request may use in one go. */
  readonly cpuMs: number
  readonly limits: SceneLimits
  readonly unitHeader: string
  /** Unescaped members of the JSON pointer to the unit id; undefined when the scene has none. */
  readonly unitPath: readonly string[] | undefined
  /** JSON of the parameters, as it crosses into the slot. */
  readonly params: string
  readonly baseline: SlotPlan | undefined
  readonly versions: ReadonlyMap<string, SlotPlan>
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

function compileScene({ definition, versions, baseline }: SceneTable['scenes'][number]): Scene {
  const plans = new Map(versions.map(version => [version.id, slotPlan(definition, version)]))
  const { unit, deadlineMs, cpuMs } = definition.traffic
  return {
    id: definition.id,
    definition,
    deadlineMs,
    cpuMs: cpuMs ?? deadlineMs / 4,
    limits: compileLimits(definition.traffic),
    unitHeader: unit.header,
    unitPath: unit.pointer === undefined ? undefined : pointerPath(unit.pointer),
    params: JSON.stringify(definition.params),
    baseline: baseline === null ? undefined : plans.get(baseline),
    versions: plans,
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

/** Members of an RFC 6901 pointer such as `/user/id`. */
function pointerPath(pointer: string): string[] {
  return pointer
    .slice(1)
    .split('/')
    .map(member => member.replaceAll('~1', '/').replaceAll('~0', '~'))
}

/** The value at `path` in `value`, or undefined when there is none. */
export function atPath(value: unknown, path: readonly string[]): unknown {
  let found = value
  for (const member of path) {
    if (typeof found !== 'object' || found === null || !Object.hasOwn(found, member)) return undefined
    found = (found as Readonly<Record<string, unknown>>)[member]
  }
  return found
}

/** Whether the holder may do what needs `right`; `admin` may do everything, `publish` may pin. */
export function holds(token: Pick<TokenEntry, 'rights'>, right: Right): boolean {
  if (token.rights.includes('admin') || token.rights.includes(right)) return true
  return right === 'pin' && token.rights.includes('publish')
}
