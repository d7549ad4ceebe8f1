/** Which versions of a module may be deleted: those that no version of a scene has in its lock. */
import { checkGroup, type Published, resolveLock } from '../../change/lock.ts'
import { type ModuleRecord, moduleKey, versionKey } from '../../change/records.ts'
import type { ModulesToDelete } from '../../contract/module-api.ts'
import { BerthError } from '../../kernel/errors.ts'
import { lockedModules } from '../../traffic/table.ts'
import type { Book } from '../book/book.ts'

/** How many users of a module a message names. */
const USERS_NAMED = 12

/**
 * The versions to delete, of those that are asked for. Those that were deleted before are not among them.
 * @throws MODULE_NOT_FOUND; MODULE_IN_USE, unless only unused ones are asked for
 */
export function modulesToDelete(
  book: Book,
  name: string,
  { versions, unused = false, publishedBefore }: ModulesToDelete,
): readonly ModuleRecord[] {
  const there = book.modules.list(name)
  requireKnown(book, name, versions, there)
  const users = usersOf(book, name)
  const isAsked = ({ version, publishedAt }: ModuleRecord) =>
    (versions?.includes(version) ?? true) && (publishedBefore === undefined || Date.parse(publishedAt) < Date.parse(publishedBefore))
  const asked = there.filter(isAsked)
  const modules = unused ? asked.filter(({ version }) => !users.has(version)) : asked
  const used = modules.find(({ version }) => users.has(version))
  if (used !== undefined) throw inUse(moduleKey(name, used.version), users.get(used.version) ?? [])
  const left = there.filter(module => !modules.includes(module))
  const cut = scenesCut(book, name, left)
  if (cut.length === 0) return modules
  if (unused) return cut.reduce<readonly ModuleRecord[]>((others, scene) => withoutFirst(book, scene, others), modules)
  throw inUse(
    name,
    cut.map(scene => `scene "${scene}", which has no other version of it in its range`),
  )
}

/** @throws MODULE_NOT_FOUND for what was never published */
function requireKnown(book: Book, name: string, versions: readonly string[] | undefined, there: readonly ModuleRecord[]): void {
  const known = new Set(there.map(({ version }) => version))
  const missing = versions?.find(version => !known.has(version) && book.modules.deleted(name, version) === undefined)
  if (missing !== undefined) book.modules.get(name, missing)
  if (versions !== undefined || there.length > 0 || book.modules.anyDeleted(name)) return
  throw new BerthError('MODULE_NOT_FOUND', `Cannot find module "${name}": no version of it is published`)
}

/** By version of the module, the versions of scenes that have it in their lock, also those that are offline. */
function usersOf({ scenes }: Book, name: string): Map<string, string[]> {
  const users = new Map<string, string[]>()
  for (const scene of scenes.ids()) {
    for (const { id, lock } of scenes.versions(scene)) {
      const used = new Set(lockedModules(lock).flatMap(module => (module.name === name ? [module.version] : [])))
      for (const version of used) users.set(version, [...(users.get(version) ?? []), versionKey(scene, id)])
    }
  }
  return users
}

/** The scenes that could make a version now, and could make none if only these versions of the module were left. */
function scenesCut({ scenes, modules }: Book, name: string, left: readonly ModuleRecord[]): string[] {
  const published: Published = other => modules.list(other)
  const after: Published = other => (other === name ? left : modules.list(other))
  const canMake = (scene: string, found: Published) => {
    try {
      checkGroup(scenes.get(scene).definition, found)
      return true
    } catch {
      return false
    }
  }
  return scenes.ids().filter(scene => !canMake(scene, after) && canMake(scene, published))
}

/** The modules without those that the scene would take now; none when it would take no release, since any of them may be named for it. */
function withoutFirst({ scenes, modules }: Book, scene: string, candidates: readonly ModuleRecord[]): readonly ModuleRecord[] {
  try {
    const ranges = { named: new Map(), resolve: true, from: undefined }
    const taken = lockedModules(resolveLock(scenes.get(scene).definition, other => modules.list(other), ranges))
    return candidates.filter(({ name, version }) => !taken.some(module => module.name === name && module.version === version))
  } catch {
    return []
  }
}

function inUse(module: string, uses: readonly string[]): BerthError {
  const named = uses.slice(0, USERS_NAMED)
  const more = uses.length > named.length ? ` and ${uses.length - named.length} more` : ''
  return new BerthError('MODULE_IN_USE', `Cannot delete module "${module}": it is used by ${named.join(', ')}${more}`, {
    extra: { uses: named },
  })
}
