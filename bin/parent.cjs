// Notices the end of the process that started this one. A signal alone does not say it: SIGKILL tells nobody, and a shell passes no signal on.
// Plain CommonJS for any old Node.
'use strict'

const { execFileSync } = require('node:child_process')
const { readFileSync } = require('node:fs')
const path = require('node:path')

/** Milliseconds between two looks. */
const LOOK_MS = 500

/** Shells that npm and its like may start commands with. */
const shells = ['sh', 'ash', 'bash', 'busybox', 'dash', 'ksh', 'zsh']

/** Calls `end` once the parent of this process, or one of `others`, has ended. It does not keep this process running. Windows has no such families. */
function whenParentEnds(end, others = []) {
  if (process.platform === 'win32') return
  const parent = process.ppid
  const looks = setInterval(() => {
    // Who has lost its parent gets another.
    if (process.ppid === parent && others.every(isAlive)) return
    clearInterval(looks)
    end()
  }, LOOK_MS)
  looks.unref()
}

/**
 * Calls `end` once npm, or the shell between it and this process, has ended, if npm has started this process for a command that somebody waits for.
 * Whatever leads a process group of its own (`setsid`, a service, a job of a shell) is meant to stand by itself.
 */
function whenNpmEnds(end) {
  if (process.env.npm_lifecycle_event === undefined || process.platform === 'win32') return
  const own = look(process.pid)
  const parent = look(process.ppid)
  if (own === undefined || own.group === process.pid) return
  whenParentEnds(end, parent !== undefined && shells.includes(path.basename(parent.name)) ? [parent.parent] : [])
}

/** Undefined when the process has ended, or cannot be looked at. */
function look(pid) {
  try {
    return process.platform === 'linux' ? lookInProc(pid) : lookWithPs(pid)
  } catch {
    return undefined
  }
}

function lookInProc(pid) {
  // The name is in parentheses, and may itself have some.
  const [, name, rest] = /\((.*)\) (.*)/s.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  const [, parent, group] = rest.split(' ')
  return { name, parent: Number(parent), group: Number(group) }
}

function lookWithPs(pid) {
  const text = execFileSync('ps', ['-o', 'ppid=,pgid=,comm=', '-p', String(pid)], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
  const [, parent, group, name] = /(\d+)\s+(\d+)\s+-?(.*\S)/.exec(text)
  return { name, parent: Number(parent), group: Number(group) }
}

function isAlive(pid) {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return error.code === 'EPERM'
  }
}

module.exports = { whenParentEnds, whenNpmEnds }
