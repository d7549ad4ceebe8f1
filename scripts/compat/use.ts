/** Uses a package in Node.js and on a base, and compares what the two answer. */
import { spawn } from 'node:child_process'
import { basename, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { limits } from '../../base/kernel/limits.ts'
import type { Client } from '../../sdk/api/client.ts'
import { publishBundle, uploadBundle } from '../../sdk/api/publish-steps.ts'
import { bundleModule } from '../../sdk/bundle/bundle.ts'
import { SdkError } from '../../sdk/sdk-error.ts'

/** What came of using a package. */
export interface Outcome {
  /** The code of the error that its user sees; absent when the answer equals that of Node.js. */
  readonly code?: string
  /** The error as the command line shows it, or how the answers differ. */
  readonly why?: string
  /** What `sdk publish` warns of, without the code frames. */
  readonly warnings?: readonly string[]
  /** Bytes of the bundle. */
  readonly bytes?: number
}

/**
 * Uses the package of the module in `folder`.
 * @param entry path of the script of the module
 * @throws Error when the script does not work in Node.js either
 */
export async function useOf(client: Client, folder: string, entry: string): Promise<Outcome> {
  const running = answerOfNode(entry)
  // What cannot be loaded on a base need not run here in Node.js, such as what was not compiled for this machine.
  running.catch(() => undefined)
  const bundled = await outcomeOf(folder, () => bundleModule(folder))
  if ('why' in bundled) return bundled
  const { bytes, warnings } = bundled
  const shown = { bytes, ...(warnings.length > 0 && { warnings: warnings.map(text => plain(firstLine(text), folder)) }) }
  const scene = await outcomeOf(folder, () => bringOnline(client, bundled))
  if ('why' in scene) return { ...shown, ...scene }
  const inNode = await running
  const answered = await outcomeOf(folder, () => callOnce(client, scene, inNode.input))
  if ('why' in answered) return { ...shown, ...answered }
  const [expected, found] = [JSON.stringify(inNode.answer), JSON.stringify(answered.body)]
  return expected === found
    ? shown
    : { ...shown, code: 'DIFFERS', why: `Node.js: ${part(expected, found)}\nBerth:   ${part(found, expected)}` }
}

const firstLine = (text: string): string => text.split('\n', 1)[0] ?? ''

/** The work's result, or what an error of it says to the user. */
async function outcomeOf<T>(folder: string, work: () => Promise<T>): Promise<T | { readonly code: string; readonly why: string }> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof SdkError)) throw error
    const { code, message, details, hint } = error
    const lines = [message, details, hint].filter(line => line !== undefined)
    return { code, why: plain(lines.join('\n'), folder) }
  }
}

/** Without what differs from run to run: where the folder is, and the ids of requests. */
const plain = (text: string, folder: string): string =>
  text
    .replaceAll(`${folder}/`, '')
    .replaceAll(folder, basename(folder))
    .replaceAll(/^request [\w-]+\n|, request [\w-]+$/gm, '')

const PART_CHARS = 300

/** The part of a text that begins a little before it differs from another. */
function part(text: string, other: string): string {
  const at = Math.max(0, [...text].findIndex((char, i) => char !== other[i]) - PART_CHARS / 4)
  return `${at > 0 ? '…' : ''}${text.slice(at, at + PART_CHARS)}${text.length > at + PART_CHARS ? '…' : ''}`
}

/** Milliseconds a script may take in Node.js. */
const NODE_MS_MAX = 60_000

interface InNode {
  readonly input: unknown
  readonly answer: unknown
}

async function answerOfNode(entry: string): Promise<InNode> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'in-node.ts'), entry], {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: NODE_MS_MAX,
  })
  const [printed, errors] = await Promise.all([text(child.stdout), text(child.stderr)])
  // The package may print lines of its own before the last one.
  const [last = ''] = printed.trim().split('\n').slice(-1)
  if (!last.startsWith('{"input"')) throw new Error(`Cannot use ${entry} in Node.js:\n${errors}`)
  return JSON.parse(last) as InNode
}

type Published = Awaited<ReturnType<typeof bundleModule>>

interface Online {
  readonly scene: string
  readonly version: string
}

/** Publishes the module, and makes it a version of a scene of its own. */
async function bringOnline(client: Client, bundle: Published): Promise<Online> {
  const { name } = bundle.manifest
  await uploadBundle(client, bundle)
  await publishBundle(client, bundle)
  const group = [{ stage: 'use', modules: [`${name}@^1`] }]
  await client.putScene({ id: name, group, traffic: { deadlineMs: limits.request.deadlineMsMax } }, undefined)
  const { version } = await client.createVersion(name, {})
  return { scene: name, version: version.id }
}

/** Calls the version and takes it offline, so that its slot does not stay. */
async function callOnce(client: Client, { scene, version }: Online, input: unknown): Promise<{ readonly body: unknown }> {
  try {
    return await client.invoke(scene, { body: JSON.stringify(input), version })
  } finally {
    await client.setOnline(scene, version, false, {})
  }
}
