// Stays for as long as a base runs, over all of its releases: whoever has started it (npm, systemd, a container) watches this process. It starts the
// supervisor of the base and, when that asks for it, the supervisor of another release; it passes their messages and listening handles on; and it ends
// when the base ends. It knows nothing of what they say. A running launcher cannot be replaced, so everything that may change is in the supervisors.
// Plain CommonJS for any old Node.
//
// The protocol, version 1, over the channel that `spawn` opens. A supervisor knows by BERTH_LAUNCHER=1 in its environment that it is spoken here, and by
// BERTH_HEIR=1 that it takes over from another one. The supervisor in charge says
//   { berth: 1, do: 'start', command: [file, ...args] }   start an heir by this command and the arguments of the base; there is one at a time
//   { berth: 1, do: 'end' }                               kill the heir
//   { berth: 1, do: 'yield' }                             the heir is in charge from now on
// and both supervisors say
//   { berth: 1, do: 'pass', body }                        give `body` to the other one, and the handle that comes with it
// They are told
//   { berth: 1, is: 'passed', body }                      what the other one has said
//   { berth: 1, is: 'ended', how }                        the other one has ended, or could not be started
'use strict'

const { spawn } = require('node:child_process')
const { fail, endLike, followSignals, hostFlags, runtime, supervisorCommand, whyNotStarted } = require('./launch.cjs')

const PROTOCOL = 1

/** Runs a base with `args` from the release that this file is part of, and then from whichever release it is upgraded to. */
function host(entry, args) {
  /** The supervisor that owns the base. The launcher ends as it ends. */
  let owner = start(supervisorCommand(entry, hostFlags), {}, error => fail(`Cannot start a base: ${whyNotStarted(runtime(), error)}`))
  /** Who takes over from the owner, or has been the owner before and ends its last requests. */
  let other
  let isHeir = false

  function start([file, ...rest], more, onFailed) {
    const env = { ...process.env, ...more, BERTH_LAUNCHER: String(PROTOCOL) }
    const child = spawn(file, [...rest, ...args], { stdio: ['inherit', 'inherit', 'inherit', 'ipc'], env })
    child.on('error', error => child.pid === undefined && onFailed(error))
    child.on('message', (message, handle) => take(child, message, handle))
    // Unlike `exit`, it comes after the last message. One that could not be started has no end.
    child.on('close', (code, signal) => child.pid !== undefined && ended(child, code, signal))
    return child
  }

  function take(child, message, handle) {
    if (message === null || typeof message !== 'object' || message.berth !== PROTOCOL) return
    if (message.do === 'pass') tell(child === owner ? other : owner, { is: 'passed', body: message.body }, handle)
    if (child !== owner) return
    if (message.do === 'start') startHeir(message.command)
    if (message.do === 'end' && isHeir && other !== undefined) other.kill('SIGKILL')
    if (message.do === 'yield' && isHeir && other !== undefined) {
      isHeir = false
      owner = other
      other = child
    }
  }

  function startHeir(command) {
    if (other !== undefined) return tell(owner, { is: 'ended', how: 'another supervisor has not ended yet' })
    const failed = error => {
      other = undefined
      tell(owner, { is: 'ended', how: error.message })
    }
    isHeir = true
    try {
      other = start(command, { BERTH_HEIR: '1' }, failed)
    } catch (error) {
      failed(error)
    }
  }

  function ended(child, code, signal) {
    if (child !== owner) {
      other = undefined
      tell(owner, { is: 'ended', how: signal === null ? `exit code ${code}` : `signal ${signal}` })
    } else if (other !== undefined) {
      // What has no owner must not serve on. After an orderly end, the one before may still answer the requests that it has.
      if (isHeir || code !== 0) other.kill('SIGKILL')
      else tell(other, { is: 'ended', how: 'exit code 0' })
      other.once('close', () => endLike(code, signal))
    } else endLike(code, signal)
  }

  // Both need them: each has processes of its own.
  followSignals({
    ending: signal => {
      for (const child of [owner, other]) if (child !== undefined) child.kill(signal)
    },
    other: signal => owner.kill(signal),
  })
}

/** Sends a message, and closes the copy of the handle that came here on its way. Who has ended hears nothing. */
function tell(child, message, handle) {
  const close = () => handle?.close()
  // Of what waits to be sent when a child ends, nothing more is heard.
  if (handle !== undefined) child?.once('close', close)
  if (child === undefined || !child.connected) close()
  else child.send({ berth: PROTOCOL, ...message }, handle, close)
}

module.exports = { host }
