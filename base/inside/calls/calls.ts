/** Calls of other scenes and of base services. */
import { monotonicTime, noteEntry } from '../clock.ts'
import { cursor, limits, post } from '../host.ts'
import { lookAt, Sampler } from '../looks.ts'
import { closeLeftover, type Request, running } from '../open-request.ts'
import { parse, stringify } from '../primordials.ts'
import { CALL_STRIDE, CURSOR, SETTLED_STRIDE } from '../protocol.ts'
import { callError, fetchError, type Refusal } from './failures.ts'
import { admit, enter, leave } from './open-calls.ts'

/** Values of the calls that are posted together: V8 bounds how many arguments a call can have. */
const VALUES_POSTED_MAX = 500 * CALL_STRIDE
const METHOD_CHARS_MAX = 128

/** The inputs that get a closer look. */
const sampler = new Sampler()

/** Calls that have not been posted yet. */
let callbox: (string | number)[] = []

/**
 * Asks a service, or when its name is empty the scene that `method` names. Calls that are made in the same synchronous run are posted
 * together.
 */
export function ask(caller: Request, service: string, method: string, input: unknown): Promise<unknown> {
  const what = service === '' ? 'ctx.call' : `ctx.services.${service}.${method}`
  return new Promise((resolve, reject) => {
    admit(caller, what)
    const json = stringify(input)
    if (json === undefined) throw new TypeError(`${what}: the input must be data that JSON can hold`)
    if (json.length > limits.callChars)
      throw new RangeError(`${what}: the input has ${json.length} characters of JSON, over ${limits.callChars}`)
    if (method.length > METHOD_CHARS_MAX) throw new RangeError(`${what.slice(0, 140)}: the name is too long`)
    if (sampler.isDue()) demandData(caller, what, input)
    const no = enter({ caller, resolve, reject, kind: 'call' })
    callbox.push(no, caller.no, service, method, json)
    // The end of a turn flushes. Outside of a turn, the first call of a synchronous run schedules a flush for all of them.
    if (callbox.length === CALL_STRIDE && !running.inTurn) Promise.resolve().then(flush)
  })
}

/** @throws TypeError when the input loses data as JSON, in the tests of a module */
function demandData(caller: Request, what: string, input: unknown): void {
  const beganAt = monotonicTime()
  const finding = lookAt(caller, running.module, `The input of ${what}`, input)
  sampler.noteLook(beganAt)
  if (finding !== undefined) throw new TypeError(finding.message)
}

/** Posts the calls that have been made so far. */
export function flush(): void {
  const values = callbox
  callbox = []
  for (let i = 0; i < values.length; i += VALUES_POSTED_MAX) post('calls', ...values.slice(i, i + VALUES_POSTED_MAX))
}

export function settleCalls(values: readonly (string | number)[]): void {
  closeLeftover()
  noteEntry()
  for (let i = 0; i < values.length; i += SETTLED_STRIDE) settleCall(values[i] as number, values[i + 1] === 1, values[i + 2] as string)
}

function settleCall(callNo: number, answered: boolean, text: string): void {
  const call = leave(callNo)
  if (call === undefined) return
  if (call.caller !== undefined) cursor[CURSOR.step] = call.caller.step
  try {
    const value = parse(text) as Refusal
    if (answered) call.resolve(value as never)
    else call.reject(call.kind === 'fetch' ? fetchError(value) : callError(value))
  } catch (error) {
    // A service may give what is not JSON. That must not cost the other calls that are settled with it their answers.
    call.reject(error as Error)
  }
}
