/** Finds the stage from which on a version answers its own capsule otherwise in a fresh slot. */
import { isDeepStrictEqual } from 'node:util'
import type { CapturedAnswer, KeptCapsule } from '../capsule/capsule.ts'
import { limits } from '../kernel/limits.ts'
import { type AnsweringParts, AnsweringSlot } from './answering.ts'
import { planOf, shownIn } from './replay.ts'
import { answerIn, TapedSlot } from './taped-slot.ts'

/**
 * Compares what the first stages give in the slot as it was when the capsule was recorded with what they give in a fresh one: of the first stage, of the first
 * two, and so on.
 * @returns the first stage whose result differs; the last one when none before it does
 */
export async function stageOfParting(kept: KeptCapsule, cpuMs: number, parts: AnsweringParts): Promise<string | undefined> {
  const { lock } = kept.head
  for (let stages = 1; stages < lock.length; stages++) {
    const [then, fresh] = [await resultThen(kept, stages, parts), await resultFresh(kept, stages, cpuMs, parts)]
    if (!isDeepStrictEqual(then, fresh)) return lock[stages - 1]?.stage
  }
  return lock.at(-1)?.stage
}

/** The result of the first stages, after everything that had entered the slot before the capsule. */
async function resultThen(
  { head, entries, capsule }: KeptCapsule,
  stages: number,
  parts: AnsweringParts,
): Promise<CapturedAnswer | undefined> {
  const [load] = entries
  if (load === undefined) return undefined
  const settings = { seed: head.seed, services: head.services, cpuMs: limits.capsule.entryCpuMsMax }
  const { slot } = await TapedSlot.load(planOf(head), settings, shownIn(load), parts)
  const plan = { ...planOf(head), lock: head.lock.slice(0, stages), schemas: {} }
  try {
    for (const [place, entry] of entries.entries()) {
      if (entry.kind === 'load' || !slot.isAlive) continue
      if (place === capsule.entries[0]) await slot.runStages(plan, head.services)
      const found = answerIn(await slot.enter(entry.kind, entry.values, shownIn(entry)), capsule.no, plan)
      if (found !== undefined && place >= capsule.entries[0]) return found.answer
    }
    return undefined
  } finally {
    slot.end()
  }
}

async function resultFresh(kept: KeptCapsule, stages: number, cpuMs: number, parts: AnsweringParts): Promise<CapturedAnswer> {
  // All modules are loaded, as they are for the whole answer.
  const plan = planOf(kept.head)
  const slot = await AnsweringSlot.open({ plan, cpuMs, chance: 'recorded' }, kept, parts)
  try {
    await slot.runStages({ ...plan, lock: plan.lock.slice(0, stages), schemas: {} })
    return (await slot.answer(kept)).answer
  } finally {
    slot.end()
  }
}
