/** The thread of `source-map-thread.ts`: does one task, and answers with JSON. */
import { parentPort, workerData } from 'node:worker_threads'
import type { CpuProfile } from '../contract/profile-api.ts'
import { limits } from '../kernel/limits.ts'
import { openSourceMap, type SourceMap, SourceMapFault } from '../kernel/source-map.ts'
import { locate } from '../kernel/stacks.ts'
import { mapProfile } from './cells/cpu-profile.ts'
import type { SourceMapTask } from './source-map-thread.ts'

function locateIn({ stack, modules, maps }: Extract<SourceMapTask, { readonly type: 'locate' }>): string {
  return JSON.stringify(locate(stack, modules, digest => open(maps, digest)))
}

function profileIn({ profile, modules, maps }: Extract<SourceMapTask, { readonly type: 'mapProfile' }>): string {
  const opened = new Map<string, SourceMap>()
  for (const { name, version, sourceMap = '' } of modules) {
    try {
      opened.set(`${name}@${version}`, open(maps, sourceMap))
    } catch (error) {
      if (!(error instanceof SourceMapFault)) throw error
      // A base of an older Berth took any text as a source map. Functions of such a module have their places in the bundle.
    }
  }
  return JSON.stringify(mapProfile(JSON.parse(profile) as CpuProfile, module => opened.get(module)?.map))
}

function open(maps: ReadonlyMap<string, string>, digest: string): SourceMap {
  return openSourceMap(maps.get(digest) ?? '', limits.sourceMap)
}

const task = workerData as SourceMapTask
parentPort?.postMessage(task.type === 'locate' ? locateIn(task) : profileIn(task))
