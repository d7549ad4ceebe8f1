/** `sdk dev`: every save of a module runs a moment later, and its answer is shown beside the one before. */

import { once } from 'node:events'
import { statSync } from 'node:fs'
import { hostname, userInfo } from 'node:os'
import { isAbsolute, join, relative, resolve } from 'node:path'
import type { Timings } from '../../../base/contract/common-api.ts'
import type { LogEntry } from '../../../base/contract/log-api.ts'
import type { SceneDraft, SceneView } from '../../../base/contract/scene-api.ts'
import type { VersionChange } from '../../../base/contract/version-api.ts'
import { messageOf } from '../../../base/kernel/errors.ts'
import { type Client, createClient, type InvocationAnswer } from '../../api/client.ts'
import { findOrStartBase } from '../../api/local-base.ts'
import {
  devVersion,
  modulesOf,
  retireSaves,
  SAVES_KEPT,
  storeDevelopment,
  updateScene,
  type WantedModule,
} from '../../api/publish-steps.ts'
import { readEvents } from '../../api/server-sent-events.ts'
import { type Bundle, type Bundler, openBundler } from '../../bundle/bundle.ts'
import { locateModule, readPackage } from '../../bundle/manifest.ts'
import { originOf } from '../../bundle/module-origin.ts'
import { checkTypes } from '../../bundle/type-check.ts'
import { RefusedError, SdkError } from '../../sdk-error.ts'
import { usage } from '../arguments.ts'
import type { CommonOptions } from '../context.ts'
import { lastRequest } from '../files/last-request.ts'
import { bodyIn, firstSample, warnOfRounding } from '../files/sample.ts'
import { describeRoot, type RootEvent, type SaveWatch, watchSaves } from '../files/watch.ts'
import { agree } from '../terminal/agreement.ts'
import { colorsFor } from '../terminal/colors.ts'
import { failureDocument, failureText } from '../terminal/failure.ts'
import { interruption } from '../terminal/interruption.ts'
import { createOutput, describeTimings, type Output, timed } from '../terminal/output.ts'
import { diffAnswers, formatDelta } from '../views/answer-diff.ts'
import { formatEntry } from './logs.ts'

export interface DevOptions {
  readonly scene?: string
  readonly sample?: string
  readonly unit?: string
  /** What each save becomes. @default `baseline` on a base for development, else `dev` */
  readonly as?: Part
  /** Does not ask whether saves may replace the baseline of a base that serves. */
  readonly yes?: boolean
}

/** `dev`: a version that only requests which pin it get. */
type Part = 'dev' | 'baseline'

/** How many lines of an answer, or of what changed in it, are shown. */
const LINES_SHOWN = 60
/** How many lines that a version logged before are read, to find what was warned of. */
const LINES_READ = 100

/**
 * Goes on until it is interrupted. On a base that serves, each save becomes a version that answers only when pinned; on one for development it becomes
 * the baseline. Which base was found, and how, makes no difference. A base that was started for this command ends with it. All but the last few
 * versions that the command has made go offline again.
 */
export async function dev(folder: string, options: DevOptions & CommonOptions): Promise<void> {
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory())
    throw usage(`Cannot watch "${folder}": there is no such folder`, 'Name the folder of a module; "sdk init" makes one.')
  const ended = once(interruption().signal, 'abort')
  const out = createOutput(options.json === true)
  const base = await findOrStartBase({ url: options.base, token: options.token })
  const client = createClient({ base: base.url, token: base.token })
  const session = new Session(folder, client, options, out)
  let watch: SaveWatch | undefined
  try {
    if (base.started) out.say(`A base was started for this, and ends with it: ${base.url}`)
    await session.open()
    const roots = [resolve(folder), ...(options.sample === undefined ? [] : [resolve(options.sample)])]
    watch = await watchSaves({
      roots,
      subjectOf: () => folder,
      onSave: (_, savedAt) => session.save(savedAt),
      onRoot: event => session.noteRoot(event),
    })
    await watch.saved(folder)
    out.next(`Watching ${relative(process.cwd(), resolve(folder)) || 'this folder'}. Ctrl-C ends.`)
    await Promise.race([ended, base.ended])
  } finally {
    await watch?.close()
    await session.close()
    await base.stop()
  }
  if (!base.started) for (const line of session.lastWords()) out.next(line)
}

