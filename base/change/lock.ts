/** Resolves the ranges of a scene's group to exact digests. Pure: given the same published modules it gives the same lock. */
import semver from 'semver'
import { BerthError } from '../kernel/errors.ts'
import type { Lock, LockedModule, LockedStage, SceneDefinition, StageDefinition } from '../traffic/schema.ts'
import { lockedModules } from '../traffic/table.ts'
import type { ModuleRecord } from './records.ts'

export interface ModuleReference {
  readonly name: string
  readonly range: string
}

export interface LockRequest {
  /** Versions or ranges by the names of the modules that are to be replaced. */
  readonly named: ReadonlyMap<string, string>
  /** The lock from which modules that are not named keep their versions, as far as the ranges of the group still allow these. */
  readonly from: Lock | undefined
  /** Whether modules that are not named are resolved too. */
  readonly resolve: boolean
  /**
   * Whether a published version has been part of a baseline. When it is given, a range gives the newest such version, and the newest of all only
   * when there is none: a scene without a baseline shall not be where code is tried first.
   */
  readonly isProven?: (module: ModuleRecord) => boolean
}

/** Every published version of the module with this name. */
export type Published = (name: string) => readonly ModuleRecord[]

export function parseReference(reference: string): ModuleReference {
  const at = reference.indexOf('@')
  return { name: reference.slice(0, at), range: reference.slice(at + 1) }
}

/**
 * @throws MODULE_NOT_FOUND, MODULE_RANGE_UNSATISFIED, MODULE_LACKS_STAGE; REQUEST_INVALID when a named module is not in the group or its
 * range is not a valid one.
 */
export function resolveLock({ id, group }: SceneDefinition, published: Published, request: LockRequest): Lock {
  const members = group.flatMap(stageReferences).map(reference => parseReference(reference).name)
  checkNamed(id, new Set(members), request.named)
  return group.map(stage => lockStage(stage, reference => lockModule(stage.stage, parseReference(reference), published, request)))
}

/**
 * Checks that a version of the scene could be made. A module that has only prereleases in the range counts as there.
 * @throws as `resolveLock`
 */
export function checkGroup({ id, group }: SceneDefinition, published: Published): void {
  for (const stage of group) {
    checkSettings(id, stage)
    for (const { name, range } of stageReferences(stage).map(parseReference)) {
      const versions = publishedVersions(name, published)
      const pick = newest(versions, range) ?? versions.find(({ version }) => fits(version, range))
      requireStage(pick ?? refuseRange(name, [range], versions), stage.stage)
    }
  }
}

function stageReferences({ modules, merge, fallback }: StageDefinition): string[] {
  const stand = fallback !== undefined && 'module' in fallback ? [fallback.module] : []
  return [...modules, ...(merge === undefined || merge === 'concat' ? [] : [merge]), ...stand]
}

function lockStage({ modules, merge, fallback, ...rest }: StageDefinition, lock: (reference: string) => LockedModule): LockedStage {
  return {
    ...rest,
    modules: modules.map(lock),
    ...(merge !== undefined && { merge: merge === 'concat' ? merge : lock(merge) }),
    ...(fallback !== undefined && { fallback: 'module' in fallback ? { module: lock(fallback.module) } : fallback }),
  }
}

/** A sentence about the modules of a new scene's first version that no baseline has had yet; none when all of them have been in one. */
export function warnUnproven(lock: Lock, isProven: (module: LockedModule) => boolean): string[] {
  const unproven = lockedModules(lock).filter(module => !isProven(module))
  if (unproven.length === 0) return []
  const names = unproven.map(({ name, version }) => `${name}@${version}`).join(', ')
  return [`no baseline has had ${names} before, nor another release that fits`]
}

/** @throws SERVICE_NOT_OFFERED when a module of the lock uses a base service that is not among `offered`. */
export function checkServices(scene: string, lock: Lock, offered: readonly string[]): void {
  for (const { name, version, services = [] } of lockedModules(lock)) {
    const missing = services.filter(service => !offered.includes(service))
    if (missing.length === 0) continue
    const message = `Cannot run module "${name}@${version}" in scene "${scene}": it uses ${missing.join(', ')}, and this base offers ${offered.join(', ')}`
    throw new BerthError('SERVICE_NOT_OFFERED', message, { extra: { module: name, missing, offered } })
  }
}

/** Checks what one setting of a stage needs of the others, which the schema cannot say. */
function checkSettings(scene: string, { stage, parallel = false, merge, onFailure = 'fail', fallback }: StageDefinition): void {
  const refuse = (why: string) => new BerthError('SCENE_INVALID', `Cannot define scene "${scene}": stage "${stage}" ${why}`)
  if (merge !== undefined && !parallel) throw refuse('has "merge" without "parallel": true')
  if (fallback !== undefined && onFailure !== 'fallback') throw refuse('has a "fallback" without "onFailure": "fallback"')
  if (fallback === undefined && onFailure === 'fallback') throw refuse('has "onFailure": "fallback" without a "fallback"')
}

/** A prerelease belongs to the release that it leads to, although SemVer orders it before that: 1.2.0-dev.7 is within ^1.2. */
function fits(version: string, range: string): boolean {
  const release = semver.coerce(version)?.version ?? version
  return version === range || semver.satisfies(version, range, { includePrerelease: true }) || semver.satisfies(release, range)
}

