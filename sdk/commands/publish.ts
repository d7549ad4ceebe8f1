/** `sdk publish`: bundle, check, upload, publish, and bring it online in scenes. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import semver from 'semver'
import { type Bundle, bundleModule } from '../bundle.ts'
import { colorsFor } from '../colors.ts'
import type { Context } from '../context.ts'
import type { AppliedCells, Client, Timings } from '../control.ts'
import { SdkError } from '../errors.ts'
import { describeCells, describeTimings, formatBytes, type Output, timed } from '../output.ts'
import { publishBundle, updateScene, uploadBundle } from '../publish.ts'

export type Bump = 'patch' | 'minor' | 'major'

export interface PublishOptions {
  readonly scene?: readonly string[]
  readonly as?: 'baseline'
  readonly bump?: Bump
  readonly label?: string
  readonly reason?: string
  readonly dryRun?: boolean
}

interface PublishedModule {
  readonly name: string
  readonly version: string
  /** sha256 of the bundle, hex. */
  readonly bundle: string
  readonly bytes: number
  /** False when the base had exactly this already, or on a dry run. */
  readonly created: boolean
  readonly timings: Timings
}

interface OnlineScene {
  readonly scene: string
  readonly version: string
  /** False when a version with exactly this lock was there already. */
  readonly created: boolean
  readonly isBaseline: boolean
  /** Whether this made it the baseline. */
  readonly switched: boolean
  readonly cells: AppliedCells
  readonly timings: Timings
}

/** Everything is bundled and every scene looked up before anything is sent; then the modules, then each scene with all of them together. */
export async function publish({ client, out }: Context, folders: readonly string[], options: PublishOptions): Promise<void> {
  const drafts: Draft[] = []
  for (const folder of folders) drafts.push(await draftOf(client, folder, options))
  const sceneIds = options.dryRun ? [] : (options.scene ?? [])
  await Promise.all(sceneIds.map(id => client.scene(id)))
  const send = options.dryRun ? pretend : (bundle: Bundle) => sendBundle(client, out, bundle)
  const modules: PublishedModule[] = []
  for (const draft of drafts) modules.push(await publishDraft(out, draft, options.dryRun === true, send))
  const scenes: OnlineScene[] = []
  for (const id of sceneIds) scenes.push(await bringOnline(client, out, id, modules, options))
  for (const line of options.dryRun ? ['Nothing was sent: this was a dry run.'] : nextLines(modules, scenes)) out.next(line)
  out.result({ modules, scenes })
}

interface Draft {
  readonly folder: string
  readonly bundle: Bundle
  readonly bundleMs: number
  /** The version to publish it as: that of package.json, unless it is to be raised. */
  readonly version: string
  /** What came of raising it. */
  readonly note: string
}

/** What is published exactly so already is not raised: the same line typed twice changes nothing the second time. */
async function draftOf(client: Client, folder: string, { bump, dryRun }: PublishOptions): Promise<Draft> {
  const [bundle, bundleMs] = await timed(() => bundleModule(folder, { color: colorsFor(process.stderr).isColorSupported }))
  const { version } = bundle.manifest
  const draft = { folder, bundle, bundleMs }
  if (bump === undefined) return { ...draft, version, note: '' }
  if (dryRun !== true && (await isPublished(client, bundle))) return { ...draft, version, note: ' (not raised: nothing has changed)' }
  return { ...draft, version: nextVersion(version, bump), note: ` (was ${version})` }
}

async function isPublished(
  client: Client,
  { manifest: { name, version, stages, services }, digest, sourceMapDigest }: Bundle,
): Promise<boolean> {
  const published = (await client.modules(name)).find(module => module.version === version)
  if (published === undefined) return false
  const wanted = { stages, services, bundle: digest, sourceMap: sourceMapDigest }
  return isDeepStrictEqual(
    { stages: published.stages, services: published.services, bundle: published.bundle, sourceMap: published.sourceMap },
    wanted,
  )
}

type Send = (bundle: Bundle) => Promise<Pick<PublishedModule, 'created' | 'timings'>>

const pretend: Send = async () => ({ created: false, timings: {} })