interface Sample {
  /** The file, as the user would name it. */
  readonly name: string
  readonly body: string
}

/** What answers since the last save that could be run. */
interface Live {
  /** A value that differs between any two states of the module. */
  readonly state: string
  readonly module: WantedModule
  readonly version: string
}

/** What is kept from one save to the next. `save` is called again only when the call before has settled. */
class Session {
  readonly #folder: string
  readonly #client: Client
  readonly #options: DevOptions & CommonOptions
  readonly #out: Output
  readonly #bundler: Bundler
  /** What each save becomes. */
  #as: Part = 'dev'
  #scene: string | undefined
  #before: string | null = null
  #url: string | undefined
  #live: Live | undefined
  /** The version that the last save made, until earlier ones are retired for it. */
  #made: VersionChange['version'] | undefined
  /** Versions of earlier saves that stay online, oldest first. */
  #kept: readonly string[] = []
  #sent: Sample | undefined
  #answer: unknown
  /** Whether the last save could not be run, or was answered with an error. */
  #failed = false
  /** Whether the last save was not answered before its deadline. */
  #isLate = false
  #logs = new AbortController()
  /** Ends the check of the types of the last save. */
  #types = new AbortController()
  #warnings: readonly string[] = []

  constructor(folder: string, client: Client, options: DevOptions & CommonOptions, out: Output) {
    this.#folder = folder
    this.#client = client
    this.#options = options
    this.#out = out
    this.#bundler = openBundler(folder, { color: colorsFor(process.stderr).isColorSupported })
  }

