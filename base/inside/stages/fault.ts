/** Failures of stages. */
import { codesOf } from '../calls/failures.ts'
import type { Failure } from '../protocol.ts'
import { kindOf, messageOf, stackOf } from '../to-text.ts'
import { rejectionOf } from './rejection.ts'
import type { Step } from './version.ts'

/** A failure on its way through a group; no module can make one. */
export class Fault {
  readonly failure: Failure
  constructor(failure: Failure) {
    this.failure = failure
  }

  /** Whether a stage has refused the request. That is no failure of the stage, so nothing stands in for it. */
  get isRejection(): boolean {
    return this.failure.code === 'REQUEST_REJECTED'
  }
}

export function threw({ stage, module }: Step, error: unknown): Fault {
  const rejection = rejectionOf(error)
  if (rejection !== undefined) return new Fault({ code: 'REQUEST_REJECTED', ...rejection, stage, module })
  return new Fault({ ...codesOf(error), message: messageOf(error), stage, module, ...stackOf(error) })
}

/** The result of a step, or a fault when JSON cannot hold it. */
export function orFault(step: Step, value: unknown): unknown {
  const type = typeof value
  if (type === 'object' || type === 'string' || type === 'number' || type === 'boolean') return value
  const code = type === 'undefined' ? 'RESULT_UNDEFINED' : type === 'bigint' ? 'RESULT_BIGINT' : 'RESULT_NOT_DATA'
  const message = `Stage "${step.stage}" of module "${step.module}" returned ${kindOf(value)}`
  return new Fault({ code, message, stage: step.stage, module: step.module })
}

/** The failure for what is thrown outside of a stage. To look at a result may run code of the module, such as that of a proxy. */
export const brokenBy = (error: unknown): Failure => ({ code: 'MODULE_THREW', message: messageOf(error) })
