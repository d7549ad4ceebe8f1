/** `sdk publish`: bundles, checks, uploads and loads modules, and brings them online in scenes. */

import { existsSync, realpathSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import raise from 'semver/functions/inc.js'
import type { Timings } from '../../../base/contract/common-api.ts'
import type { SceneView } from '../../../base/contract/scene-api.ts'
import type { VersionChange } from '../../../base/contract/version-api.ts'
import { messageOf } from '../../../base/kernel/errors.ts'
import type { ModuleOrigin, ValidationMode } from '../../../base/traffic/schema.ts'
import type { Client } from '../../api/client.ts'
import { isSame, modulesOf, publishBundle, updateOf, updateScene, uploadBundle } from '../../api/publish-steps.ts'
import { type Bundle, type BundlePart, bundleModule } from '../../bundle/bundle.ts'
import { originOf } from '../../bundle/module-origin.ts'
import { RefusedError, SdkError } from '../../sdk-error.ts'
import { type Part, type PartOptions, usage } from '../arguments.ts'
import type { Context } from '../context.ts'
import { type AgreementOptions, requireQuestions } from '../terminal/agreement.ts'
import { whenInterrupted } from '../terminal/interruption.ts'
import { describeTimings, formatBytes, type Output, timed } from '../terminal/output.ts'
import { type Build, inColor, startBuild } from './build.ts'
import { showValidation, validated, warnOfFailed } from './validation.ts'
import { agreeToPart, describePart, nextStep } from './version.ts'

export type Bump = 'patch' | 'minor' | 'major'

export interface PublishOptions extends PartOptions, AgreementOptions {
  readonly scene?: readonly string[]
  readonly bump?: Bump
  readonly label?: string
  readonly reason?: string
  readonly dryRun?: boolean
  readonly validation?: ValidationMode
  /** Of the sources, where neither git nor CI knows it. */
  readonly commit?: string
  /** Whether types are checked. @default true */
  readonly check?: boolean
}

export interface BegunPublish {
  /** What the new versions of scenes get. */
  readonly part: Part
  /** Of the module in the first folder. */
  readonly first: Build
}

interface PublishedModule {
  readonly name: string
  readonly version: string
  /** sha256 of the bundle, hex. */
  readonly bundle: string
  readonly bytes: number
  /** The largest of the files that the bundle is made of. */
  readonly parts: readonly BundlePart[]
  /** Where its sources are; undefined when nobody knows. */
  readonly origin: ModuleOrigin | undefined
  /** False when the base had exactly this already, and on a dry run. */
  readonly created: boolean
  /** Milliseconds of each step, by its name. The types are checked while the module is bundled. */
  readonly steps: Timings
  /** The milliseconds that the base reports for its part. */
  readonly timings: Timings
}

interface OnlineScene
  extends Pick<
    VersionChange,
    'created' | 'switched' | 'kind' | 'cutover' | 'previousBaseline' | 'validation' | 'warnings' | 'cells' | 'timings'
  > {
  readonly scene: string
  readonly version: string
  readonly isBaseline: boolean
  readonly steps: Timings
}

/** The parts of a bundle with at least so many bytes are listed. */
const BIG_BYTES = 256 * 1024
const PARTS_SHOWN = 5

const DECLINED = 'The modules are published, and no scene was changed'

/**
 * Bundles and checks everything, and looks up every scene, before anything is sent. Then it sends the modules, then, once somebody has agreed to
 * all units that move, each scene with all of them together.
 * @param begun what was begun before this was loaded
 */
export async function publish(
  context: Context,
  { part, first }: BegunPublish,
  folders: readonly string[],
  options: PublishOptions,
): Promise<void> {
  const { client, out } = context
  const sceneIds = options.dryRun ? [] : (options.scene ?? [])
  // The base is asked while modules are still being checked. A fault in a module is reported first nevertheless.
  const finding = Promise.all(sceneIds.map(id => requireScene(client, id, folders)))
  finding.catch(() => undefined)
  const drafts: Draft[] = [await draftOf(client, first, options)]
  for (const folder of folders.slice(1)) {
    using build = await startBuild(folder, options.check !== false)
    drafts.push(await draftOf(client, build, options))
  }
  checkNames(drafts)
  await requireAgreement(client, part, await finding, drafts, options)
  const send: Send = options.dryRun ? pretend : (bundle, origin) => sendBundle(client, out, bundle, origin)
  const modules: PublishedModule[] = []
  for (const draft of drafts) modules.push(await publishDraft(out, draft, options.dryRun === true, send))
  const agreed = new Map<string, number | undefined>()
  for (const id of sceneIds) agreed.set(id, await agreeToPart(context, id, updateOf(modules, part), options, DECLINED))
  const scenes: OnlineScene[] = []
  for (const id of sceneIds) scenes.push(await bringOnline(context, { id, revision: agreed.get(id) }, { modules, folders }, part, options))
  for (const line of options.dryRun ? ['Nothing was sent: this was a dry run.'] : await nextLines(client, modules, scenes)) out.next(line)
  out.result({ modules, scenes })
}

/**
 * Makes sure that the scene is defined.
 * @throws SdkError SCENE_NOT_FOUND with the way to define the scene, whose modules come first; RefusedError
 */
async function requireScene(client: Client, id: string, folders: readonly string[]): Promise<SceneView> {
  return client.scene(id).catch(error => {
    if (!(error instanceof RefusedError) || error.code !== 'SCENE_NOT_FOUND') throw error
    const file = `${id}.json`
    const lines = [`sdk publish ${folders.join(' ')}`, `sdk scene apply ${file}`]
    const make = existsSync(file) ? '' : `, after "sdk init --scene ${id}"`
    throw new SdkError(error.code, error.message, {
      hint: `For a new scene: ${lines.join(' && ')}${make}. For the others: sdk scene list.`,
    })
  })
}

/**
 * Checks that somebody can agree to the units that will move, before any module is sent that would be left without its scene. When all modules
 * are published already, nothing is left like that, and each scene says itself whether units would move.
 * @throws SdkError USAGE
 */
async function requireAgreement(
  client: Client,
  { as }: Part,
  scenes: readonly SceneView[],
  drafts: readonly Draft[],
  options: PublishOptions,
): Promise<void> {
  const served = scenes.filter(({ baseline }) => baseline !== null)
  if (options.yes || (as !== 'baseline' && as !== 'cutover') || served.length === 0) return
  if ((await client.status()).mode === 'development') return
  const published = await Promise.all(drafts.map(({ bundle }) => isPublished(client, bundle)))
  if (published.every(isThere => isThere)) return
  const names = served.map(({ definition }) => `"${definition.id}"`).join(', ')
  requireQuestions(`whether units of ${names} may move`, 'Add --yes to the command.', options)
}

interface Draft {
  readonly folder: string
  readonly bundle: Bundle
  readonly bundleMs: number
  readonly check: Check
  /** As it was before the version was raised. */
  readonly origin: ModuleOrigin | undefined
  /** The version to publish it as: the one in package.json, unless that is to be raised. */
  readonly version: string
  /** What came of raising the version. */
  readonly note: string
}

/** @throws SdkError USAGE when two are the same module */
function checkNames(drafts: readonly Draft[]): void {
  const folders = new Map<string, string>()
  for (const { folder, bundle } of drafts) {
    const { name } = bundle.manifest
    const other = folders.get(name)
    if (other !== undefined) throw usage(`Cannot publish "${name}" twice: it is in "${other}" and in "${folder}"`, 'Name each module once.')
    folders.set(name, folder)
  }
}

interface Check {
  readonly checked: string
  readonly checkMs: number
}

/**
 * When a module does not bundle, faults in its types are not reported. A version is not raised when exactly this code is published already: the same command typed twice changes nothing the second time.
 */
async function draftOf(client: Client, { folder, bundling, checking }: Build, { bump, dryRun, commit }: PublishOptions): Promise<Draft> {
  const [bundle, bundleMs] = await bundling
  const finding = originOf(folder, bundle.inputs, commit)
  finding.catch(() => undefined)
  const published = bump === undefined || dryRun === true ? undefined : isPublished(client, bundle)
  published?.catch(() => undefined)
  const [checked, checkMs] = await checking
  const { version } = bundle.manifest
  const draft = { folder, bundle, bundleMs, check: { checked, checkMs }, origin: await finding }
  if (bump === undefined) return { ...draft, version, note: '' }
  if (await published) return { ...draft, version, note: ' (not raised: nothing has changed)' }
  return { ...draft, version: nextVersion(version, bump), note: ` (was ${version})` }
}

async function isPublished(client: Client, bundle: Bundle): Promise<boolean> {
  const { name, version } = bundle.manifest
  return (await client.modules(name)).some(module => module.version === version && isSame(module, bundle))
}

type Sent = Pick<PublishedModule, 'created' | 'steps' | 'timings'>
type Send = (bundle: Bundle, origin: ModuleOrigin | undefined) => Promise<Sent>

const pretend: Send = async () => ({ created: false, steps: {}, timings: {} })

async function publishDraft(out: Output, draft: Draft, dryRun: boolean, send: Send): Promise<PublishedModule> {
  const { folder, bundle, bundleMs, check, origin, version, note } = draft
  const { name, version: was } = bundle.manifest
  out.say(`${name} ${version}${note}`)
  out.done('bundle', bundleMs, `${bundle.inputs.length} files, ${formatBytes(bundle.bytes)}`)
  if (bundle.bytes >= BIG_BYTES) for (const line of describeParts(bundle)) out.say(line)
  for (const warning of bundle.warnings) out.warn(warning)
  out.done('check', check.checkMs, `exports, imports, ${check.checked}`)
  const isRaised = version !== was && !dryRun
  const published = isRaised
    ? await withVersionRaised(folder, was, version, async () => sendAs(await withVersion(bundle, version, folder), origin, send))
    : await sendAs(bundle, origin, send)
  return { ...published, version, steps: { bundle: bundleMs, check: check.checkMs, ...published.steps } }
}

/** The bundle of the module with another version in its package.json. */
async function withVersion(bundle: Bundle, version: string, folder: string): Promise<Bundle> {
  return bundle.containsPackage ? bundleModule(folder, { color: inColor() }) : { ...bundle, manifest: { ...bundle.manifest, version } }
}

/** A line such as `      mathjs   612.3 KB  71 %`. */
function describeParts({ parts, bytes }: Bundle): string[] {
  const shown = parts.slice(0, PARTS_SHOWN).filter(part => part.bytes > bytes / 100)
  const width = Math.max(...shown.map(({ name }) => name.length))
  return shown.map(
    part => `      ${part.name.padEnd(width)} ${formatBytes(part.bytes).padStart(9)} ${Math.round((part.bytes / bytes) * 100)} %`,
  )
}

async function sendAs(bundle: Bundle, origin: ModuleOrigin | undefined, send: Send): Promise<PublishedModule> {
  const { name, version } = bundle.manifest
  return {
    name,
    version,
    bundle: bundle.digest,
    bytes: bundle.bytes,
    parts: bundle.parts.slice(0, PARTS_SHOWN),
    origin,
    ...(await send(bundle, origin)),
  }
}

async function sendBundle(client: Client, out: Output, bundle: Bundle, origin: ModuleOrigin | undefined): Promise<Sent> {
  const [sent, upload] = await timed(() => uploadBundle(client, bundle))
  out.done('upload', upload, sent.length === 0 ? 'nothing: the base has these bytes' : sent.join(' and '))
  const [{ created, timings }, load] = await timed(() => publishBundle(client, bundle, origin))
  out.done('load', load, created ? `tried and kept (${describeTimings(timings)})` : 'nothing to do: exactly this is published already')
  return { created, steps: { upload, load }, timings }
}

function nextVersion(version: string, bump: Bump): string {
  const next = raise(version, bump)
  if (next !== null) return next
  throw new SdkError('PACKAGE_INVALID', `Cannot raise the version "${version}": it is no semantic version`, {
    hint: 'Set it in package.json.',
  })
}

/**
 * Raises the version in package.json, and puts the file back as it was when `work` fails or is interrupted.
 * @throws SdkError FILE_UNWRITABLE, and as `work`
 */
async function withVersionRaised<T>(folder: string, from: string, to: string, work: () => Promise<T>): Promise<T> {
  const path = join(folder, 'package.json')
  const original = await readFile(path, 'utf8')
  replaceFile(path, replaceVersion(original, from, to))
  const done = whenInterrupted(() => replaceFile(path, original))
  try {
    return await work()
  } catch (error) {
    replaceFile(path, original)
    throw error
  } finally {
    done()
  }
}

/** Replaces a file in one step, even when the disk is full, and before a signal ends this process. */
function replaceFile(path: string, text: string): void {
  const file = realpathSync(path)
  // "npm start" and "sdk dev", which may watch the folder, ignore names that begin with a dot.
  const unfinished = join(dirname(file), `.${basename(file)}.${process.pid}`)
  try {
    writeFileSync(unfinished, text, { mode: statSync(file).mode })
    renameSync(unfinished, file)
  } catch (error) {
    rmSync(unfinished, { force: true })
    throw new SdkError('FILE_UNWRITABLE', `Cannot write "${path}": ${messageOf(error)}`, {
      hint: 'Check the folder and its disk, or publish without --bump.',
      cause: error,
    })
  }
}

/** The text with the top-level "version" replaced and everything else, layout and byte order mark included, as it was. */
export function replaceVersion(text: string, from: string, to: string): string {
  for (const { index, 0: member } of text.matchAll(/"version"\s*:\s*"([^"]*)"/g)) {
    const edited = text.slice(0, index) + member.replace(from, to) + text.slice(index + member.length)
    if (JSON.parse(edited.replace(/^\uFEFF/, '')).version === to) return edited
  }
  throw new SdkError('PACKAGE_INVALID', `Cannot raise the version "${from}": package.json spells it in an unusual way`, {
    hint: 'Raise the version by hand and publish without --bump.',
  })
}

