import type { Failure } from '../inside/protocol.ts'
import { BerthError, type ErrorCode, errorTable } from '../kernel/errors.ts'

/** Characters of a failure's texts that leave the isolate's side. */
const TEXT_CHARS_MAX = 8192

/** An answer that did not come about, with what only the engineer should see. */
export class ModuleError extends BerthError {
  readonly module: string | undefined
  readonly stage: string | undefined
  readonly rawStack: string | undefined

  constructor(failure: Failure) {
    const extra = {
      ...(failure.stage !== undefined && { stage: failure.stage }),
      ...(failure.module !== undefined && { module: failure.module }),
    }
    super(failure.code in errorTable ? (failure.code as ErrorCode) : 'INTERNAL', failure.message, { extra })
    this.module = failure.module
    this.stage = failure.stage
    this.rawStack = failure.stack
  }
}

/** The error that a slot posted as JSON. Whatever a module has done to the code around it, this is an error that can be told. */
export function parseFailure(text: string): ModuleError {
  try {
    const { code, message, ...rest } = JSON.parse(text) as Readonly<Record<string, unknown>>
    if (isErrorCode(code) && typeof message === 'string') return new ModuleError({ code, message: cut(message), ...where(rest) })
  } catch {
    // Said below: what cannot be read is the module's doing.
  }
  return new ModuleError({ code: 'MODULE_THREW', message: 'The module has broken the code that runs it' })
}

/** A module may blame itself or the JSON it was sent, nobody else. */
function isErrorCode(code: unknown): code is ErrorCode {
  if (typeof code !== 'string' || !Object.hasOwn(errorTable, code)) return false
  return code === 'BODY_MALFORMED' || errorTable[code as ErrorCode].blame === 'module'
}
const cut = (text: string): string => text.slice(0, TEXT_CHARS_MAX)

function where({ stage, module, stack }: Readonly<Record<string, unknown>>): Pick<Failure, 'stage' | 'module' | 'stack'> {
  return {
    ...(typeof stage === 'string' && { stage: cut(stage) }),
    ...(typeof module === 'string' && { module: cut(module) }),
    ...(typeof stack === 'string' && { stack: cut(stack) }),
  }
}
