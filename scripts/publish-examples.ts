/**
 * Publishes the modules and scenes of a folder, else of this repository, on a running base, and says what to type next. Run again it
 * changes nothing; what somebody changed on the base stays as it is, and what is wrong is told and left out. Started with a channel, it then
 * brings every save online until that closes.
 */
import { readdir } from 'node:fs/promises'
import { basename, join, relative, resolve, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { messageOf } from '../base/kernel/errors.ts'
import { type Client, createClient, DEFAULT_BASE } from '../sdk/api/client.ts'
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
import { applyScene, differences, readScene } from '../sdk/cli/commands/scene.ts'
import { describeLock } from '../sdk/cli/commands/version.ts'
import { watchSaves } from '../sdk/cli/files/watch.ts'
import { colorsFor } from '../sdk/cli/terminal/colors.ts'
import { failureText } from '../sdk/cli/terminal/failure.ts'
import { createOutput } from '../sdk/cli/terminal/output.ts'
import { SdkError } from '../sdk/sdk-error.ts'

const root = resolve(process.argv[2] ?? fileURLToPath(new URL('..', import.meta.url)))
const fromHere = (path: string): string => relative(process.cwd(), join(root, path)) || '.'
const modulesFolder = fromHere('modules')
const scenesFolder = fromHere('fixtures/scenes')
const out = createOutput(false)
const bundlers = new Map<string, Bundler>()
/** What each module was published or brought online as last, by its folder. */
const online = new Map<string, WantedModule>()
/** Folders of modules and files of scenes that something was wrong with when this started. */
const unfinished = new Set<string>()

try {
  const client = createClient()
  await main(client)
  if (process.channel) await watch(client)
} catch (error) {
  // The base serves on; only the examples are missing, or not as in the repository.
  tellFailure(error)
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
  if (count > 0) out.say(`Published ${count} modules in ${Math.round(performance.now() - startedAt)} ms.`)
  await sayWhatIsLive(client)
}

/** What fails is told, and tried again when it is saved, or a module that a scene waits for is: it must not keep the rest from answering. */
async function attempt<T>(client: Client, path: string, work: (client: Client, path: string) => Promise<T>): Promise<T | undefined> {
  try {
    const result = await work(client, path)
    unfinished.delete(path)
    return result
  } catch (error) {
    tellFailure(error)
    unfinished.add(path)
    return undefined
  }
}

/** @throws what is no finding of the sdk or the base */
function tellFailure(error: unknown): void {
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
 * The first time under the version of its package.json. Once that is taken by other code, what changed while the base was down goes
 * online as a save would.
 * @returns whether it is new on the base
 */
async function publishModule(client: Client, folder: string): Promise<boolean> {
  const bundle = await bundlerOf(folder).bundle()
  const { name, version } = bundle.manifest
  const published = await client.modules(name)
  if (!published.some(module => module.version === version)) {
    await uploadBundle(client, bundle)
    online.set(folder, await publishBundle(client, bundle))
    return true
  }
  const module = await storeDevelopment(client, bundle)
  online.set(folder, module)
  if (!published.some(({ version }) => version === module.version)) await switchScenes(client, module)
  return false
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
  if (scene.baseline === null) await client.createVersion(id, { as: 'baseline', label: 'first start' })
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

/** A line to type that reaches this base also when it is not where the sdk looks by itself. */
function sdkLine({ base }: Client, args: string): string {
  const data = process.env.BERTH_DATA
  const elsewhere = data !== undefined && resolve(data) !== resolve('.berth')
  const option = base.origin === new URL(DEFAULT_BASE).origin ? '' : ` --base ${base.origin}`
  return `${elsewhere ? `BERTH_DATA=${data} ` : ''}npx sdk ${args}${option}`
}

// Saves

/** Until the process that started this one is gone, or closes the channel. */
async function watch(client: Client): Promise<void> {
  const disconnected = new Promise(done => process.once('disconnect', done))
  const roots = [modulesFolder, scenesFolder].map(folder => resolve(folder))
  const watching = await watchSaves(roots, subjectOf, async (subject, savedAt) => {
    try {
      const lines = subject.endsWith('.json') ? await saveScene(client, subject) : await saveModule(client, subject)
      unfinished.delete(subject)
      for (const line of lines) out.say(`${line}, ${Math.round(performance.now() - savedAt)} ms after saving`)
    } catch (error) {
      if (!(error instanceof SdkError)) throw error
      process.stderr.write(`${failureText(error)}\n  What answered before goes on answering.\n`)
    }
    return []
  })
  process.send?.('watching')
  await disconnected
  await watching.close()
}

/** The folder of a module, or the file of a scene. */
function subjectOf(path: string): string | undefined {
  const [modules, scenes] = [resolve(modulesFolder), resolve(scenesFolder)]
  if (path.startsWith(scenes + sep)) return path.endsWith('.json') ? relative(process.cwd(), path) : undefined
  const [name = ''] = relative(modules, path).split(sep)
  const isInModule = path.startsWith(join(modules, name) + sep) && !path.endsWith('.test.ts')
  return isInModule ? join(modulesFolder, name) : undefined
}

/** @returns nothing when the base has it so already */
async function saveModule(client: Client, folder: string): Promise<string[]> {
  if (unfinished.has(folder)) return finish(client, folder)
  const bundle = await bundlerOf(folder).bundle()
  const module = await storeDevelopment(client, bundle)
  if (module.version === online.get(folder)?.version) return []
  const scenes = await switchScenes(client, module)
  online.set(folder, module)
  return [`${module.name} ${module.version} ${scenes.length === 0 ? 'is in no scene' : `answers in ${scenes.join(', ')}`}`]
}

/** As at the start: the module, and then the scenes that were waiting for it. */
async function finish(client: Client, folder: string): Promise<string[]> {
  await publishModule(client, folder)
  unfinished.delete(folder)
  const files = [...unfinished].filter(path => path.endsWith('.json'))
  for (const file of files) await attempt(client, file, defineScene)
  const module = online.get(folder)
  const scenes = files.filter(file => !unfinished.has(file)).map(file => basename(file, '.json'))
  return [`${module?.name} ${module?.version} is published${scenes.length === 0 ? '' : `, and ${scenes.join(', ')} answers`}`]
}

/** Makes the module part of the baseline of every scene that has it. @returns `fashion-men (v2)` for each that it was not part of yet */
async function switchScenes(client: Client, module: WantedModule): Promise<string[]> {
  const scenes = (await client.scenes()).filter(({ definition, baseline }) => baseline !== null && modulesOf(definition).has(module.name))
  const changes = scenes.map(async ({ definition: { id } }) => {
    const { switched, created, version } = await updateScene(client, id, [module], { as: 'baseline', label: 'saved' })
    // The new one answers already, whatever becomes of the old ones.
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
  if (scene.baseline === null) await client.createVersion(id, { as: 'baseline', label: 'saved' })
  if (changes === 'new') return [`${id} is new`]
  return changes.length === 0 ? [] : [`${id}: ${changes.join(', ')}`]
}
