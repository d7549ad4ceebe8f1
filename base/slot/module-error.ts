import type { Failure } from '../inside/protocol.ts'
import { BerthError, type Blame, type ErrorCode, errorTable } from '../kernel/errors.ts'
import { adviceFor, explainLoad, type Stacks } from '../kernel/stacks.ts'
import { lockedModules, type SlotPlan } from '../traffic/table.ts'

/** Characters of each text of a failure that are kept. */
const TEXT_CHARS_MAX = 8192

/** Why a module gave no answer, with what only its engineer should see. */
export class ModuleError extends BerthError {
  readonly module: string | undefined
  readonly stage: string | undefined
  readonly rawStack: string | undefined
  readonly #failure: Failure

  constructor(failure: Failure, advice = adviceFor(failure.message)) {
    const extra = {
      ...(failure.stage !== undefined && { stage: failure.stage }),
      ...(failure.module !== undefined && { module: failure.module }),
      ...(isCode(failure.uncaught) && { uncaught: uncaughtOf(failure.uncaught) }),
    }
    super(isCode(failure.code) ? failure.code : 'INTERNAL', failure.message, { extra, advice })
    this.module = failure.module
    this.stage = failure.stage
    this.rawStack = failure.stack
    this.#failure = failure
  }

  /** This error, whose message is one of loading, with the place in the sources that threw. */
  async inSources(stacks: Stacks, { lock }: Pick<SlotPlan, 'lock'>): Promise<ModuleError> {
    const { message, advice } = await explainLoad(stacks, { message: this.message, stack: this.rawStack }, lockedModules(lock))
    return new ModuleError({ ...this.#failure, message }, advice)
  }
}

/** What has to be mended for the call to succeed, and by whom. The module is to blame for not having caught its error. */
function uncaughtOf(code: ErrorCode): { readonly code: ErrorCode; readonly blame: Blame; readonly fix: string } {
  const { blame, fix } = errorTable[code]
  return { code, blame, fix }
}

/**
 * The error that a slot posted as JSON. Whatever a module has done to the code around it, this returns an error that can be answered with.
 */
export function parseFailure(text: string): ModuleError {
  try {
    const { code, message, ...rest } = JSON.parse(text) as Readonly<Record<string, unknown>>
    if (isErrorCode(code) && typeof message === 'string') return failureOf({ code, message: cut(message), ...where(rest) })
  } catch {
    // Only a module can have made it unreadable: the error below says so.
  }
  return new ModuleError({ code: 'MODULE_THREW', message: 'The module has broken the code that runs it' })
}

/** What the base could not do for a module is not the failure of the module that lets the error through: no change of it would mend the cause. */
function failureOf(failure: Failure): ModuleError {
  const { uncaught, ...rest } = failure
  const isOfBase = isCode(uncaught) && errorTable[uncaught].blame === 'base'
  return new ModuleError(isOfBase ? { ...rest, code: uncaught } : failure)
}

/** Whether a module may fail with this code. It may with codes that blame the module, or the JSON that it was sent. */
function isErrorCode(code: unknown): code is ErrorCode {
  return isCode(code) && (code === 'BODY_MALFORMED' || errorTable[code].blame === 'module')
}

const isCode = (code: unknown): code is ErrorCode => typeof code === 'string' && Object.hasOwn(errorTable, code)

const cut = (text: string): string => text.slice(0, TEXT_CHARS_MAX)

function where({ uncaught, stage, module, stack }: Readonly<Record<string, unknown>>): Omit<Failure, 'code' | 'message'> {
  return {
    ...(typeof uncaught === 'string' && { uncaught }),
    ...(typeof stage === 'string' && { stage: cut(stage) }),
    ...(typeof module === 'string' && { module: cut(module) }),
    ...(typeof stack === 'string' && { stack: cut(stack) }),
  }
}