  /**
   * Finds out whether there is a base to work with and what it is for, and whether the scene and the sample exist if they were named.
   * @throws as every call to a base; SdkError USAGE or CANCELLED when nobody agrees that saves replace the baseline of a base that serves
   */
  async open(): Promise<void> {
    const { port, mode } = await this.#client.status()
    this.#as = this.#options.as ?? (mode === 'development' ? 'baseline' : 'dev')
    if (this.#as === 'baseline' && mode === 'serving') await this.#approve()
    if (port !== null) this.#url = Object.assign(new URL(this.#client.base), { port: String(port) }).href
    if (this.#options.scene !== undefined) await this.#client.scene(this.#options.scene)
    if (this.#options.sample !== undefined) await this.#sample()
  }

  async #approve(): Promise<void> {
    const where = `${this.#client.base.origin}, which serves`
    const whose = `the baseline of ${this.#options.scene ?? 'its scene'} at ${where}`
    const hint = 'Add --yes, or leave out --as: then each save is a version that answers only when pinned.'
    await agree({ question: `Let each save replace ${whose}?`, what: `whether each save may replace ${whose}`, hint }, this.#options)
  }

  /**
   * Runs what is in the folder now and shows what came of it, including errors.
   * @param savedAt on the clock of `performance.now()`
   * @returns files outside the folder that the module is made of, absolute
   */
  async save(savedAt: number): Promise<string[]> {
    let outside: string[] = []
    let isBundled = false
    this.#types.abort()
    try {
      const [bundle, bundleMs] = await timed(() => this.#bundler.bundle())
      outside = bundle.inputs.filter(input => input.startsWith('..') || isAbsolute(input)).map(input => resolve(this.#folder, input))
      this.#warn(bundle.warnings)
      isBundled = true
      await this.#run(bundle, bundleMs, savedAt)
    } catch (error) {
      if (!(error instanceof SdkError)) throw error
      this.#showFailure(error)
    }
    // Wrong types are often why code fails.
    if (isBundled) void this.#checkTypes()
    await this.#retireSaves()
    return outside
  }

  /** Shows that the folder or the sample went away, as in a checkout of a branch without it, or came back. */
  noteRoot(event: RootEvent): void {
    const path = relative(process.cwd(), event.root) || '.'
    // What the code answers is shown when it is back, even if it is the same.
    this.#failed = true
    const document = { event: event.type, path, ...(event.error && { detail: messageOf(event.error) }) }
    this.#show(document)
    if (this.#options.json !== true) this.#out.warn(describeRoot(event))
  }

  /** Shows the warnings that the save before did not have: those about dependencies stay the same from save to save. */
  #warn(warnings: readonly string[]): void {
    for (const warning of warnings) if (!this.#warnings.includes(warning)) this.#out.warn(warning)
    this.#warnings = warnings
  }

  /** Shows what is wrong with the types, after the answer: that does not keep code from running, but from being published. */
  async #checkTypes(): Promise<void> {
    this.#types = new AbortController()
    const { signal } = this.#types
    const color = colorsFor(process.stderr).isColorSupported
    try {
      await checkTypes(this.#folder, await readPackage(await locateModule(this.#folder, color)), { color, signal })
    } catch (error) {
      if (!signal.aborted && error instanceof SdkError) this.#fail(error)
    }
  }

  async #retireSaves(): Promise<void> {
    const made = this.#made
    this.#made = undefined
    if (made === undefined) return
    try {
      this.#kept = await retireSaves(this.#client, made, this.#before)
    } catch (error) {
      this.#out.warn(`The versions of earlier saves stay online: ${messageOf(error)}`)
    }
  }

  async close(): Promise<void> {
    this.#logs.abort()
    this.#types.abort()
    await this.#bundler.close()
  }

  /** Says what stays, and how to undo it. */
  lastWords(): string[] {
    const [scene, before, live] = [this.#scene, this.#before, this.#live?.version]
    if (scene === undefined || live === undefined || before === live) return []
    if (this.#as === 'dev') {
      const online = [...new Set([...this.#kept, live])]
      return [
        `Online in ${scene} for whoever pins them: ${online.join(', ')} (sdk invoke ${scene} --version ${live}).`,
        `To take them offline: sdk version offline ${scene} ${online.join(' ')}`,
      ]
    }
    return before === null ? [] : [`${scene} goes on with ${live}. The way back: sdk version promote ${scene} ${before} --to baseline`]
  }

  async #run(bundle: Bundle, bundleMs: number, savedAt: number): Promise<void> {
    const state = devVersion(bundle)
    const steps: Record<string, number> = { bundle: bundleMs }
    const isNew = this.#live?.state !== state
    if (isNew) {
      const [module, load] = await timed(() => storeDevelopment(this.#client, bundle, originOf(this.#folder, bundle.inputs)))
      const [version, live] = await timed(() => this.#bringOnline(bundle, module))
      Object.assign(steps, { load, live })
      this.#live = { state, module, version }
    }
    const sample = await this.#sample()
    if (!isNew && !this.#failed && sample?.body === this.#sent?.body) return
    const first = this.#answer === undefined
    if (sample === undefined) return this.#showLive(steps, savedAt)
    const [answer, answerMs] = await timed(() => this.#invoke(sample))
    this.#showAnswer(answer, sample, first, { ...steps, answer: answerMs }, performance.now() - savedAt)
  }

  async #bringOnline(bundle: Bundle, module: WantedModule): Promise<string> {
    const scene = this.#scene ?? (await this.#findScene(bundle))
    if (scene === ownScene(bundle)) await defineOwnScene(this.#client, bundle)
    const label = saveLabel(bundle)
    // Who saves sees at once what the code does. Every save would wait for captured requests otherwise.
    const part = this.#as === 'baseline' ? ({ as: 'baseline', validation: 'off' } as const) : {}
    const change = await updateScene(this.#client, scene, [module], { label, ...part })
    if (change.created) this.#made = change.version
    await this.#follow(scene, change.version.id)
    return change.version.id
  }

  async #findScene(bundle: Bundle): Promise<string> {
    const { name } = bundle.manifest
    const given = this.#options.scene
    const scenes = given === undefined ? await this.#client.scenes() : [await this.#client.scene(given)]
    const having = scenes.filter(({ definition }) => given !== undefined || modulesOf(definition).has(name))
    const chosen: SceneView | undefined = having.find(({ baseline }) => baseline !== null) ?? having[0]
    const id = chosen?.definition.id ?? ownScene(bundle)
    const others = having.flatMap(({ definition }) => (definition.id === id ? [] : [definition.id]))
    this.#before = chosen?.baseline ?? null
    this.#scene = id
    const own = `each save a version that answers only whoever pins it; the last ${SAVES_KEPT + 1} stay online (label "${saveLabel(bundle)}")`
    const how = this.#as === 'dev' ? own : 'as its baseline'
    this.#out.say(`${name} in ${id} of ${this.#client.base.origin}, ${how}`)
    if (others.length > 0) this.#out.next(`${name} is in ${others.join(', ')} too: choose with --scene`)
    return id
  }

  async #sample(): Promise<Sample | undefined> {
    const file = this.#options.sample ?? (await firstSample(this.#folder, this.#scene))
    if (file === undefined) {
      const body = await lastRequest(this.#client.base, this.#scene ?? '')
      return body === undefined ? undefined : { name: 'the last request of sdk invoke', body }
    }
    const body = await bodyIn(file)
    return { name: relative(process.cwd(), resolve(file)), body }
  }

  #invoke({ body }: Sample): Promise<InvocationAnswer> {
    const version = this.#as === 'dev' ? this.#live?.version : undefined
    return this.#client.invoke(this.#scene ?? '', { body, unit: this.#options.unit, version, url: this.#url })
  }

  /** Shows what the version logs from now on, beside the answers. Resolves when the log is followed. */
  #follow(scene: string, version: string): Promise<void> {
    this.#logs.abort()
    this.#logs = new AbortController()
    const { signal } = this.#logs
    const live = Promise.withResolvers<void>()
    this.#readLog(scene, version, signal, live.resolve)
      .catch((error: unknown) => {
        if (!signal.aborted) this.#out.warn(`The log of ${scene} is not followed any more: ${messageOf(error)}`)
      })
      .finally(live.resolve)
    return live.promise
  }

  async #readLog(scene: string, version: string, signal: AbortSignal, onLive: () => void): Promise<void> {
    const path = `/api/scenes/${encodeURIComponent(scene)}/logs?version=${version}&limit=${LINES_READ}`
    const response = await this.#client.open(path, { headers: { accept: 'text/event-stream' }, signal })
    let isLive = false
    for await (const { event, data } of readEvents(response)) {
      if (event === 'live') {
        isLive = true
        onLive()
      }
      if (event !== undefined) continue
      const entry = JSON.parse(data) as LogEntry
      // A version is warned of once, so the warning may be of an earlier save of the same code.
      if (entry.code === 'DATA_LOST')
        this.#fail(new SdkError(entry.code, entry.message, { hint: 'The answer is there, but not all of it.' }))
      // Other lines logged before belong to answers before, and an error is shown with its answer. Only an answer that was late knows nothing of the kill.
      else if (isLive && (entry.code === undefined || (entry.code === 'MODULE_KILLED' && this.#isLate)))
        this.#show({ event: 'log', ...entry }, formatEntry(entry))
    }
  }

  #showLive(steps: Timings, savedAt: number): void {
    this.#failed = false
    this.#sent = undefined
    const { version, module } = this.#live ?? {}
    const ms = performance.now() - savedAt
    this.#show({ event: 'live', scene: this.#scene, version, module: module?.version, ms, steps })
    this.#out.done(version ?? '', ms, `live (${describeTimings(steps)})`)
    const ways = `put a request in ${join(this.#folder, 'samples')}, name one with --sample, or send one: sdk invoke ${this.#scene}`
    this.#out.next(`To see it answer on each save, ${ways}`)
  }

  #showAnswer(answer: InvocationAnswer, sample: Sample, first: boolean, steps: Timings, ms: number): void {
    const delta = first ? undefined : diffAnswers(this.#answer, answer.body)
    const { version, module } = this.#live ?? {}
    this.#failed = false
    this.#answer = answer.body
    this.#sent = sample
    const document = { event: 'answer', scene: this.#scene, version, module: module?.version, sample: sample.name, ms, steps }
    this.#show({ ...document, answer: answer.body, delta: delta ?? null })
    const outcome = first ? `answers ${sample.name}` : delta === undefined ? 'the same answer' : 'another answer'
    this.#out.done(version ?? '', ms, `${outcome} (${describeTimings(steps)})`)
    const color = colorsFor(process.stdout).isColorSupported
    const lines = first ? JSON.stringify(answer.body, null, 2).split('\n') : delta === undefined ? [] : formatDelta(delta, color)
    for (const line of lines.slice(0, LINES_SHOWN)) this.#out.say(`    ${line}`)
    if (first) warnOfRounding(this.#out, sample.body)
    if (first && this.#as === 'dev')
      this.#out.next(`    Everybody else gets what they got before. Ask for yours: sdk invoke ${this.#scene} --version ${version}`)
    if (lines.length > LINES_SHOWN) this.#out.say(`    … and ${lines.length - LINES_SHOWN} more lines`)
  }

  #fail(error: SdkError): void {
    this.#failed = true
    this.#isLate = error.code === 'DEADLINE_EXCEEDED'
    this.#show({ event: 'failed', error: failureDocument(error), live: this.#live?.version ?? null })
    process.stderr.write(`${failureText(error)}\n`)
  }

  #showFailure(error: SdkError): void {
    this.#fail(error)
    const answered = error instanceof RefusedError && error.problem.version === this.#live?.version
    const isThere = error.code !== 'BASE_UNREACHABLE'
    if (this.#live !== undefined && !answered && isThere)
      this.#out.next(`  ${this.#live.version} (${this.#live.module.version}) goes on answering.`)
  }

  /** Prints with `--json` a document on a line of its own, else the line for people, if there is one. */
  #show(document: object, line?: string): void {
    if (this.#options.json === true) process.stdout.write(`${JSON.stringify({ base: this.#client.base.origin, ...document })}\n`)
    else if (line !== undefined) this.#out.say(line)
  }
}

/** Labels the versions that saves of this module by this user on this machine have made. */
const saveLabel = ({ manifest: { name } }: Bundle): string => `dev ${name}, ${userName()}@${hostname()}`

function userName(): string {
  try {
    return userInfo().username
  } catch {
    // A container may run as a user who has no name.
    return process.env.USER ?? `user ${process.getuid?.()}`
  }
}

/** The scene that is made for a module that is in no other. */
const ownScene = ({ manifest: { name } }: Bundle): string => `dev-${name}`

/**
 * Defines a scene that has the stages of the module, one after the other, unless there is one.
 * @throws SdkError USAGE when somebody has made a scene of this name for something else
 */
async function defineOwnScene(client: Client, bundle: Bundle): Promise<void> {
  const { name, stages } = bundle.manifest
  const id = ownScene(bundle)
  const description = `${name} alone, made by sdk dev`
  const group = stages.map(stage => ({ stage, modules: [`${name}@*`] }))
  const there = (await client.scenes()).find(({ definition }) => definition.id === id)
  if (there?.definition.group.map(({ stage }) => stage).join() === stages.join()) return
  if (there !== undefined && there.definition.description !== description) {
    const message = `Cannot bring "${name}" online in "${id}": that scene was made for something else, and has other stages`
    throw usage(message, 'Name the scene to work in with --scene.')
  }
  const draft: SceneDraft = { id, description, group }
  await client.putScene(draft, there?.revision)
}
