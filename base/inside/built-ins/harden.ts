/**
 * Makes the built-ins of an isolate unchangeable, so that one module cannot alter what another, or another request, finds there.
 *
 * What it takes away: `WebAssembly`, `SharedArrayBuffer`, `Atomics`, growing and moving of buffers (memory that no limit meters), and
 * `Temporal`, which would cost every slot 48 KB and a fifth of a millisecond just to protect.
 *
 * What it leaves alone, and why:
 * - `RegExp.prototype`, and some properties of arrays: V8 would become slow; see `open.ts`.
 * - `Error.stackTraceLimit`: V8 reads it as a plain property, and packages set it.
 * - `eval` and `Function`: template and schema compilers need them, and code made by them reaches no more than the code that called them.
 * - `Intl`: its objects take memory that no heap limit sees (3 GB in seconds); the watchdog's CPU limit and the cell's memory watch bound it.
 */

import { replaceRandom } from '../chance.ts'
import { protectAll } from './classes.ts'
import { replaceDefinitions } from './definitions.ts'
import { removeUnmetered } from './memory.ts'
import { protectedOnUse, protectOnUse } from './on-use.ts'
import { makeFast } from './protect.ts'

/** Runs once per isolate, before any module and before other globals are set up. */
export function harden(): void {
  removeUnmetered()
  replaceDefinitions()
  replaceRandom()
  protectAll(protectedOnUse)
  protectOnUse()
  makeFast()
}