function checkNamed(scene: string, members: ReadonlySet<string>, named: ReadonlyMap<string, string>): void {
  const refuse = (why: string) => new BerthError('REQUEST_INVALID', `Cannot make a version of scene "${scene}": ${why}`)
  for (const [name, range] of named) {
    if (!members.has(name)) throw refuse(`module "${name}" is not in its group (${[...members].join(', ')})`)
    if (semver.validRange(range) === null) throw refuse(`"${range}", named for module "${name}", is neither a version nor a range`)
  }
}

function lockModule(stage: string, { name, range }: ModuleReference, published: Published, request: LockRequest): LockedModule {
  const versions = publishedVersions(name, published)
  const wanted = request.named.get(name)
  const kept = wanted === undefined && !request.resolve ? keptModule(stage, name, range, versions, request.from) : undefined
  const { isProven } = request
  const best: Best = (...ranges) =>
    (isProven === undefined ? undefined : newest(versions.filter(isProven), ...ranges)) ?? newest(versions, ...ranges)
  const pick = kept ?? (wanted === undefined ? best(range) : pickNamed(name, wanted, range, versions, best))
  const { version, bundle, sourceMap, services, fetch } = requireStage(pick ?? refuseRange(name, [range], versions), stage)
  return {
    ...{ name, version, bundle },
    ...(sourceMap !== undefined && { sourceMap }),
    ...(services !== undefined && { services }),
    ...(fetch !== undefined && { fetch }),
  }
}

/**
 * The version that the lock has for the module in this stage, if it may stay. When the module has moved, its version in another stage
 * counts.
 */
function keptModule(stage: string, name: string, range: string, versions: readonly ModuleRecord[], from: Lock = []) {
  const locked = lockedModules([...from].sort((a, b) => Number(b.stage === stage) - Number(a.stage === stage)))
  const version = locked.find(module => module.name === name)?.version
  const record = versions.find(module => module.version === version)
  return record?.stages.includes(stage) && fits(record.version, range) ? record : undefined
}

/** The version to take of those that are in all of these ranges. */
type Best = (...ranges: string[]) => ModuleRecord | undefined

/** An exact version is taken as it is, even a prerelease. Of a range, the best version that is in the scene's range as well is taken. */
function pickNamed(name: string, wanted: string, range: string, versions: readonly ModuleRecord[], best: Best): ModuleRecord {
  if (semver.valid(wanted) === null) return best(wanted, range) ?? refuseRange(name, [wanted, range], versions)
  const exact = versions.find(({ version }) => version === wanted)
  if (exact === undefined) {
    throw new BerthError('MODULE_NOT_FOUND', `Cannot lock module "${name}" to ${wanted}: published are ${listVersions(versions)}`)
  }
  if (fits(wanted, range)) return exact
  throw new BerthError('MODULE_RANGE_UNSATISFIED', `Cannot lock module "${name}" to ${wanted}: the scene asks for "${range}"`)
}

/** The newest release in all ranges. A prerelease is taken only where a range names exactly it. */
function newest(versions: readonly ModuleRecord[], ...ranges: string[]): ModuleRecord | undefined {
  const matches = ({ version }: ModuleRecord) =>
    ranges.every(range => version === range || (semver.prerelease(version) === null && semver.satisfies(version, range)))
  return versions.filter(matches).sort((a, b) => semver.compareBuild(b.version, a.version))[0]
}

function publishedVersions(name: string, published: Published): readonly ModuleRecord[] {
  const versions = published(name)
  if (versions.length === 0) throw new BerthError('MODULE_NOT_FOUND', `Cannot find module "${name}": no version of it is published`)
  return versions
}

function requireStage(module: ModuleRecord, stage: string): ModuleRecord {
  if (module.stages.includes(stage)) return module
  const { name, version, stages } = module
  const message = `Cannot bind module "${name}" to stage "${stage}": version ${version} implements ${stages.join(', ')}`
  throw new BerthError('MODULE_LACKS_STAGE', message, { extra: { module: name, stage, stages } })
}

function refuseRange(name: string, ranges: readonly string[], versions: readonly ModuleRecord[]): never {
  const none = ranges.find(range => semver.validRange(range) === null)
  const dropped = versions.some(({ version }) => semver.prerelease(version) !== null)
  const hint = none !== undefined ? `; "${none}" is no semver range` : dropped ? '; prereleases are taken only when named exactly' : ''
  const message = `Cannot find a version of module "${name}" in "${ranges.join('" and "')}": published are ${listVersions(versions)}${hint}`
  const extra = { module: name, ranges, published: versions.map(({ version }) => version) }
  throw new BerthError('MODULE_RANGE_UNSATISFIED', message, { extra })
}

const LISTED_MAX = 10

function listVersions(versions: readonly ModuleRecord[]): string {
  const sorted = versions.map(({ version }) => version).sort(semver.rcompare)
  const more = sorted.length > LISTED_MAX ? ` and ${sorted.length - LISTED_MAX} older ones` : ''
  return `${sorted.slice(0, LISTED_MAX).join(', ')}${more}`
}
