/** Answers a capsule again in this process, where a debugger finds the sources of its modules: files of this machine where they are the same, else what was published. */
import { existsSync, globSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { CapturedAnswer, ExportedCapsule } from '../../base/capsule/capsule.ts'
import type { DebuggedParts } from '../../base/trial/debugged-capsule.ts'
import { printedAgain, withSourceMap } from '../bundle/for-debugger.ts'
import { SdkError } from '../sdk-error.ts'

export interface Inspection extends Pick<DebuggedParts, 'beforeRequest' | 'onRejection'> {
  /** Takes the path of a source that is another here than the one that has answered. */
  onOther(path: string): void
}

/**
 * @returns undefined when there was no answer: it had none then, or something else was asked for than the capsule has replies to
 * @throws SdkError CAPSULE_INVALID
 */
export async function inspectCapsule(exported: ExportedCapsule, inspection: Inspection): Promise<CapturedAnswer | undefined> {
  const { answerHere } = await import('../../base/trial/debugged-capsule.ts')
  const folders = moduleFolders()
  return answerHere(exported, {
    ...inspection,
    codeOf: async ({ name, version, bundle, sourceMap }) => {
      const [code, map] = [exported.blobs[bundle], exported.blobs[sourceMap ?? '']]
      if (code === undefined) throw withoutCode(exported, `${name}@${version}`)
      if (map === undefined) return code
      const printed = await printedAgain(code, map)
      const urls = urlsOf(map, folders.get(name), `berth:///${name}@${version}/`, inspection.onOther)
      return withSourceMap(printed.code, printed.sourceMap, source => urls.get(source) ?? source)
    },
  })
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
