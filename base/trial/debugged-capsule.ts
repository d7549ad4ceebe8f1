/** Answers a capsule again in this process, for a debugger: see plain-isolates.ts. */
import type { Answered } from '../capsule/answered.ts'
import type { CapturedAnswer, KeptCapsule } from '../capsule/capsule.ts'
import type { LockedModule, LockedStage } from '../traffic/schema.ts'
import { lockedModules } from '../traffic/table.ts'
import { FirstStop } from './first-stop.ts'
import { onExports, providePlainIsolates } from './plain-isolates.ts'
import type { TapedParts } from './taped-slot.ts'

export interface DebuggedParts {
  /** The code of a module, with its source map in it. */
  codeOf(module: LockedModule): Promise<string>
  /** Awaited when all that comes before the request has entered the slot. @returns whether there is a debugger, to be stopped in the first stage that runs */
  beforeRequest(): Promise<boolean>
  /** Takes the reason of a promise that was rejected, and that no module handles. In a slot, a log line would say so. */
  onRejection(reason: unknown): void
}

/**
 * Replays the recording up to the last entry of the capsule.
 * @returns undefined when there was no answer: it had none then, or somebody has changed in the debugger what a module asks for
 * @throws ModuleError when the modules cannot be loaded
 */
export async function replayHere({ head, entries, capsule }: KeptCapsule, parts: DebuggedParts): Promise<CapturedAnswer | undefined> {
  return underDebugger(parts, lockedModules(head.lock), async (taped, stop) => {
    const [{ planOf, replay }, { answerIn }] = await Promise.all([import('./replay.ts'), import('./taped-slot.ts')])
    const plan = planOf(head)
    let answer: CapturedAnswer | undefined
    await replay({ head, entries: entries.slice(0, capsule.entries[1] + 1) }, taped, {
      // The code was printed again, and stacks have other lines.
      goesOn: true,
      before: async (_, place) => (place === capsule.entries[0] ? stop() : undefined),
      after: entered => {
        answer ??= answerIn(entered, capsule.no, plan)?.answer
      },
    })
    return answer
  })
}

/**
 * Answers the capsule with other modules, in a slot that has answered nothing before.
 * @param otherFor the module that is to run in the place of one that has answered; the same one when there is none
 * @throws ModuleError when the modules cannot be loaded
 */
export async function answerHere(
  kept: KeptCapsule,
  otherFor: (module: LockedModule) => LockedModule,
  parts: DebuggedParts,
): Promise<Answered> {
  const lock = kept.head.lock.map(stage => withOthers(stage, otherFor))
  return underDebugger(parts, lockedModules(lock), async (taped, stop) => {
    const [{ planOf }, { AnsweringSlot }] = await Promise.all([import('./replay.ts'), import('./answering.ts')])
    const answerer = { plan: { ...planOf(kept.head), lock }, cpuMs: Infinity, chance: 'recorded' } as const
    const onEntry = async (kind: string) => (kind === 'turn' ? stop() : undefined)
    const slot = await AnsweringSlot.open(answerer, kept, { ...taped, onEntry })
    try {
      return await slot.answer(kept)
    } finally {
      slot.end()
    }
  })
}

/** @param work is given what slots are made of here, and a function to be awaited before the request enters its slot */
async function underDebugger<T>(
  { codeOf, beforeRequest, onRejection }: DebuggedParts,
  modules: readonly LockedModule[],
  work: (taped: TapedParts, stop: () => Promise<void>) => Promise<T>,
): Promise<T> {
  const codes = new Map<string, string>()
  for (const module of modules) codes.set(module.bundle, await codeOf(module))
  providePlainIsolates()
  const functions: unknown[] = []
  onExports(exports => functions.push(...Object.values(exports)))
  // Only now isolated-vm is what stands in for it.
  const { CodeCache } = await import('../slot/code-cache.ts')
  const readBundle = async (digest: string) => codes.get(digest) ?? ''
  process.on('unhandledRejection', onRejection)
  try {
    return await work({ codeCache: new CodeCache(0), readBundle, onLost: () => undefined }, async () => {
      if (await beforeRequest()) new FirstStop().expect(functions)
    })
  } finally {
    process.off('unhandledRejection', onRejection)
  }
}

function withOthers(stage: LockedStage, otherFor: (module: LockedModule) => LockedModule): LockedStage {
  const { modules, merge, fallback } = stage
  return {
    ...stage,
    modules: modules.map(otherFor),
    ...(typeof merge === 'object' && { merge: otherFor(merge) }),
    ...(fallback !== undefined && 'module' in fallback && { fallback: { module: otherFor(fallback.module) } }),
  }
}
