/** The code that runs inside every isolate, around the modules. Its value is what the cell calls; see `Inside`. */
import { harden } from './built-ins/harden.ts'
import { settleCalls } from './calls/calls.ts'
import { settleFetch } from './calls/fetch-calls.ts'
import { defineGlobals } from './globals/globals.ts'
import { fireTimer } from './globals/timers.ts'
import { closeLeftover } from './open-request.ts'
import type { Inside } from './protocol.ts'
import { abandon, reportOf, turn } from './stages/turn.ts'
import { define, link } from './stages/version.ts'

harden()
defineGlobals()

export default { define, link, turn, reportOf, abandon, settleCalls, settleFetch, fireTimer, probe: closeLeftover } satisfies Inside
