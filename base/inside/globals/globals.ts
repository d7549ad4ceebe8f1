/** The globals of the web that an algorithm needs. */

import { lockGlobals, protect } from '../built-ins/protect.ts'
import { sinceStart, wallTime } from '../clock.ts'
import { defineProperty, entries } from '../primordials.ts'
import { consoleOfSlot, report } from './console.ts'
import { defineLazyGlobals, fetchFor } from './lazy.ts'
import { closeTimer, openTimer } from './timers.ts'

const timeOrigin = wallTime()
const performanceOfSlot = {
  timeOrigin,
  now: sinceStart,
  toJSON: () => ({ timeOrigin }),
}

const functions = {
  setTimeout: (run: unknown, delayMs?: unknown, ...values: unknown[]) => openTimer('setTimeout', run, delayMs, values, false),
  setInterval: (run: unknown, delayMs?: unknown, ...values: unknown[]) => openTimer('setInterval', run, delayMs, values, true),
  clearTimeout: (no?: unknown) => closeTimer(no),
  clearInterval: (no?: unknown) => closeTimer(no),
  queueMicrotask: (run: unknown) => {
    if (typeof run !== 'function') throw new TypeError('queueMicrotask takes a function')
    Promise.resolve().then(() => {
      try {
        run()
      } catch (error) {
        report('A microtask threw:', error)
      }
    })
  },
  fetch: (input?: unknown, init?: unknown) => fetchFor(undefined, input, init),
}

/** Runs once per isolate, after the built-ins are hardened. No module can change what it defines, nor any global that is there by then. */
export function defineGlobals(): void {
  for (const [name, value] of entries({ ...functions, console: consoleOfSlot, performance: performanceOfSlot, self: globalThis })) {
    if (value !== globalThis) protect(value)
    defineProperty(globalThis, name, { value, enumerable: false, writable: false, configurable: false })
  }
  defineLazyGlobals()
  lockGlobals()
}
