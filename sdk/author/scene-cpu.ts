/** The CPU that the scenes of a project leave a module for a request: its tests run under the narrowest of these limits. */
import { globSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'

/** Milliseconds of CPU that a request may use in one go, and the id of the scene that says so. */
export interface CpuLimit {
  readonly ms: number
  readonly scene: string
}

/** Where a project keeps the files of its scenes, from the folder of the module or one above it. */
const SCENE_FILES = ['scenes/*.json', 'fixtures/scenes/*.json']
/** Folders above that of the module in which scenes are looked for. */
const LEVELS_UP = 4

/** What is read of the file of a scene. */
interface SceneFile {
  readonly id: string
  readonly group: readonly {
    readonly modules: readonly string[]
    readonly merge?: unknown
    readonly fallback?: { readonly module?: unknown }
  }[]
  readonly traffic?: { readonly deadlineMs?: number; readonly cpuMs?: number }
}

/**
 * The lowest limit of the scenes that have the module, of its own folder, or the nearest above it, with such a scene; undefined when there is none. Files
 * that are no scenes are passed over: to apply them says what is wrong with them. The deadlines of scenes do not hold in tests, because they are of the wall clock.
 * @param deadlineMs of a scene that sets none
 */
export async function sceneCpuLimit(folder: string, module: string, deadlineMs: number): Promise<CpuLimit | undefined> {
  let current = folder
  for (let level = 0; level <= LEVELS_UP; level++) {
    // "sdk init --scene" writes to the folder that it is run in, which is that of the module where a repository has one.
    const patterns = current === folder || current === process.cwd() ? ['*.json', ...SCENE_FILES] : SCENE_FILES
    const files = globSync(patterns, { cwd: current }).sort()
    const scenes = await Promise.all(files.map(file => readScene(join(current, file))))
    const limits = scenes.flatMap(scene => (scene !== undefined && has(scene, module) ? [limitOf(scene, deadlineMs)] : []))
    if (limits.length > 0) return limits.reduce((lowest, limit) => (limit.ms < lowest.ms ? limit : lowest))
    current = dirname(current)
  }
  return undefined
}

async function readScene(file: string): Promise<SceneFile | undefined> {
  try {
    const scene = JSON.parse(await readFile(file, 'utf8')) as Partial<SceneFile>
    return typeof scene.id === 'string' && Array.isArray(scene.group) ? (scene as SceneFile) : undefined
  } catch {
    return undefined
  }
}

function has({ group }: SceneFile, module: string): boolean {
  const wanted = group.flatMap(({ modules, merge, fallback }) => [...modules, merge, fallback?.module])
  return wanted.some(name => typeof name === 'string' && name.split('@')[0] === module)
}

function limitOf({ id, traffic: { deadlineMs, cpuMs } = {} }: SceneFile, otherwiseMs: number): CpuLimit {
  return { ms: cpuMs ?? (deadlineMs ?? otherwiseMs) / 4, scene: id }
}
