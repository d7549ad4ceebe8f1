import { type Failure, type Misfit, REJECTION_REASON } from '../inside/protocol.ts'
import { BerthError, type Blame, type ErrorCode, errorTable, isErrorCode } from '../kernel/errors.ts'
import { limits } from '../kernel/limits.ts'
import { adviceFor, explainLoad, type Located, type Stacks } from '../kernel/stacks.ts'
import { lockedModules, type SlotPlan } from '../traffic/table.ts'

/** Characters of each text of a failure that are kept. */
const TEXT_CHARS_MAX = 8192

/** What somebody who may see the sources of a module is shown of a stack. */
export type Seen = { readonly [Key in 'stack' | 'frame' | 'at']?: Located[Key] | undefined }

/** Why a module gave no answer, with what only its engineer should see. */
export class ModuleError extends BerthError {
  readonly module: string | undefined
  readonly stage: string | undefined
  readonly rawStack: string | undefined
  readonly #failure: Failure

  /** The place in the sources that threw, once it has been read. */
  readonly located: Seen

  constructor(failure: Failure, advice = adviceFor(failure.message), located: Seen = {}) {
    const extra = {
      ...(failure.stage !== undefined && { stage: failure.stage }),
      ...(failure.module !== undefined && { module: failure.module }),
      ...(isErrorCode(failure.uncaught) && { uncaught: uncaughtOf(failure.uncaught) }),
      ...(failure.reason !== undefined && { reason: failure.reason }),
      ...(failure.details !== undefined && { details: JSON.parse(failure.details) as unknown }),
      ...(failure.faults !== undefined && { faults: failure.faults }),
    }
    super(isErrorCode(failure.code) ? failure.code : 'INTERNAL', failure.message, { extra, advice })
    this.module = failure.module
    this.stage = failure.stage
    this.rawStack = failure.stack
    this.located = located
    this.#failure = failure
  }

  /** This error, with the stack of the code that it is about. */
  at(stack: string): ModuleError {
    return new ModuleError({ ...this.#failure, stack: `${this.message}\n${stack}` })
  }

  /** This error, whose message is one of loading, with the place in the sources that threw. */
  async inSources(stacks: Stacks, { lock }: Pick<SlotPlan, 'lock'>): Promise<ModuleError> {
    const explained = await explainLoad(stacks, { message: this.message, stack: this.rawStack }, lockedModules(lock))
    const { message, advice, stack, frame, at } = explained
    return new ModuleError({ ...this.#failure, message }, advice, stack === undefined ? {} : { stack, frame, at })
  }
}

/** What has to be mended for the call to succeed, and by whom. The module is to blame for not having caught its error, and it is the caller of what it calls. */
function uncaughtOf(code: ErrorCode): { readonly code: ErrorCode; readonly blame: Blame; readonly fix: string } {
  const { blame, fix } = errorTable[code]
  return { code, blame: blame === 'caller' ? 'module' : blame, fix }
}

/**
 * The error that a slot posted as JSON. Whatever a module has done to the code around it, this returns an error that can be answered with.
 */
export function parseFailure(text: string): ModuleError {
  try {
    const { code, message, ...rest } = JSON.parse(text) as Readonly<Record<string, unknown>>
    if (isCodeOfSlots(code) && typeof message === 'string')
      return failureOf({ code, message: cut(message), ...where(rest), ...refusal(code, rest) })
  } catch {
    // Only a module can have made it unreadable: the error below says so.
  }
  return new ModuleError({ code: 'MODULE_THREW', message: 'The module has broken the code that runs it' })
}

/** What the base could not do for a module is not the failure of the module that lets the error through: no change of it would mend the cause. */
function failureOf(failure: Failure): ModuleError {
  const { uncaught, ...rest } = failure
  const isOfBase = isErrorCode(uncaught) && errorTable[uncaught].blame === 'base'
  return new ModuleError(isOfBase ? { ...rest, code: uncaught } : failure)
}

/** The codes with which a request fails inside a slot, and which blame its caller. */
const CODES_OF_CALLERS: ReadonlySet<unknown> = new Set<ErrorCode>(['BODY_MALFORMED', 'REQUEST_INVALID', 'REQUEST_REJECTED'])

/** Whether a request may fail with this code inside a slot: the codes are those that blame the module, or what it was sent. */
function isCodeOfSlots(code: unknown): code is ErrorCode {
  return isErrorCode(code) && (CODES_OF_CALLERS.has(code) || errorTable[code].blame === 'module')
}

const cut = (text: string): string => text.slice(0, TEXT_CHARS_MAX)

function where({ uncaught, stage, module, stack }: Readonly<Record<string, unknown>>): Omit<Failure, 'code' | 'message'> {
  return {
    ...(typeof uncaught === 'string' && { uncaught }),
    ...(typeof stage === 'string' && { stage: cut(stage) }),
    ...(typeof module === 'string' && { module: cut(module) }),
    ...(typeof stack === 'string' && { stack: cut(stack) }),
  }
}

/** What a caller may see of why the request was refused. @throws when it is not as the code inside makes it */
function refusal(
  code: ErrorCode,
  { reason, details, faults }: Readonly<Record<string, unknown>>,
): Pick<Failure, 'reason' | 'details' | 'faults'> {
  if (code === 'REQUEST_REJECTED') {
    if (typeof reason !== 'string' || !REJECTION_REASON.test(reason)) throw new TypeError('a rejection without a reason')
    return typeof details === 'string' && details.length <= limits.request.rejectionCharsMax ? { reason, details } : { reason }
  }
  return Array.isArray(faults) ? { faults: faults.slice(0, limits.request.misfitsMax).map(toMisfit) } : {}
}

function toMisfit(value: unknown): Misfit {
  const { pointer, expected }: Readonly<Record<keyof Misfit, unknown>> = Object(value)
  return { pointer: cut(String(pointer)), expected: cut(String(expected)) }
}
