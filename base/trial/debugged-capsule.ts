/** Answers a capsule again in this process, for a debugger: see plain-isolates.ts. */
import type { CapturedAnswer, ExportedCapsule } from '../capsule/capsule.ts'
import { ANSWER_STRIDE, AnswerKind, type Failure } from '../inside/protocol.ts'
import type { LockedModule } from '../traffic/schema.ts'
import { lockedModules } from '../traffic/table.ts'
import { FirstStop } from './first-stop.ts'
import { onExports, providePlainIsolates } from './plain-isolates.ts'
import type { Entered } from './taped-slot.ts'

export interface DebuggedParts {
  /** The code of a module, with its source map in it. */
  codeOf(module: LockedModule): Promise<string>
  /** Called when all that comes before the capsule has entered the slot, and awaited. */
  beforeRequest(): Promise<void>
  /** Takes the reason of a promise that was rejected, and that no module handles. In a slot, a log line would say so. */
  onRejection(reason: unknown): void
}

/**
 * Puts in the entries of the recording up to the last of the capsule. The debugger stops in the first stage that runs for the request of the capsule.
 * @returns undefined when there was no answer: it had none then, or somebody has changed in the debugger what a module asks for
 * @throws ModuleError when the modules cannot be loaded
 */
export async function answerHere({ head, entries, capsule }: ExportedCapsule, parts: DebuggedParts): Promise<CapturedAnswer | undefined> {
  providePlainIsolates()
  const functions: unknown[] = []
  onExports(exports => functions.push(...Object.values(exports)))
  const codes = new Map<string, string>()
  for (const module of lockedModules(head.lock)) codes.set(module.bundle, await parts.codeOf(module))
  // Only now isolated-vm is what stands in for it.
  const [{ replay }, { CodeCache }] = await Promise.all([import('./replay.ts'), import('../slot/code-cache.ts')])
  const [first, last] = capsule.entries
  let answer: CapturedAnswer | undefined
  process.on('unhandledRejection', parts.onRejection)
  try {
    await replay(
      { head, entries: entries.slice(0, last + 1) },
      { codeCache: new CodeCache(0), readBundle: async digest => codes.get(digest) ?? '', onLost: () => undefined },
      {
        // The code was printed again, and stacks have other lines.
        goesOn: true,
        before: async (_, place) => {
          if (place !== first) return
          await parts.beforeRequest()
          new FirstStop().expect(functions)
        },
        after: entered => {
          answer ??= answerIn(entered, capsule.no)
        },
      },
    )
  } finally {
    process.off('unhandledRejection', parts.onRejection)
  }
  return answer
}

/** The answer to a request, if it is in what came of an entry. */
function answerIn({ posts, outcome }: Entered, no: number): CapturedAnswer | undefined {
  const posted = posts.flatMap(([kind, ...values]) => (kind === 'answers' ? [values] : []))
  const returned = 'returned' in outcome && Array.isArray(outcome.returned) ? [outcome.returned as unknown[]] : []
  for (const values of [...posted, ...returned]) {
    for (let i = 0; i < values.length; i += ANSWER_STRIDE) {
      if (values[i] === no && values[i + 1] !== AnswerKind.waiting) return answerOf(Number(values[i + 1]), String(values[i + 2]))
    }
  }
  return undefined
}

function answerOf(kind: number, text: string): CapturedAnswer {
  if (kind === AnswerKind.failed) return { failure: JSON.parse(text) as Failure }
  return { json: kind === AnswerKind.noted ? text.slice(text.indexOf('\n') + 1) : text }
}