async function bringOnline(
  { client, out }: Context,
  { id: scene, revision }: { readonly id: string; readonly revision: number | undefined },
  { modules, folders }: { readonly modules: readonly PublishedModule[]; readonly folders: readonly string[] },
  part: Part,
  { label, reason, validation }: PublishOptions,
): Promise<OnlineScene> {
  const options = { ...part, ...(label && { label }), ...(reason && { reason }), ...(validation && { validation }) }
  const toRun = (capsule: string) => `sdk capsule run ${scene} ${capsule} --with ${folders.join(' ')} --inspect`
  const [change, ms] = await timed(() => validated(out, updateScene(client, scene, modules, options, revision), toRun))
  const { version, lock: _, moved: __, changed: ___, baseline, ...rest } = change
  const online = { scene, version: version.id, ...rest, isBaseline: baseline === version.id, steps: { live: ms } }
  out.say(scene)
  showValidation(out, online.validation)
  out.done('live', ms, describeOnline(online, part))
  for (const warning of online.warnings) out.warn(warning)
  warnOfFailed(out, scene, online.validation)
  return online
}

function describeOnline(online: OnlineScene, { as, whitelist = [] }: Part): string {
  const { version, created, switched, isBaseline, timings } = online
  const part = `${describePart(online, whitelist.length)} (${describeTimings(timings)})`
  if (created) return `${version} made${part}`
  if (switched || (as !== undefined && !isBaseline) || whitelist.length > 0) return `${version} was there${part}`
  return `nothing to do: ${version}${isBaseline ? ', the baseline,' : ''} runs exactly this`
}

async function nextLines(client: Client, modules: readonly PublishedModule[], scenes: readonly OnlineScene[]): Promise<string[]> {
  if (scenes.length > 0) return scenes.map(online => nextStep(online.scene, online.version, online))
  const having = (await client.scenes()).find(({ definition }) => modules.some(({ name }) => modulesOf(definition).has(name)))
  if (having === undefined)
    return ['Bring it online in a scene: "sdk init --scene ID" makes a file, "sdk scene apply FILE" brings it to life.']
  const its = modules.filter(({ name }) => modulesOf(having.definition).has(name))
  const refs = its.map(({ name, version }) => `--module ${name}@${version}`).join(' ')
  return [`Bring it online: sdk version create ${having.definition.id} ${refs} --as baseline`]
}
