/**
 * Publishes the modules and scenes of a folder (by default, of this repository) on a running base, and prints what to type next. Running it again
 * changes nothing, and what somebody has changed on the base stays as it is. A module or scene with a fault is reported and left out. When it was
 * started with a channel to its parent, and the base is for development, it then brings every save online until the channel closes.
 */
import { readdir } from 'node:fs/promises'
import { basename, join, relative, resolve, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { SceneView } from '../base/contract/scene-api.ts'
import { DEFAULT_URL } from '../base/folder/find-base.ts'
import { messageOf } from '../base/kernel/errors.ts'
import { type Client, createClient } from '../sdk/api/client.ts'
import { findBaseHere } from '../sdk/api/local-base.ts'
import {
  modulesOf,
  publishBundle,
  retireSaves,
  storeDevelopment,
  updateScene,
  uploadBundle,
  type WantedModule,
} from '../sdk/api/publish-steps.ts'
import { type Bundler, openBundler } from '../sdk/bundle/bundle.ts'
import { originOf } from '../sdk/bundle/module-origin.ts'
import { applyScene, differences } from '../sdk/cli/commands/scene.ts'
import { describeLock } from '../sdk/cli/commands/version.ts'
import { readScene } from '../sdk/cli/files/scene-file.ts'
import { describeRoot, watchSaves } from '../sdk/cli/files/watch.ts'
import { colorsFor } from '../sdk/cli/terminal/colors.ts'
import { failureText } from '../sdk/cli/terminal/failure.ts'
import { createOutput } from '../sdk/cli/terminal/output.ts'
import { SdkError } from '../sdk/sdk-error.ts'

const root = resolve(process.argv[2] ?? fileURLToPath(new URL('..', import.meta.url)))
const fromHere = (path: string): string => relative(process.cwd(), join(root, path)) || '.'
const modulesFolder = fromHere('modules')
const scenesFolder = fromHere('fixtures/scenes')
const out = createOutput(false)
/** Labels of the versions that are made here. */
const labels = { first: 'first start', saved: 'saved' } as const
const bundlers = new Map<string, Bundler>()
/** The module that was last published or brought online, by its folder. */
const online = new Map<string, WantedModule>()
/** Folders of modules and files of scenes that had a fault at the start and have not been published since. */
const unfinished = new Set<string>()

try {
  const { url, token } = await findBaseHere()
  const client = createClient({ base: url, token })
  await main(client)
  if (process.channel && (await isForDevelopment(client))) await watch(client)
} catch (error) {
  // The base goes on serving; only the examples are missing or not up to date.
  reportFailure(error)
} finally {
  await Promise.all([...bundlers.values()].map(bundler => bundler.close()))
}

async function main(client: Client): Promise<void> {
  const startedAt = performance.now()
  const folders = (await readdir(modulesFolder, { withFileTypes: true })).filter(entry => entry.isDirectory())
  const published = await Promise.all(folders.map(({ name }) => attempt(client, join(modulesFolder, name), publishModule)))
  const files = (await readdir(scenesFolder)).filter(name => name.endsWith('.json')).sort()
  for (const file of files) await attempt(client, join(scenesFolder, file), defineScene)
  const count = published.filter(created => created).length
  process.send?.('published')
  if (count > 0) out.say(`Published ${count} modules in ${Math.round(performance.now() - startedAt)} ms.`)
  await sayWhatIsLive(client)
}

/** A base that serves gets modules and scenes that it lacks, and nothing that answers already is replaced there. */
async function isForDevelopment(client: Client): Promise<boolean> {
  return (await client.status()).mode === 'development'
}

/**
 * Does the work for one module or scene. A failure is reported and must not keep the others from being published. It is tried again when the file,
 * or a module that the scene needs, is saved.
 */
async function attempt<T>(client: Client, path: string, work: (client: Client, path: string) => Promise<T>): Promise<T | undefined> {
  try {
    const result = await work(client, path)
    unfinished.delete(path)
    return result
  } catch (error) {
    reportFailure(error)
    unfinished.add(path)
    return undefined
  }
}

/** Prints an error of the sdk or the base. @throws any other error */
function reportFailure(error: unknown): void {
  if (!(error instanceof SdkError)) throw error
  process.stderr.write(`${failureText(error)}\n`)
  process.exitCode = error.exit
}

function bundlerOf(folder: string): Bundler {
  const known = bundlers.get(folder)
  if (known !== undefined) return known
  const made = openBundler(folder, { color: colorsFor(process.stderr).isColorSupported })
  bundlers.set(folder, made)
  return made
}

/**
 * Publishes a module under the version of its package.json, unless that version exists already. If it does and the code has changed while a base for
 * development was down, the new code is brought online as a save would be, except in scenes whose baseline somebody has chosen by hand.
 * @returns whether the module is new on the base
 */
async function publishModule(client: Client, folder: string): Promise<boolean> {
  const bundle = await bundlerOf(folder).bundle()
  const { name, version } = bundle.manifest
  const origin = originOf(folder, bundle.inputs)
  const published = await client.modules(name)
  if (!published.some(module => module.version === version)) {
    await uploadBundle(client, bundle)
    online.set(folder, await publishBundle(client, bundle, await origin))
    return true
  }
  const module = await storeDevelopment(client, bundle, origin)
  online.set(folder, module)
  const isNew = !published.some(({ version }) => version === module.version)
  if (isNew && (await isForDevelopment(client))) await switchScenes(client, module, scene => isOwnBaseline(client, scene, module))
  return false
}

/** Whether the baseline of the scene was made here. Says so if it was not. */
async function isOwnBaseline(client: Client, { definition: { id }, baseline }: SceneView, { name }: WantedModule): Promise<boolean> {
  const label = (await client.versions(id)).find(version => version.id === baseline)?.label
  const isOwn = label === labels.first || label === labels.saved
  if (!isOwn)
    out.warn(`${name} has changed, and ${id} stays with ${baseline}, which somebody made its baseline. A save of ${name} replaces it.`)
  return isOwn
}

async function defineScene(client: Client, file: string): Promise<void> {
  const definition = await readScene(file)
  const { id } = definition
  const there = (await client.scenes()).find(scene => scene.definition.id === id)
  const scene = there ?? (await client.putScene(definition, undefined))
  if (differences('', scene.definition, definition).length > 0) {
    out.warn(
      `The scene ${id} of the base differs from ${file} and stays as it is. To apply the file: ${sdkLine(client, `scene apply ${file}`)}`,
    )
  }
  if (scene.baseline === null) await client.createVersion(id, { as: 'baseline', label: labels.first })
}

async function sayWhatIsLive(client: Client): Promise<void> {
  const scenes = (await client.scenes()).filter(({ baseline }) => baseline !== null)
  const rows = scenes.map(async ({ definition: { id }, baseline }) => {
    const version = (await client.versions(id)).find(({ id }) => id === baseline)
    return [id, baseline ?? '', describeLock(version?.lock ?? [])]
  })
  out.say('')
  out.table(['scene', 'live', 'modules'], await Promise.all(rows))
  const { port } = await client.status()
  const request = fromHere('fixtures/requests/fashion-men.json')
  out.say(`
Call a scene:
  curl -s http://${client.base.hostname}:${port}/scenes/fashion-men -H 'content-type: application/json' -H 'x-unit-id: u1' -d @${request}
Change ${join(modulesFolder, 'rank-lr', 'index.ts')}: the new code answers as soon as you save. To publish it as a version that lasts:
  ${sdkLine(client, `publish ${join(modulesFolder, 'rank-lr')} --bump patch --scene fashion-men --as baseline`)}
The control API, with a page to try it:
  ${new URL('/docs', client.base).href}`)
}

/** A command to type, with the options that the sdk needs to find this base from any folder if it is not at the default address. */
function sdkLine({ base }: Client, args: string): string {
  const data = process.env.BERTH_DATA
  const elsewhere = data !== undefined && resolve(data) !== resolve('.berth')
  const option = base.origin === DEFAULT_URL ? '' : ` --base ${base.origin}`
  return `${elsewhere ? `BERTH_DATA=${data} ` : ''}npx sdk ${args}${option}`
}

// Saves

/** Brings saves online until the parent process ends or closes the channel. */
async function watch(client: Client): Promise<void> {
  const disconnected = new Promise(done => process.once('disconnect', done))
  const roots = [modulesFolder, scenesFolder].map(folder => resolve(folder))
  const onSave = async (subject: string, savedAt: number) => {
    try {
      const lines = subject.endsWith('.json') ? await saveScene(client, subject) : await saveModule(client, subject)
      unfinished.delete(subject)
      for (const line of lines) out.say(`${line}, ${Math.round(performance.now() - savedAt)} ms after saving`)
    } catch (error) {
      if (!(error instanceof SdkError)) throw error
      process.stderr.write(`${failureText(error)}\n  What answered before goes on answering.\n`)
    }
    return []
  }
  const watching = await watchSaves({ roots, subjectOf, onSave, onRoot: event => out.warn(describeRoot(event)) })
  process.send?.('watching')
  await disconnected
  await watching.close()
}

/** What a changed file belongs to: the folder of a module or the file of a scene; undefined for any other file. */
function subjectOf(path: string): string | undefined {
  const [modules, scenes] = [resolve(modulesFolder), resolve(scenesFolder)]
  if (path.startsWith(scenes + sep)) return path.endsWith('.json') ? relative(process.cwd(), path) : undefined
  const [name = ''] = relative(modules, path).split(sep)
  const isInModule = path.startsWith(join(modules, name) + sep) && !path.endsWith('.test.ts')
  return isInModule ? join(modulesFolder, name) : undefined
}

/** @returns lines to print; none when the base has this code already */
async function saveModule(client: Client, folder: string): Promise<string[]> {
  if (unfinished.has(folder)) return finish(client, folder)
  const bundle = await bundlerOf(folder).bundle()
  const module = await storeDevelopment(client, bundle, originOf(folder, bundle.inputs))
  if (module.version === online.get(folder)?.version) return []
  const scenes = await switchScenes(client, module)
  online.set(folder, module)
  return [`${module.name} ${module.version} ${scenes.length === 0 ? 'is in no scene' : `answers in ${scenes.join(', ')}`}`]
}

/** Does for a module what failed at the start: publishes it, and then defines the scenes that needed it. */
async function finish(client: Client, folder: string): Promise<string[]> {
  await publishModule(client, folder)
  unfinished.delete(folder)
  const files = [...unfinished].filter(path => path.endsWith('.json'))
  for (const file of files) await attempt(client, file, defineScene)
  const module = online.get(folder)
  const scenes = files.filter(file => !unfinished.has(file)).map(file => basename(file, '.json'))
  return [`${module?.name} ${module?.version} is published${scenes.length === 0 ? '' : `, and ${scenes.join(', ')} answers`}`]
}

/**
 * Makes the module part of the baseline of every scene that uses it, and that `may` allows.
 * @returns `fashion-men (v2)` for each scene that was changed
 */
async function switchScenes(
  client: Client,
  module: WantedModule,
  may: (scene: SceneView) => Promise<boolean> = async () => true,
): Promise<string[]> {
  const scenes = (await client.scenes()).filter(({ definition, baseline }) => baseline !== null && modulesOf(definition).has(module.name))
  const changes = scenes.map(async scene => {
    if (!(await may(scene))) return []
    const { id } = scene.definition
    const { switched, created, version } = await updateScene(client, id, [module], { as: 'baseline', label: labels.saved })
    // The new version answers already, so a failure to retire old versions is only a warning.
    if (created) {
      const warn = (error: unknown) => out.warn(`The versions of earlier saves of ${id} stay online: ${messageOf(error)}`)
      await retireSaves(client, version).catch(warn)
    }
    return switched ? [`${id} (${version.id})`] : []
  })
  return (await Promise.all(changes)).flat()
}

async function saveScene(client: Client, file: string): Promise<string[]> {
  const { scene, changes } = await applyScene(client, await readScene(file), { params: true })
  const { id } = scene.definition
  if (scene.baseline === null) await client.createVersion(id, { as: 'baseline', label: labels.saved })
  if (changes === 'new') return [`${id} is new`]
  return changes.length === 0 ? [] : [`${id}: ${changes.join(', ')}`]
}
