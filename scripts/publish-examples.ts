/**
 * Publishes the modules and scenes of this repository on a running base, and says what to type next. Run again it changes nothing; what
 * somebody changed on the base stays as it is.
 */
import { readdir } from 'node:fs/promises'
import { join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { bundleModule } from '../sdk/bundle.ts'
import { differences, readScene } from '../sdk/commands/scene.ts'
import { describeLock } from '../sdk/commands/version.ts'
import { type Client, createClient, DEFAULT_BASE } from '../sdk/control.ts'
import { RefusedError, SdkError } from '../sdk/errors.ts'
import { createOutput } from '../sdk/output.ts'
import { publishBundle, uploadBundle } from '../sdk/publish.ts'

const fromHere = (path: string): string => relative(process.cwd(), fileURLToPath(new URL(`../${path}`, import.meta.url))) || '.'
const modulesFolder = fromHere('modules')
const scenesFolder = fromHere('fixtures/scenes')
const out = createOutput(false)

try {
  await main(createClient())
} catch (error) {
  // The base serves on; only the examples are missing, or not as in the repository.
  if (!(error instanceof SdkError)) throw error
  out.warn(`Not everything was published: ${error.message}\n  ${error.code}: ${error.hint ?? ''}`)
  process.exitCode = error.exit
}

async function main(client: Client): Promise<void> {
  const startedAt = performance.now()
  const folders = (await readdir(modulesFolder, { withFileTypes: true })).filter(entry => entry.isDirectory())
  const published = await Promise.all(folders.map(({ name }) => publishModule(client, join(modulesFolder, name))))
  const files = (await readdir(scenesFolder)).filter(name => name.endsWith('.json')).sort()
  for (const file of files) await applyScene(client, join(scenesFolder, file))
  const count = published.filter(created => created).length
  if (count > 0) out.say(`Published ${count} modules in ${Math.round(performance.now() - startedAt)} ms.`)
  await sayWhatIsLive(client)
}

/** @returns whether it is new on the base */
async function publishModule(client: Client, folder: string): Promise<boolean> {
  const bundle = await bundleModule(folder)
  try {
    await uploadBundle(client, bundle)
    return (await publishBundle(client, bundle)).created
  } catch (error) {
    if (!(error instanceof RefusedError && error.code === 'MODULE_EXISTS')) throw error
    const { name, version } = bundle.manifest
    out.warn(`${folder} has changed, and ${name} ${version} as published before stays online.`)
    out.warn(`  To publish the change: ${sdkLine(client, `publish ${folder} --bump patch --scene SCENE --as baseline`)}`)
    return false
  }
}

async function applyScene(client: Client, file: string): Promise<void> {
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
Change ${join(modulesFolder, 'rank-lr', 'index.ts')}, then see the new code answer:
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