async function publishDraft(
  out: Output,
  { folder, bundle, bundleMs, version, note }: Draft,
  dryRun: boolean,
  send: Send,
): Promise<PublishedModule> {
  const { name, version: was } = bundle.manifest
  out.say(`${name} ${version}${note}`)
  out.done('bundle', bundleMs, `${bundle.inputs.length} files, ${formatBytes(bundle.bytes)}`)
  for (const warning of bundle.warnings) out.warn(warning)
  const raise = version !== was && !dryRun
  const sent = raise
    ? await withVersionRaised(folder, was, version, async () => sendAs(await bundleModule(folder), send))
    : await sendAs(bundle, send)
  return { ...sent, version, timings: { bundleMs, ...sent.timings } }
}

async function sendAs(bundle: Bundle, send: Send): Promise<PublishedModule> {
  const { name, version } = bundle.manifest
  return { name, version, bundle: bundle.digest, bytes: bundle.bytes, ...(await send(bundle)) }
}

async function sendBundle(client: Client, out: Output, bundle: Bundle): ReturnType<Send> {
  const [sent, uploadMs] = await timed(() => uploadBundle(client, bundle))
  out.done('upload', uploadMs, sent.length === 0 ? 'nothing: the base has these bytes' : sent.join(' and '))
  const [{ created, timings }, publishMs] = await timed(() => publishBundle(client, bundle))
  out.done('publish', publishMs, created ? describeTimings(timings) : 'nothing to do: exactly this is published already')
  return { created, timings: { uploadMs, publishMs, ...timings } }
}

function nextVersion(version: string, bump: Bump): string {
  const next = semver.inc(version, bump)
  if (next !== null) return next
  throw new SdkError('PACKAGE_INVALID', `Cannot raise the version "${version}": it is no semantic version`, {
    hint: 'Set it in package.json.',
  })
}

/**
 * Raises the version in package.json, and puts the file back as it was when `work` fails. `work` bundles once more: a module may import its own
 * package.json.
 */
async function withVersionRaised<T>(folder: string, from: string, to: string, work: () => Promise<T>): Promise<T> {
  const path = join(folder, 'package.json')
  const original = await readFile(path, 'utf8')
  await writeFile(path, replaceVersion(original, from, to))
  try {
    return await work()
  } catch (error) {
    await writeFile(path, original)
    throw error
  }
}

/** The text with the top-level "version" replaced and everything else, layout included, as it was. */
export function replaceVersion(text: string, from: string, to: string): string {
  for (const { index, 0: member } of text.matchAll(/"version"\s*:\s*"([^"]*)"/g)) {
    const edited = text.slice(0, index) + member.replace(from, to) + text.slice(index + member.length)
    if (JSON.parse(edited).version === to) return edited
  }
  throw new SdkError('PACKAGE_INVALID', `Cannot raise the version "${from}": package.json spells it in an unusual way`, {
    hint: 'Raise the version by hand and publish without --bump.',
  })
}

async function bringOnline(
  client: Client,
  out: Output,
  scene: string,
  modules: readonly PublishedModule[],
  { as, label, reason }: PublishOptions,
): Promise<OnlineScene> {
  const options = { ...(as && { as }), ...(label && { label }), ...(reason && { reason }) }
  const [change, ms] = await timed(() => updateScene(client, scene, modules, options))
  const { created, switched, cells, timings, version, baseline } = change
  const online = { scene, version: version.id, created, isBaseline: baseline === version.id, switched, cells }
  out.say(scene)
  out.done('version', ms, describeOnline({ ...online, timings }))
  return { ...online, timings: { versionMs: ms, ...timings } }
}

function describeOnline({ version, created, isBaseline, switched, cells, timings }: OnlineScene): string {
  const live = `, ${describeCells(cells)} (${describeTimings(timings)})`
  if (switched) return `${version} ${created ? 'made, and it is the baseline' : 'was there, and is the baseline now'}${live}`
  if (created) return `${version} made; it answers requests that pin it`
  return isBaseline ? `nothing to do: ${version}, the baseline, runs exactly this` : `nothing to do: ${version} runs exactly this`
}

function nextLines(modules: readonly PublishedModule[], scenes: readonly OnlineScene[]): string[] {
  if (scenes.length > 0) {
    return scenes.map(({ scene, version, isBaseline }) =>
      isBaseline
        ? `Try it: sdk invoke ${scene}`
        : `Try it: sdk invoke ${scene} --version ${version}   Make it live: sdk version baseline ${scene} ${version}`,
    )
  }
  const refs = modules.map(({ name, version }) => `--module ${name}@${version}`).join(' ')
  return [`Bring it online: sdk version create SCENE ${refs} --as baseline`]
}
