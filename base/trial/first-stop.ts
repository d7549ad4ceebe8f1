/** Stops the debugger that has this process in the first of some functions that is called. */
import { Session } from 'node:inspector'

/** Where the session finds the function that it is to stop in. */
const KEY = 'berth:first-stop'
const SLOT = Symbol.for(KEY)

/** Whatever any debugger of a process does stops it for all of them, so this one leaves what is to be done then to those that people use. */
export class FirstStop {
  readonly #session = new Session()
  readonly #breakpoints = new Set<string>()
  #isOver = false

  constructor() {
    this.#session.connect()
    this.#session.post('Debugger.enable')
    this.#session.on('Debugger.paused', ({ params: { hitBreakpoints = [] } }) => {
      if (hitBreakpoints.some(id => this.#breakpoints.has(id))) this.#end()
    })
  }

  /** Adds functions; other values are left out. Does nothing once it has stopped in one. */
  expect(values: readonly unknown[]): void {
    if (this.#isOver) return
    for (const value of values) if (typeof value === 'function') this.#breakAt(value)
  }

  /** All of this is done when `post` returns, since the session is one with its own thread. */
  #breakAt(value: unknown): void {
    Object.defineProperty(globalThis, SLOT, { value, configurable: true })
    this.#session.post('Runtime.evaluate', { expression: `globalThis[Symbol.for('${KEY}')]` }, (_, found) => {
      const objectId = found?.result.objectId
      if (objectId === undefined) return
      this.#session.post('Debugger.setBreakpointOnFunctionCall', { objectId }, (_, set = {}) => {
        if ('breakpointId' in set) this.#breakpoints.add(String(set.breakpointId))
      })
    })
    Reflect.deleteProperty(globalThis, SLOT)
  }

  /** It is called while the process is stopped: to leave now would make it go on. */
  #end(): void {
    this.#isOver = true
    for (const breakpointId of this.#breakpoints) this.#session.post('Debugger.removeBreakpoint', { breakpointId })
    setImmediate(() => this.#session.disconnect())
  }
}
