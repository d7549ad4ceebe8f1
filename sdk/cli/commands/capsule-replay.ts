/** `sdk capsule verify`, `sdk capsule run --fresh`, and `sdk bisect`: captured requests again. */
import { readFile } from 'node:fs/promises'
import { isDeepStrictEqual } from 'node:util'
import type { CapsuleRun, RunCapsule } from '../../../base/contract/capsule-api.ts'
import { messageOf } from '../../../base/kernel/errors.ts'
import { SdkError } from '../../sdk-error.ts'
import { parseVersion, usage } from '../arguments.ts'
import type { Context } from '../context.ts'
import { timed } from '../terminal/output.ts'
import { lineToCapture } from '../views/capsule-view.ts'
import { showAnswer, showComparison } from './run-capsule.ts'

export interface VersionOption {
  readonly version?: string
}

export async function verifyCapsules({ client, out }: Context, scene: string, { version }: VersionOption): Promise<void> {
  const wanted = version === undefined ? {} : { version: parseVersion(version) }
  const [found, ms] = await timed(() => client.verifyCapsules(scene, wanted))
  out.result(found)
  const { recordings, capsules, same, inexact, differing, differences } = found
  if (capsules === 0) return out.next(nothingCaptured(scene, version))
  out.say(
    `${scene}: ${same} of ${capsules} captured requests gave the same bytes again, in ${recordings} ${recordings === 1 ? 'recording' : 'recordings'} and ${Math.round(ms)} ms`,
  )
  if (inexact > 0) out.say(`${inexact} did not, as they may: they are inexact`)
  for (const { version, capsule, entry, kind, what, inexact } of differences) {
    const why = inexact.length === 0 ? '' : ` (${inexact.join(', ')})`
    out.say(`  ${version}  ${capsule ?? ''}  entry ${entry} (${kind}): ${what}${why}`)
  }
  if (differing === 0) return
  throw new SdkError('REPLAY_DIFFERS', `${differing} recordings said something else, and no reason for it is known`, {
    hint: 'This is a defect of the base, unless a module answers by how deep it can recurse. Export one of the capsules above, and send it to whoever maintains the base.',
  })
}

const nothingCaptured = (scene: string, version: string | undefined): string =>
  version === undefined
    ? `No request of ${scene} is captured yet. Have one captured: ${lineToCapture(scene)}`
    : `No request of ${scene} that ${version} has answered is captured. All: sdk capsule list ${scene}`

/**
 * Answers it in a fresh slot of the base.
 * @throws SdkError USAGE without an id; RefusedError
 */
export async function answerAnew(
  { client, out }: Context,
  scene: string,
  id: string | undefined,
  { version }: VersionOption,
): Promise<void> {
  if (id === undefined) {
    const hint = 'Give a scene and the id of a capsule ("sdk capsule import" brings one to a base), or leave out --fresh and --version.'
    throw usage(`Cannot answer "${scene}" on a base: no capsule is named`, hint)
  }
  const run = await client.runCapsule(scene, id, version === undefined ? {} : { version: parseVersion(version) })
  out.result(run)
  const { answered, same, impure, recorded } = run
  showAnswer(out, answered.answer)
  for (const { level, message } of answered.logs) out.say(`  ${level}  ${message}`)
  const took = `${answered.cpuMs.toFixed(1)} ms of CPU, and ${answered.waitedMs.toFixed(1)} ms of waiting`
  out.next(`${run.version}: ${same ? 'the recorded answer, byte for byte' : 'not the recorded answer'}; ${took}`)
  if (!same) showComparison(out, recorded, answered.answer)
  if (impure) {
    const where = run.stage === undefined ? '' : `, from stage "${run.stage}" on`
    out.warn(
      `${run.version} is impure: in a fresh slot it answers its own request otherwise${where}, so it carries something over between requests`,
    )
  }
  if (run.inexact.length > 0)
    out.warn(`inexact (${run.inexact.join(', ')}): the other answer says nothing about the code of ${run.version}`)
  if (answered.newCalls.length > 0) out.warn(`not comparable: ${callsOf(run)}`)
}

