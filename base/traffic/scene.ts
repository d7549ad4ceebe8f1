/** Compiles the scene table for serving, so that every lookup on the path of a request is one map access. */
import { limits } from '../kernel/limits.ts'
import type { BreakerRules } from './admission.ts'
import { pointerPath } from './pointer.ts'
import { compileRouting, type Routing } from './routing.ts'
import { routedVersions } from './rules.ts'
import { breakerDefaults, type Right, type SceneDefinition } from './schema.ts'
import type { SceneEntry, SceneTable, SlotPlan, TokenEntry } from './table.ts'
import { type Attribute, compileAttributes } from './targeting.ts'
import type { VersionByUnit } from './whitelist.ts'

export interface CompiledTable {
  readonly revision: number
  readonly scenes: ReadonlyMap<string, Scene>
  /** Tokens by their sha256 in hex. */
  readonly tokens: ReadonlyMap<string, TokenEntry>
}

/** One scene, compiled. */
export interface Scene {
  readonly id: string
  /** Revision of its entry; undefined when its whitelist was missing, so that the scene is compiled again with the next table. */
  readonly revision: number | undefined
  /** The chain of `ctx.call` of a request from outside: this scene alone. */
  readonly chain: readonly string[]
  readonly definition: SceneDefinition
  readonly deadlineMs: number
  /** Milliseconds of CPU that a request may use in one go. */
  readonly cpuMs: number
  readonly limits: SceneLimits
  readonly unitHeader: string
  /** Unescaped members of the JSON pointer to the unit id; undefined when the scene has no pointer. */
  readonly unitPath: readonly string[] | undefined
  readonly routing: Routing
  /** What answers when no rule says otherwise: the baseline, or what answers in its place while that is in quarantine. */
  readonly baseline: SlotPlan | undefined
  /** The versions that may be loaded: all that are online, without those in quarantine. */
  readonly versions: ReadonlyMap<string, SlotPlan>
  /** Keys of the slot plans of all versions that rules use, and of the previous baseline. Their slots are kept even when they are idle. */
  readonly stays: ReadonlySet<string>
  /** The headers that hold attributes. */
  readonly attributeHeaders: readonly string[]
  /** Attributes by name. */
  readonly attributes: ReadonlyMap<string, Attribute>
}

/** What the whole base admits for a scene. */
export interface SceneLimits {
  readonly maxConcurrency: number
  readonly rate: { readonly rps: number; readonly burst: number } | undefined
  /** How many cores the scene may use up; undefined means that there is no limit. */
  readonly cpu: number | undefined
  /** From 0 to 100. */
  readonly priority: number
  readonly breaker: BreakerRules | undefined
}

/**
 * Compiles a table.
 * @param previous the table that it replaces: scenes that have not changed are taken over from it
 * @param whitelists by digest; a scene whose whitelist is missing stays as it was, and a new scene is compiled without one
 */
export function compileTable(
  table: SceneTable,
  previous?: CompiledTable,
  whitelists: ReadonlyMap<string, VersionByUnit> = new Map(),
): CompiledTable {
  const compile = (entry: SceneEntry): Scene => {
    const before = previous?.scenes.get(entry.definition.id)
    if (before?.revision === entry.revision) return before
    const missing = entry.whitelist !== undefined && !whitelists.has(entry.whitelist.digest)
    if (missing && before !== undefined) return { ...before, revision: undefined }
    return compileScene(entry, missing ? undefined : entry.revision, whitelists.get(entry.whitelist?.digest ?? ''))
  }
  return {
    revision: table.revision,
    scenes: new Map(table.scenes.map(entry => [entry.definition.id, compile(entry)])),
    tokens: new Map(table.tokens.map(token => [token.hash, token])),
  }
}

function compileScene(entry: SceneEntry, revision: number | undefined, whitelist: VersionByUnit | undefined): Scene {
  const { definition, rules, baseline } = entry
  const attributes = compileAttributes(definition)
  const routing = compileRouting(entry, attributes, whitelist)
  const stays = routedVersions(rules, baseline, Object.keys(entry.whitelist?.byVersion ?? {}))
  const { unit, deadlineMs, cpuMs } = definition.traffic
  return {
    id: definition.id,
    revision,
    chain: [definition.id],
    definition,
    deadlineMs,
    cpuMs: cpuMs ?? deadlineMs / 4,
    limits: compileLimits(definition.traffic),
    unitHeader: unit.header,
    unitPath: unit.pointer === undefined ? undefined : pointerPath(unit.pointer),
    attributes,
    attributeHeaders: [...attributes.values()].flatMap(({ header }) => header ?? []),
    routing,
    baseline: routing.baseline?.quarantine?.isRefused ? undefined : routing.baseline?.plan,
    versions: new Map(routing.routes.entries().flatMap(([id, { plan, quarantine }]) => (quarantine === undefined ? [[id, plan]] : []))),
    stays: new Set([...stays].flatMap(version => routing.routes.get(version)?.plan.key ?? [])),
  }
}

function compileLimits({ maxConcurrency, rateLimit, spec, priority, breaker = breakerDefaults }: SceneDefinition['traffic']): SceneLimits {
  return {
    maxConcurrency: maxConcurrency ?? limits.scene.concurrency,
    rate: rateLimit && { rps: rateLimit.rps, burst: rateLimit.burst ?? Math.max(1, Math.ceil(rateLimit.rps)) },
    cpu: spec.cpu,
    priority: priority ?? limits.scene.priority,
    breaker: breaker.enabled ? breaker : undefined,
  }
}

/** Whether the token grants `right`. The right `admin` includes every other; `publish` includes `read` and `pin`. */
export function holds(token: Pick<TokenEntry, 'rights'>, right: Right): boolean {
  if (token.rights.includes('admin') || token.rights.includes(right)) return true
  return (right === 'read' || right === 'pin') && token.rights.includes('publish')
}
