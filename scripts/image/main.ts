/**
 * Builds the image of `deploy/Dockerfile` from this clone, and tries it as docs/deploying.md says to run it: read-only, as a user that is not root,
 * without privileges. Ends with exit code 1 when it does not do what the page promises. Without Docker or Podman it says so, and tries nothing.
 */
import assert from 'node:assert/strict'
import { execFile, execFileSync, spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { parseArgs, promisify } from 'node:util'
import { messageOf } from '../../base/kernel/errors.ts'
import { createClient } from '../../sdk/api/client.ts'
import { callScene, makeScene, root, until } from '../../test/support/base.ts'
import { builtPackages } from '../../test/support/packages.ts'

const help = `npm run test:image -- [options]

  --engine="COMMAND"         docker or podman, with its global flags (default: the first of them that answers)
  --build-flags="FLAGS"      more flags for its build, such as --secret id=ca,src=FILE
  --run-flags="FLAGS"        more flags for its run
  --debian                   makes the images to start from out of packages of Debian, by debootstrap and as root, instead of pulling them
  --keep                     keeps the image, with the name berth-test`

const options = {
  engine: { type: 'string' },
  'build-flags': { type: 'string', default: '' },
  'run-flags': { type: 'string', default: '' },
  debian: { type: 'boolean', default: false },
  keep: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const

const flags = readFlags()

function readFlags() {
  try {
    return parseArgs({ options }).values
  } catch (error) {
    console.error(`${messageOf(error)}\n\n${help}`)
    return process.exit(2)
  }
}

const words = (text: string): string[] => text.split(/\s+/).filter(word => word !== '')
const run = promisify(execFile)

const IMAGE = 'berth-test'
const VOLUME = 'berth-test-data'
const PORT = 18_080
const CONTROL_PORT = 18_081

/** The engine that answers, or undefined. */
function findEngine(): string[] | undefined {
  const named = flags.engine === undefined ? [['docker'], ['podman']] : [words(flags.engine)]
  return named.find(([command = '', ...args]) => spawnSync(command, [...args, 'info'], { stdio: 'ignore' }).status === 0)
}

interface HealthCheck {
  readonly Test: readonly string[]
}

/** Docker keeps the health check with the configuration, and Podman beside it. */
interface InspectedImage {
  readonly Healthcheck?: HealthCheck
  readonly Config: { readonly Healthcheck?: HealthCheck }
}

class Engine {
  readonly #command: readonly string[]

  constructor(command: readonly string[]) {
    this.#command = command
  }

  /** @returns what it prints @throws with what it says when it fails */
  async do(...args: readonly string[]): Promise<string> {
    const [command = '', ...before] = this.#command
    const { stdout } = await run(command, [...before, ...args], { maxBuffer: 64 * 1024 ** 2 })
    return stdout.trim()
  }

  /** What Podman builds has a health check only in this format. */
  get format(): string[] {
    return basename(this.#command[0] ?? '') === 'podman' ? ['--format', 'docker'] : []
  }

  async start(): Promise<string> {
    return this.do(
      ...['run', '--detach', '--network', 'host', '--no-healthcheck', ...words(flags['run-flags'])],
      ...['--read-only', '--tmpfs', '/tmp:rw,noexec,nosuid,nodev,size=64m', '--cap-drop', 'ALL', '--security-opt', 'no-new-privileges'],
      ...['--security-opt', `seccomp=${join(root, 'deploy/seccomp.json')}`, '--pids-limit', '512', '--memory', '1g'],
      ...['--env', `BERTH_PORT=${PORT}`, '--env', `BERTH_CONTROL_PORT=${CONTROL_PORT}`, '--volume', `${VOLUME}:/data`, IMAGE],
    )
  }

  /** The health check of the image, which an engine runs by a timer. */
  async isHealthy(container: string): Promise<boolean> {
    const [image] = JSON.parse(await this.do('image', 'inspect', IMAGE)) as readonly InspectedImage[]
    const [kind, ...command] = (image?.Healthcheck ?? image?.Config.Healthcheck)?.Test ?? []
    assert.equal(kind, 'CMD', 'the image has a health check')
    return this.do('exec', container, ...command).then(
      () => true,
      () => false,
    )
  }

  /** @throws Error with its log when the container ends before */
  async untilHealthy(container: string): Promise<void> {
    await until(async () => {
      if (await this.isHealthy(container)) return true
      const isRunning = (await this.do('inspect', '--format', '{{.State.Running}}', container)) === 'true'
      if (!isRunning) throw new Error(`The container has ended: ${await this.do('logs', container)}`)
      return false
    })
  }

  /** @returns the exit code, and how long it took */
  async stop(container: string): Promise<{ readonly code: number; readonly ms: number }> {
    const begun = performance.now()
    await this.do('stop', '--time', '25', container)
    const ms = Math.round(performance.now() - begun)
    const code = Number(await this.do('inspect', '--format', '{{.State.ExitCode}}', container))
    await this.do('rm', '--force', container)
    return { code, ms }
  }
}

/** Images to start from, out of packages: `debian`, and `node` with the Node.js of this project and the npm of this machine. */
async function makeBaseImages(engine: Engine, folder: string): Promise<string[]> {
  const system = join(folder, 'debian')
  await run('debootstrap', ['--variant=minbase', '--include=ca-certificates,libatomic1', 'bookworm', system], { maxBuffer: 64 * 1024 ** 2 })
  for (const kept of ['var/cache/apt/archives', 'var/lib/apt/lists']) rmSync(join(system, kept), { recursive: true })
  await importImage(engine, system, 'berth-test-node', () => {
    cpSync(process.execPath, join(system, 'usr/local/bin/node'))
    mkdirSync(join(system, 'usr/local/lib/node_modules'), { recursive: true })
    const npm = realpathSync(execFileSync('which', ['npm'], { encoding: 'utf8' }).trim())
    cpSync(dirname(dirname(npm)), join(system, 'usr/local/lib/node_modules/npm'), { recursive: true })
    execFileSync('ln', ['-s', '../lib/node_modules/npm/bin/npm-cli.js', join(system, 'usr/local/bin/npm')])
  })
  await importImage(engine, system, 'berth-test-debian', () => rmSync(join(system, 'usr/local'), { recursive: true }))
  return ['--build-arg', 'INSTALL_IMAGE=localhost/berth-test-node', '--build-arg', 'IMAGE=localhost/berth-test-debian']
}

async function importImage(engine: Engine, system: string, name: string, prepare: () => void): Promise<void> {
  prepare()
  const archive = `${system}.tar`
  await run('tar', ['--create', '--file', archive, '--directory', system, '.'])
  await engine.do('import', archive, `localhost/${name}`)
}

async function build(engine: Engine, folder: string): Promise<void> {
  const from = flags.debian ? await makeBaseImages(engine, folder) : []
  const { base } = await builtPackages()
  await engine.do(
    // An engine may take a package for the one that it built from before, when only the bytes of its file differ.
    ...[
      'build',
      ...engine.format,
      '--no-cache',
      '--file',
      join(root, 'deploy/Dockerfile'),
      '--tag',
      IMAGE,
      ...from,
      ...words(flags['build-flags']),
    ],
    ...['--build-arg', `BASE=./${basename(base.tarball)}`, dirname(base.tarball)],
  )
  const bytes = Number(await engine.do('image', 'inspect', '--format', '{{.Size}}', IMAGE))
  say(`an image of ${Math.round(bytes / 1e6)} MB`)
}

async function tryImage(engine: Engine): Promise<void> {
  const container = await engine.start()
  await engine.untilHealthy(container)
  say('healthy, by the check of the image')
  const token = await engine.do('exec', container, '/berth/node', '-p', 'require("fs").readFileSync("/data/token", "utf8")')
  const client = createClient({ base: `http://127.0.0.1:${CONTROL_PORT}`, token })
  await makeScene(client, 'echo', { recall: 'body => body' })
  await checkAnswer()
  say('a module is published, and answers')
  await checkConfinement(engine, container)
  const { code, ms } = await engine.stop(container)
  assert.equal(code, 0, 'SIGTERM ends it in order')
  say(`stopped in order in ${ms} ms`)

  const second = await engine.start()
  await engine.untilHealthy(second)
  await checkAnswer()
  say('another container on the same volume answers the same')
  assert.equal((await engine.stop(second)).code, 0)
}

async function checkAnswer(): Promise<void> {
  const response = await callScene({ url: `http://127.0.0.1:${PORT}` }, 'echo', { asked: 1 })
  assert.deepEqual([response.status, await response.json()], [200, { asked: 1 }])
}

/** What a process of the container can do, seen from one beside the base. */
async function checkConfinement(engine: Engine, container: string): Promise<void> {
  const code = `const fs = require('fs'); const tried = path => { try { fs.writeFileSync(path, ''); return 'written' } catch (error) { return error.code } }
    const [first] = fs.readFileSync('/proc/1/cmdline', 'utf8').split('\\0').filter(text => text.endsWith('.cjs'))
    console.log(JSON.stringify({ user: process.getuid(), root: tried('/x'), code: tried('/berth/x'), first, status: fs.readFileSync('/proc/1/status', 'utf8') }))`
  const seen = JSON.parse(await engine.do('exec', container, '/berth/node', '-e', code)) as Readonly<Record<string, string>>
  assert.deepEqual([seen.user, seen.root, seen.code], [10_001, 'EROFS', 'EROFS'])
  assert.match(`${seen.first}`, /base\.cjs$/, 'process 1 is the launcher')
  for (const line of [/^CapBnd:\s+0+$/m, /^NoNewPrivs:\s+1$/m, /^Seccomp:\s+2$/m]) assert.match(`${seen.status}`, line)
  say('process 1 is the launcher, not root, without privileges, behind the filter of system calls, on a root that cannot be written')
}

const say = (text: string): void => console.log(`✔ ${text}`)

async function main(): Promise<void> {
  if (flags.help) return console.log(help)
  const command = findEngine()
  if (command === undefined)
    return console.log(`skipped: no engine answers (${flags.engine ?? 'docker, podman'}), so no image was built or run`)
  const engine = new Engine(command)
  const folder = mkdtempSync(join(tmpdir(), 'berth-image-'))
  try {
    await engine.do('volume', 'rm', '--force', VOLUME)
    await build(engine, folder)
    await tryImage(engine)
  } finally {
    const left = await engine.do('ps', '--all', '--quiet', '--filter', `volume=${VOLUME}`)
    for (const container of words(left)) await engine.do('rm', '--force', container)
    await engine.do('volume', 'rm', '--force', VOLUME)
    if (!flags.keep) await engine.do('image', 'rm', '--force', IMAGE).catch(() => undefined)
    rmSync(folder, { recursive: true, force: true })
  }
}

await main()
