/** Reads source maps in a thread of its own, with a bound on memory and time: whatever a map is, the keeper answers meanwhile. */
import { Worker } from 'node:worker_threads'
import type { CpuProfile } from '../contract/profile-api.ts'
import { BerthError, messageOf } from '../kernel/errors.ts'
import { sourceMapWorkerPath } from '../kernel/installation.ts'
import { limits } from '../kernel/limits.ts'
import { type Located, type MappedModule, modulesIn, type Stacks, unread } from '../kernel/stacks.ts'

/** What the thread is to do. Maps are texts by their digest. */
export type SourceMapTask =
  | {
      readonly type: 'locate'
      readonly maps: ReadonlyMap<string, string>
      readonly stack: string
      readonly modules: readonly MappedModule[]
    }
  | {
      readonly type: 'mapProfile'
      readonly maps: ReadonlyMap<string, string>
      readonly profile: string
      readonly modules: readonly MappedModule[]
    }

export class SourceMapThread implements Stacks {
  readonly #readBlob: (digest: string) => Promise<Buffer>

  /** @param readBlob reads a source map by its digest */
  constructor(readBlob: (digest: string) => Promise<Buffer>) {
    this.#readBlob = readBlob
  }

  async locate(stack: string, modules: Iterable<MappedModule>): Promise<Located> {
    const mapped = modulesIn(stack, modules)
    try {
      return JSON.parse(
        await run({ type: 'locate', stack, modules: mapped, maps: await this.#read(mapped) }, limits.sourceMap.msMax),
      ) as Located
    } catch (error) {
      return unread(stack, `their source map cannot be read: ${messageOf(error)}`)
    }
  }

  /**
   * JSON of the profile with every function of these modules at its place in the source. Those of a module whose map is refused stay as they are.
   * @throws PROFILE_FAILED
   */
  async mapProfile(profile: CpuProfile, modules: readonly MappedModule[]): Promise<string> {
    const task = { type: 'mapProfile', profile: JSON.stringify(profile), modules, maps: await this.#read(modules) } as const
    try {
      return await run(task, limits.sourceMap.profileMsMax)
    } catch (cause) {
      throw new BerthError('PROFILE_FAILED', `Cannot profile the slot: its source maps cannot be read: ${messageOf(cause)}`, { cause })
    }
  }

  async #read(modules: readonly MappedModule[]): Promise<Map<string, string>> {
    const digests = new Set(modules.flatMap(({ sourceMap }) => sourceMap ?? []))
    const read = async (digest: string) => [digest, (await this.#readBlob(digest)).toString('utf8')] as const
    return new Map(await Promise.all([...digests].map(read)))
  }
}

/** Each task has a thread, which ends with it: they are few, and none of them is waited for by a caller of a scene. */
async function run(task: SourceMapTask, msMax: number): Promise<string> {
  const resourceLimits = { maxOldGenerationSizeMb: limits.sourceMap.threadMemoryMB }
  const worker = new Worker(sourceMapWorkerPath, { workerData: task, resourceLimits, env: {} })
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const timer = setTimeout(() => reject(new Error(`it took over ${msMax} ms`)), msMax)
  worker.once('message', resolve)
  worker.once('error', reject)
  worker.once('exit', () => reject(new Error('its thread has ended')))
  try {
    return await promise
  } finally {
    clearTimeout(timer)
    await worker.terminate()
  }
}
