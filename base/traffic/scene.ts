/** The scene table, compiled for serving: every lookup of the request path is one map access. */
import type { Right, SceneDefinition } from './schema.ts'
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
  readonly unitHeader: string
  /** Unescaped members of the JSON pointer to the unit id; undefined when the scene has none. */
  readonly unitPath: readonly string[] | undefined
  /** JSON of the parameters, as it crosses into the slot. */
  readonly params: string
  readonly baseline: SlotPlan | undefined
  readonly versions: ReadonlyMap<string, SlotPlan>
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
    unitHeader: unit.header,
    unitPath: unit.pointer === undefined ? undefined : pointerPath(unit.pointer),
    params: JSON.stringify(definition.params),
    baseline: baseline === null ? undefined : plans.get(baseline),
    versions: plans,
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
