/** Has captured requests replayed bit for bit, or answered again by a version. */
import { isDeepStrictEqual } from 'node:util'
import type { Answered } from '../../capsule/answered.ts'
import type { Capsule, CapturedAnswer, Inexactness, KeptCapsule, RecordingHead } from '../../capsule/capsule.ts'
import type { CapsuleRun, RunCapsule, Verification } from '../../contract/capsule-api.ts'
import { BerthError } from '../../kernel/errors.ts'
import { limits } from '../../kernel/limits.ts'
import { type SlotPlan, slotPlan } from '../../traffic/table.ts'
import type { SentContender } from '../../wire/validator-messages.ts'
import type { Book } from '../book/book.ts'
import type { Capsules } from '../capsules/capsules.ts'
import type { ReplayedRecording, Validators } from '../cells/validators.ts'

interface Parts {
  readonly book: Book
  readonly capsules: Capsules
  readonly validators: Pick<Validators, 'answer' | 'part' | 'replay'>
}

/**
 * Replays the newest recordings of a scene from their loads, in one fresh process, as many as two processes can hold in memory.
 * @param version whose; of every version when undefined
 */
export async function verifyCapsules(
  { book, capsules, validators }: Parts,
  scene: string,
  version: string | undefined,
): Promise<Verification> {
  const of = version === undefined ? undefined : book.scenes.version(scene, version).id
  const recordings = capsules.recordings(scene, of, limits.capsule.answeredBytesMax).slice(0, limits.capsule.verifiedMax)
  const counts = { recordings: 0, capsules: 0, same: 0, inexact: 0 }
  const differences: Verification['differences'][number][] = []
  await validators.replay(scene, recordings, replayed => {
    counts.recordings++
    const { same, inexact, difference } = countOf(replayed)
    counts.capsules += replayed.recording.capsules.length
    counts.same += same
    counts.inexact += inexact
    if (difference !== undefined) differences.push(difference)
  })
  return { ...counts, differing: differences.filter(({ inexact }) => inexact.length === 0).length, differences }
}

/** How many capsules of a recording gave the same bytes; how many did not, and are inexact; and what was the first that did not. */
function countOf({ recording: { head, capsules }, replayed: { difference, inexact: elsewhere } }: ReplayedRecording) {
  if (difference === undefined) return { same: capsules.length, inexact: 0, difference: undefined }
  const differing = capsules.filter(({ entries }) => entries[1] >= difference.entry)
  const [first] = differing
  // What comes after the last request is of what that one and those before it have left behind.
  const inexact = reasonsOf(elsewhere, first ?? capsules.at(-1))
  const about = { recording: head.id, version: head.version, ...(first !== undefined && { capsule: first.id }), inexact: [...inexact] }
  return {
    same: capsules.length - differing.length,
    inexact: inexact.length > 0 ? differing.length : 0,
    difference: { ...about, ...difference },
  }
}

const reasonsOf = (elsewhere: readonly Inexactness[], capsule: Capsule | undefined): Inexactness[] => [
  ...new Set([...elsewhere, ...(capsule?.inexact ?? [])]),
]

/** Answers a capsule in a fresh slot, with the version that has answered it or with another. @throws CAPSULE_NOT_FOUND, VERSION_NOT_FOUND */
export async function runCapsule(
  { book, capsules, validators }: Parts,
  scene: string,
  id: string,
  wanted: RunCapsule,
): Promise<CapsuleRun> {
  const kept = await capsules.read(id)
  const contender = contenderOf(book, scene, kept, wanted)
  const isOwn = wanted.version === undefined && contender.sceneParams === undefined
  const job = { scene, capsules: [id], contenders: [contender], freshness: 'fresh', measuresHeap: false, asksTables: !isOwn } as const
  const answers: Answered[] = []
  await validators.answer(job, taken => answers.push(...taken), AbortSignal.timeout(limits.capsule.silentMsMax))
  const [answered] = answers
  // It may have been deleted meanwhile.
  capsules.get(scene, id)
  if (answered === undefined) throw new BerthError('INTERNAL', `Cannot run capsule "${id}": no answer came in time`)
  const { answer } = kept.capsule
  const same = isDeepStrictEqual(plain(answer), plain(answered.answer))
  const run = { capsule: id, version: contender.plan.version, recorded: answer, answered, same }
  if (same || !isOwn || answered.newCalls.length > 0) return { ...run, impure: false, inexact: [] }
  const { isReplayed, inexact } = await replayUpTo(validators, scene, kept.capsule)
  const impure = isReplayed && inexact.length === 0
  const stage = impure ? await validators.part(scene, id, contender.cpuMs) : undefined
  return { ...run, impure, inexact, ...(stage !== undefined && { stage }) }
}

/** Whether the recording gives the same bytes up to the end of a capsule, and why it may not. Otherwise another answer shows nothing about the code. */
async function replayUpTo(validators: Parts['validators'], scene: string, capsule: Capsule) {
  let [isReplayed, inexact]: [boolean, Inexactness[]] = [false, []]
  await validators.replay(scene, [capsule.recording], ({ replayed }) => {
    isReplayed = replayed.same > capsule.entries[1]
    inexact = reasonsOf(replayed.inexact, capsule)
  })
  return { isReplayed, inexact }
}

/** Without members that are undefined. */
const plain = (answer: CapturedAnswer): unknown => JSON.parse(JSON.stringify(answer))

function contenderOf(book: Book, scene: string, { head }: KeptCapsule, { version, params }: RunCapsule): SentContender {
  const { definition, rules } = book.scenes.get(scene)
  const plan = version === undefined ? recordedPlan(head) : slotPlan(definition, book.scenes.version(scene, version))
  const contender = { plan, cpuMs: cpuMsOf(book, scene), chance: 'recorded' } as const
  if (params === 'recorded' || (params === undefined && version === undefined)) return contender
  if (params !== undefined) return { ...contender, sceneParams: params.scene, versionParams: params.version }
  return { ...contender, sceneParams: definition.params, versionParams: rules.versionParams?.[plan.version] ?? {} }
}

function recordedPlan({ scene, version, memoryMB, lock, schemas }: RecordingHead): SlotPlan {
  return { key: `${scene}/${version}`, scene, version, memoryMB, lock, ...(schemas !== undefined && { schemas }) }
}

function cpuMsOf(book: Book, scene: string): number {
  const { deadlineMs, cpuMs = deadlineMs / 4 } = book.scenes.get(scene).definition.traffic
  return cpuMs
}
