/** What the SDK throws: its own findings, and what a base refused. Both know what to do next and how the command line ends. */
import type { Problem } from '../base/contract/problem-api.ts'
import type { ErrorCode } from '../base/kernel/errors.ts'

/** Exit codes of the command line. */
export const exitCodes = { ok: 0, refused: 1, usage: 2, unreachable: 3, defect: 4 } as const
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes]

/** Codes of the base where they fit, and what only the SDK can find. */
export type SdkCode =
  | ErrorCode
  | 'ANSWER_UNEXPECTED'
  | 'BASE_NOT_STARTED'
  | 'BASE_UNREACHABLE'
  | 'BUILTIN_IMPORTED'
  | 'CANCELLED'
  | 'COMPILE_FAILED'
  | 'ENTRY_NOT_FOUND'
  | 'FILE_NOT_TEXT'
  | 'FILE_UNREADABLE'
  | 'FILE_UNWRITABLE'
  | 'REPLAY_DIFFERS'
  | 'IMPORT_DYNAMIC'
  | 'IMPORT_OUTSIDE'
  | 'LOG_INVALID'
  | 'PACKAGE_INVALID'
  | 'SDK_DEFECT'
  | 'TARGET_EXISTS'
  | 'TESTS_NOT_FOUND'
  | 'TYPES_STALE'
  | 'TYPES_WRONG'
  | 'USAGE'

export interface SdkErrorOptions {
  /** What to do next, one sentence. */
  readonly hint?: string
  /** More lines for a reader, such as a code frame. */
  readonly details?: string
  /** @default exitCodes.refused */
  readonly exit?: ExitCode
  readonly cause?: unknown
}

/** `message` starts with what could not be done, then why: `Cannot bundle "modules/x": …`. */
export class SdkError extends Error {
  readonly code: SdkCode
  readonly hint: string | undefined
  readonly details: string | undefined
  readonly exit: ExitCode

  constructor(code: SdkCode, message: string, options: SdkErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'SdkError'
    this.code = code
    this.hint = options.hint
    this.details = options.details
    this.exit = options.exit ?? exitCodes.refused
  }
}

/** Advice for users of the command line, where that of the base is for people who write requests themselves. */
const hints: Partial<Readonly<Record<ErrorCode, string>>> = {
  VALIDATION_FAILED:
    'The scene is as it was. Mend what the report names, or allow it in "validation" of the scene. To go on regardless: the same command with --validation report.',
  UNAUTHENTICATED: 'Give a token of this base with --token or BERTH_TOKEN, or name its data folder in BERTH_DATA.',
  REVISION_CONFLICT: 'Run the same command again: it starts from what is in force now.',
}

/** A base refused; `problem` is its whole answer. */
export class RefusedError extends SdkError {
  readonly problem: Problem
  /** Of a request to a scene: the id of its capsule, or `none; ` and why it has none though it asked for one. */
  readonly capsule: string | undefined

  /** @param advice more than the base knows, for after its own */
  constructor(problem: Problem, { advice, capsule }: { readonly advice?: string | undefined; readonly capsule?: string | undefined } = {}) {
    const hint = [hints[problem.code] ?? problem.fix, advice].filter(text => text !== undefined).join(' ')
    const details = [...framed(problem), ...uncaughtIn(problem), ...rejectionIn(problem), ...changesIn(problem), ...placeOf(problem)].join(
      '\n',
    )
    super(problem.code, problem.detail, {
      ...(hint === '' ? {} : { hint }),
      ...(details === '' ? {} : { details }),
    })
    this.name = 'RefusedError'
    this.problem = problem
    this.capsule = capsule
  }
}

/** Which failure the module has not caught, and what mends that. */
function uncaughtIn({ uncaught }: Problem): string[] {
  return uncaught === undefined ? [] : [`The module did not catch ${uncaught.code}: ${uncaught.fix}`]
}

/** With which code and details a stage has rejected the request. */
function rejectionIn({ reason, details }: Problem): string[] {
  return reason === undefined ? [] : [`${reason}${details === undefined ? '' : ` ${JSON.stringify(details)}`}`]
}

/** The lines that threw, then the stack. */
const framed = ({ frame, stack }: Problem): string[] => [
  ...(frame === undefined ? [] : [frame, '']),
  ...(stack === undefined ? [] : [stack]),
]

/** What finds a failure in the log: `scene home, version v1, module ranker@1.0.0, request 1f-3`. An error that the caller is to blame for is in no log, unless a stage says so. */
function placeOf(problem: Problem): string[] {
  if (problem.blame === 'caller' && problem.reason === undefined) return []
  const members = (['scene', 'version', 'stage', 'module'] as const).filter(name => problem[name] !== undefined)
  const request = problem.requestId === undefined ? [] : [`request ${problem.requestId}`]
  const place = [...members.map(name => `${name} ${problem[name]}`), ...request]
  return place.length === 0 ? [] : [place.join(', ')]
}

/** What changed in the meantime, when that is why: `09:41:07 alice: flip experiment exp-7 (ramping up)`. */
function changesIn({ code, changes = [] }: Problem): string[] {
  if (code !== 'REVISION_CONFLICT') return []
  return changes.map(({ at, whoLabel, action, change, reason }) => {
    const { experiment } = Object(change?.payload) as { readonly experiment?: unknown }
    const what = typeof experiment === 'string' ? `${action} ${experiment}` : action
    return `  ${new Date(at).toTimeString().slice(0, 8)} ${whoLabel}: ${what}${reason === undefined ? '' : ` (${reason})`}`
  })
}
