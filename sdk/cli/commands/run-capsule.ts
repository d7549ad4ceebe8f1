/** `sdk capsule run`, and `sdk invoke --inspect`: answers a captured request again in this process, where a debugger may have it. */
import { existsSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import type { CapturedAnswer, ExportedCapsule } from '../../../base/capsule/capsule.ts'
import { messageOf } from '../../../base/kernel/errors.ts'
import { parseKeepingNumbers } from '../../../base/kernel/exact-json.ts'
import type { InvocationAnswer } from '../../api/client.ts'
import { type Inspected, inspectCapsule } from '../../author/inspected-capsule.ts'
import { RefusedError, SdkError } from '../../sdk-error.ts'
import { usage } from '../arguments.ts'
import { type CommonOptions, type Context, createContext } from '../context.ts'
import { openDebugger } from '../debugging.ts'
import { isCapsuleFile, readExported } from '../files/exported-capsule.ts'
import { colorsFor } from '../terminal/colors.ts'
import { failureText } from '../terminal/failure.ts'
import { createOutput, type Output } from '../terminal/output.ts'
import { diffAnswers, formatDelta } from '../views/answer-diff.ts'

export interface RunOptions {
  /** Waits for a debugger, which is stopped in the first stage of the request. */
  readonly inspect?: boolean
  /** Folders of modules that answer in the place of those of their names. */
  readonly with?: readonly string[]
}

/** @param source a scene; or, without `id`, the file of an exported capsule */
export async function runCapsule(source: string, id: string | undefined, options: RunOptions & CommonOptions): Promise<void> {
  if (id === undefined) {
    demandFile(source)
    await answerAgain(createOutput(options.json ?? false), await readExported(source), options)
    return
  }
  const { client, out } = await createContext(options)
  await answerAgain(out, await client.exportCapsule(source, id), options)
}

/** @throws SdkError USAGE when it seems to be the id of a scene */
function demandFile(source: string): void {
  if (isCapsuleFile(source) || existsSync(source)) return
  const hint = `Name a capsule too: sdk capsule run ${source} ID ("sdk capsule list ${source}" lists them), or the file of one.`
  throw usage(`Cannot run "${source}": it is no file, and no capsule is named`, hint)
}

/** Shows what has answered, then the answer that it came to now. */
async function answerAgain(out: Output, exported: ExportedCapsule, { inspect = false, with: others = [] }: RunOptions): Promise<void> {
  const { id, scene, version, at, requestId, inexact } = exported.capsule
  out.next(`Capsule ${id}: request ${requestId}, answered by ${scene} ${version} at ${at}.`)
  out.next('The modules run in this process: not in a slot, and without its limits.')
  if (inexact.length > 0) out.warn(`It is not exact, and may come to another answer: ${inexact.join(', ')}`)
  const inspected = await inspectCapsule(exported, {
    others,
    beforeRequest: async () => {
      if (inspect) await openDebugger()
      return inspect
    },
    onRejection: reason => out.warn(`A promise was rejected, and no module handles that: ${messageOf(reason)}`),
    onOther: path => {
      if (inspect) out.warn(`${path} is not what has answered: the debugger shows the published text`)
    },
  })
  showInspected(out, exported, inspected)
}

function showInspected(out: Output, { capsule }: ExportedCapsule, { answer, newCalls }: Inspected): void {
  const before = capsule.answer
  const same = answer !== undefined && diffAnswers(documentOf(before), documentOf(answer)) === undefined
  out.result({ capsule: capsule.id, answer: answer === undefined ? null : documentOf(answer), same, newCalls })
  const asked = [...new Set(newCalls.map(({ target }) => target))]
  if (asked.length > 0) out.warn(`The capsule has no reply of ${asked.join(', ')}: the calls have failed`)
  if (answer !== undefined) showAnswer(out, answer)
  else if ('failure' in before) out.warn(`It came to no answer. Then it failed with ${before.failure.code}: ${before.failure.message}`)
  else out.warn('It came to no answer: a module has asked for something else than then, or for nothing')
  if (same) out.next('The same answer as then.')
  else if (answer !== undefined) showComparison(out, before, answer)
}

export const showAnswer = (out: Output, answer: CapturedAnswer): void => out.say(JSON.stringify(documentOf(answer), null, 2))

/** Shows where two answers differ, if they do as documents. */
export function showComparison(out: Output, before: CapturedAnswer, after: CapturedAnswer): void {
  const delta = diffAnswers(documentOf(before), documentOf(after))
  if (delta === undefined) return
  out.next(['Another answer than then:', ...formatDelta(delta, colorsFor(process.stderr).isColorSupported)].join('\n'))
}

const documentOf = (answer: CapturedAnswer): unknown =>
  'json' in answer ? parseKeepingNumbers(answer.json) : { failure: { code: answer.failure.code, message: answer.failure.message } }

// Requests that were captured for this

/** Whoever debugs a request stops it at their own machine, where modules run without limits. @throws SdkError USAGE */
export function demandOnThisMachine({ hostname, origin }: URL): void {
  if (/^(localhost|127(\.\d+){3}|\[::1\])$/.test(hostname)) return
  const hint =
    'Send it with --header "x-scene-capture: 1", then "sdk capsule run SCENE ID --inspect" debugs the capsule that the answer names.'
  throw usage(`Cannot inspect a request to ${origin}: that is no base on this machine`, hint)
}

/** How often a request is sent whose recorder is loading or has another request. */
const SENT_MAX = 4

/**
 * @param send sends a request that asks to be captured
 * @throws SdkError what is no answer of a module; CAPSULE_NOT_FOUND when it was not captured
 */
export async function inspectRequest(
  { client, out }: Context,
  scene: string,
  send: () => Promise<InvocationAnswer>,
  show: (answer: InvocationAnswer) => void,
): Promise<void> {
  for (let sent = 1; ; sent++) {
    const [id = '', reason] = (await capsuleOf(send(), show)).split('; ')
    if (reason === undefined) return answerAgain(out, await exportSoon(() => client.exportCapsule(scene, id)), { inspect: true })
    if (sent < SENT_MAX && passing.includes(reason)) out.next(`It was not captured, because its recorder is ${reason}. Sending it again.`)
    else {
      const hint =
        'Nothing is captured of a scene with "capsules": { "off": true }, on a base with --capsules off, and while memory is short.'
      throw new SdkError('CAPSULE_NOT_FOUND', `Cannot inspect the request: it was not captured (${reason})`, { hint })
    }
  }
}

/** Why a request is not captured that would be a moment later. */
const passing: readonly string[] = ['loading', 'busy']

async function capsuleOf(answering: Promise<InvocationAnswer>, show: (answer: InvocationAnswer) => void): Promise<string> {
  try {
    const answer = await answering
    show(answer)
    return answer.capsule ?? 'none; the base does not know of capsules'
  } catch (error) {
    if (!(error instanceof RefusedError) || error.capsule === undefined) throw error
    process.stderr.write(`${failureText(error)}\n`)
    return error.capsule
  }
}

/** Milliseconds within which a capsule is kept once its request was answered, and between two looks for it. */
const KEPT_MS_MAX = 3000
const LOOK_MS = 50

/** A request is answered before its capsule is kept. */
async function exportSoon(attempt: () => Promise<ExportedCapsule>): Promise<ExportedCapsule> {
  const until = performance.now() + KEPT_MS_MAX
  for (;;) {
    try {
      return await attempt()
    } catch (error) {
      if (!(error instanceof SdkError) || error.code !== 'CAPSULE_NOT_FOUND' || performance.now() > until) throw error
      await delay(LOOK_MS)
    }
  }
}