const callsOf = ({ answered }: CapsuleRun): string =>
  `the capsule has no reply for ${[...new Set(answered.newCalls.map(({ kind, target }) => `${kind} ${target}`))].join(', ')}`

export interface BisectOptions {
  readonly capsule: string
  readonly expect: string
}

/** One version, or the parameters after one change, in the order in which they came to be. */
interface Step {
  readonly name: string
  readonly run: RunCapsule
}

export async function bisect({ client, out }: Context, scene: string, { capsule, expect }: BisectOptions): Promise<void> {
  const expected = await readExpected(expect)
  const { capsule: recorded } = await client.capsule(scene, capsule)
  const isWrong = async ({ name, run }: Step): Promise<boolean> => {
    const ran = await client.runCapsule(scene, capsule, run)
    const isRight = 'json' in ran.answered.answer && isDeepStrictEqual(JSON.parse(ran.answered.answer.json), expected)
    const calls = ran.answered.newCalls.length === 0 ? '' : `; not comparable, ${callsOf(ran)}`
    out.say(`  ${name}: ${isRight ? 'answers as expected' : 'answers otherwise'}${calls}`)
    return !isRight
  }
  const code = await firstWrong(await codeSteps(client, scene), isWrong)
  const params = await firstWrong(await paramsSteps(client, scene, recorded.version), isWrong)
  out.result({ code: nameOf(code), params: nameOf(params) })
  out.say(`code: ${describeCode(code)}`)
  out.say(`parameters: ${describeParams(params, recorded.version)}`)
}

/** Null too when the oldest is wrong already: then the cause is not among them. */
const nameOf = (found: FirstWrong): string | null => (found === undefined || found.isOldest ? null : found.name)

function describeCode(found: FirstWrong): string {
  if (found === undefined) return 'every version answers as expected, with the recorded parameters'
  if (found.isOldest) return `${found.name}, the oldest, answers otherwise already, with the recorded parameters: no version has brought it`
  return `${found.name} is the first to answer otherwise`
}

function describeParams(found: FirstWrong, version: string): string {
  if (found === undefined) return `with all of them ${version} answers as expected`
  if (found.isOldest) return `with the oldest of them ${version} answers otherwise already: no change of them has brought it`
  return `${found.name} is the first with which ${version} answers otherwise`
}

async function readExpected(file: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as unknown
  } catch (error) {
    throw usage(`Cannot read the expected answer "${file}": ${messageOf(error)}`, 'Name a file with the JSON of the right answer.')
  }
}

async function codeSteps(client: Context['client'], scene: string): Promise<Step[]> {
  return (await client.versions(scene)).map(({ id }) => ({ name: id, run: { version: id, params: 'recorded' } }))
}

async function paramsSteps(client: Context['client'], scene: string, version: string): Promise<Step[]> {
  const steps: Step[] = []
  const now = { scene: {}, version: {} }
  for (const { revision, version: of, after } of (await client.paramsHistory(scene)).toReversed()) {
    if (of !== null && of !== version) continue
    if (of === null) now.scene = after
    else now.version = after
    steps.push({ name: `the change of ${of ?? 'the scene'} at revision ${revision}`, run: { params: { ...now } } })
  }
  return steps
}

/** The first step that is wrong; undefined when the newest is right. */
type FirstWrong = (Step & { readonly isOldest: boolean }) | undefined

/** Halves what comes into question: once a step is wrong, all later ones are taken to be. */
async function firstWrong(steps: readonly Step[], isWrong: (step: Step) => Promise<boolean>): Promise<FirstWrong> {
  const last = steps.at(-1)
  if (last === undefined || !(await isWrong(last))) return undefined
  let [low, high] = [0, steps.length - 1]
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    if (await isWrong(steps[middle] as Step)) high = middle
    else low = middle + 1
  }
  return { ...(steps[high] as Step), isOldest: high === 0 }
}
