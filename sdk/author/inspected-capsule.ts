/** Answers a capsule again in this process, where a debugger finds the sources of its modules: files of this machine where they are the same, else what was published. */
import { existsSync, globSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { NewCall } from '../../base/capsule/answered.ts'
import type { CapturedAnswer, ExportedCapsule } from '../../base/capsule/capsule.ts'
import type { LockedModule } from '../../base/traffic/schema.ts'
import { lockedModules } from '../../base/traffic/table.ts'
import type { DebuggedParts } from '../../base/trial/debugged-capsule.ts'
import { bundleModule } from '../bundle/bundle.ts'
import { printedAgain, withSourceMap } from '../bundle/for-debugger.ts'
import { exitCodes, SdkError } from '../sdk-error.ts'

export interface Inspection extends Pick<DebuggedParts, 'beforeRequest' | 'onRejection'> {
  /** Folders of modules that answer as they are now, each in the place of the one of its name. Then earlier requests of the same slot do not run. */
  readonly others: readonly string[]
  /** Takes the path of a source that is another here than the one that has answered. */
  onOther(path: string): void
}

export interface Inspected {
  /** Undefined when there was none: there was none then, or something else was asked for than the capsule has replies to. */
  readonly answer: CapturedAnswer | undefined
  /** What was asked for that the capsule has no reply to, and failed therefore. */
  readonly newCalls: readonly NewCall[]
}

/** @throws SdkError CAPSULE_INVALID, USAGE, and those of bundling */
export async function inspectCapsule(exported: ExportedCapsule, inspection: Inspection): Promise<Inspected> {
  const { answerHere, replayHere } = await import('../../base/trial/debugged-capsule.ts')
  const here = moduleFolders()
  const published = (module: LockedModule) => publishedCode(exported, module, here.get(module.name), inspection.onOther)
  if (inspection.others.length === 0) return { answer: await replayHere(exported, { ...inspection, codeOf: published }), newCalls: [] }
  const others = new Map((await Promise.all(inspection.others.map(bundledFor(exported)))).map(other => [other.module.name, other]))
  return answerHere(exported, module => others.get(module.name)?.module ?? module, {
    ...inspection,
    codeOf: async module => others.get(module.name)?.code ?? published(module),
  })
}

/** A module as it is now in its folder, for the lock of the capsule. */
const bundledFor =
  ({ head }: ExportedCapsule) =>
  async (folder: string): Promise<{ readonly module: LockedModule; readonly code: string }> => {
    const { manifest, code, sourceMap, digest } = await bundleModule(folder, { forDebugger: true })
    const { name, version, services, fetch } = manifest
    const names = lockedModules(head.lock).map(module => module.name)
    if (!names.includes(name)) {
      const hint = `Name the folder of one of these: ${names.join(', ')}.`
      throw new SdkError('USAGE', `Cannot run "${folder}": no module of ${head.scene} ${head.version} is named ${name}`, {
        hint,
        exit: exitCodes.usage,
      })
    }
    const module = { name, version, bundle: digest, ...(services && { services }), ...(fetch && { fetch }) }
    return { module, code: withSourceMap(code, sourceMap, source => pathToFileURL(resolve(folder, source)).href) }
  }

async function publishedCode(
  exported: ExportedCapsule,
  { name, version, bundle, sourceMap }: LockedModule,
  folder: string | undefined,
  onOther: Inspection['onOther'],
): Promise<string> {
  const [code, map] = [exported.blobs[bundle], exported.blobs[sourceMap ?? '']]
  if (code === undefined) throw withoutCode(exported, `${name}@${version}`)
  if (map === undefined) return code
  const printed = await printedAgain(code, map)
  const urls = urlsOf(map, folder, `berth:///${name}@${version}/`, onOther)
  return withSourceMap(printed.code, printed.sourceMap, source => urls.get(source) ?? source)
}

function withoutCode({ capsule }: ExportedCapsule, module: string): SdkError {
  const hint = `Export it again where it was captured: sdk capsule export ${capsule.scene} ${capsule.id}`
  return new SdkError('CAPSULE_INVALID', `Cannot run capsule ${capsule.id}: the code of ${module} is not in it`, { hint })
}

/** URLs of the sources of a map: those of files in the folder with the same text, else with `prefix` before them. */
function urlsOf(
  sourceMap: string,
  folder: string | undefined,
  prefix: string,
  onOther: Inspection['onOther'],
): ReadonlyMap<string, string> {
  const { sources, sourcesContent } = JSON.parse(sourceMap) as {
    readonly sources: readonly string[]
    readonly sourcesContent: readonly string[]
  }
  const urlOf = (source: string, content: string | undefined): string => {
    const path = folder === undefined ? undefined : join(folder, source)
    if (path !== undefined && existsSync(path)) {
      if (readFileSync(path, 'utf8') === content) return pathToFileURL(resolve(path)).href
      onOther(path)
    }
    return prefix + source
  }
  return new Map(sources.map((source, i) => [source, urlOf(source, sourcesContent[i])]))
}

/** The folders of modules by the names of the modules: this folder, and those in `modules`. */
function moduleFolders(): ReadonlyMap<string, string> {
  const files = ['package.json', ...globSync('modules/*/package.json')].filter(existsSync)
  return new Map(files.map(file => [nameIn(readFileSync(file, 'utf8')), join(file, '..')]))
}

/** Empty when the text names no module. */
function nameIn(json: string): string {
  try {
    const { name } = Object(JSON.parse(json)) as { readonly name?: unknown }
    return String(name ?? '')
  } catch {
    return ''
  }
}
