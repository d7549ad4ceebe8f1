/** How the processes of a base are started: with the permissions and the environment that they need, and nothing else. */
import { existsSync, realpathSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { blobsPath, featuresPath, keeperSocketPath, tablePath } from '../folder/paths.ts'
import { clone, codeFolder, mainPath, release } from '../kernel/installation.ts'
import type { WallMode, WallPlan } from '../kernel/wall-plan.ts'
import type { Needs, StartedProcess } from './bubblewrap.ts'
import { codeSnapshot, SNAPSHOT_VARIABLE } from './code-snapshot.ts'
import { planWall, spawnPlain, type Wall } from './wall.ts'

export type Role = 'keeper' | 'cell' | 'trial' | 'rehearsal' | 'validator'

export interface RoleCommand {
  /** Arguments for `process.execPath`. */
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
  /** What confines the process from outside, and what that has to leave it. */
  readonly wall?: { readonly wall: Wall; readonly needs: Needs } | undefined
}

const hook = join(codeFolder, 'process/from-snapshot.cjs')

/** The snapshot, where it is still there: it may have been removed with the packages that it is kept beside. */
function presentSnapshot(): string | undefined {
  const path = codeSnapshot()
  return path !== undefined && existsSync(path) ? path : undefined
}

/** The entry of a process: in a package that of the snapshot, since processes run there. */
function entryIn(snapshot: string | undefined): string {
  return clone === undefined && snapshot !== undefined ? join(snapshot, relative(release, mainPath)) : mainPath
}

export interface RoleSettings {
  /** The file to start instead of `base/main.ts`. */
  readonly entry?: string | undefined
  /** Absolute paths of the files of the services that a cell runs. */
  readonly services?: readonly string[]
  /** What confines a process that runs module code from outside. @default nothing does */
  readonly wall?: Wall | undefined
  /** Whether it should collect garbage early and share its memory between threads, which costs a little CPU. */
  readonly isThrifty?: boolean
}

/**
 * The command line and the whole environment of a child process.
 *
 * Cells, trials, rehearsals and validators run module code in isolates, so they run under Node's permission model. They may read the code of the project; a cell
 * may also read the blobs, the feature tables, the saved table and the folders of the services; a validator the blobs and the feature tables. They can write no file and start no process or
 * thread, and they can open no database, since SQLite would bypass the permission model. All but cells have no network either.
 * @param data absolute path of the data folder
 */
export function roleCommand(role: Role, data: string, settings: RoleSettings = {}): RoleCommand {
  // The process of a rehearsal is short-lived, and a package has no types to strip.
  const snapshot = role === 'rehearsal' && clone === undefined ? undefined : presentSnapshot()
  const { entry = entryIn(snapshot), services = [], wall, isThrifty = false } = settings
  const load = snapshot === undefined || clone === undefined ? [] : ['--require', hook]
  // By NODE_OPTIONS a base can be started so that its stacks have places in the sources; its other processes do not inherit that.
  const mapped = process.sourceMapsEnabled ? ['--enable-source-maps'] : []
  const young = isThrifty ? [youngMB(1)] : role === 'cell' || role === 'validator' ? [youngMB(8), NO_PRETENURING] : []
  const flags = [...load, ...mapped, '--no-node-snapshot', '--disable-warning=ExperimentalWarning', ...young]
  const named = snapshot === undefined ? {} : { [SNAPSHOT_VARIABLE]: snapshot }
  const env = { ...scrubbedEnvironment(process.env), ...(isThrifty || role === 'cell' ? fewArenas : {}), ...named }
  if (role === 'keeper') return { args: [...flags, entry, role], env }
  const needs = needsOf(role, data, entry, services, snapshot)
  return { args: [...flags, ...isolateFlags, ...permissionFlags(needs), entry, role], env, ...(wall && { wall: { wall, needs } }) }
}

/** Starts the process that the command describes. @throws what `spawn` throws */
export function spawnRole({ args, env, wall }: RoleCommand, stdio: readonly unknown[]): StartedProcess {
  const command = [process.execPath, ...args]
  return wall === undefined ? spawnPlain(command, env, stdio) : wall.wall.spawn(command, env, stdio, wall.needs)
}

/** Finds out what can confine the processes of a base that run module code. */
export const planWallHere = (mode: WallMode): Promise<WallPlan> => planWall(mode, needsOf('trial', '', mainPath, [], presentSnapshot()))

/**
 * V8 would let each half of the young generation of a process grow to 32 MB. What is read from connections stays in memory until the young generation is
 * collected, so larger halves take more memory than their own, and leave the caches of the processor. Isolates of slots have sizes of their own.
 */
const youngMB = (megabytes: number): string => `--max-semi-space-size=${megabytes}`

/**
 * V8 makes objects of a kind that has often outlived a collection in the old generation from the start. In a flood of requests it comes to do that with parts of a
 * request; each of these then keeps the rest of its request alive until all of the heap is collected, whatever has become of it. The flag holds for the isolates of
 * slots as well.
 */
const NO_PRETENURING = '--no-allocation-site-pretenuring'

/** glibc would keep freed memory for each thread. Other C libraries do not know the variable. */
const fewArenas = { MALLOC_ARENA_MAX: '2' }

// In a loop that Turboshaft has unrolled, V8 does not notice the interrupt by which an isolate is stopped.
const isolateFlags = ['--no-turboshaft-loop-unrolling']

function needsOf(role: Role, data: string, entry: string, services: readonly string[], snapshot: string | undefined): Needs {
  const packages = clone === undefined ? [] : unique(withTarget(join(clone, 'node_modules')))
  // A package has everything in it, native code too.
  const program = clone === undefined ? [release] : [codeFolder, ...packages]
  const code = [...program, dirname(entry), ...(snapshot === undefined ? [] : [snapshot])]
  if (role === 'validator')
    return { reads: unique(code), packages, data: { folder: data, reads: [blobsPath(data), featuresPath(data)] }, network: false }
  if (role !== 'cell') return { reads: unique(code), packages, network: false }
  const socket = dirname(keeperSocketPath(data))
  const isInside = dirname(socket) === data
  const state = [blobsPath(data), featuresPath(data), tablePath(data), ...(isInside ? [socket] : [])]
  const reads = unique([...code, ...services.flatMap(serviceReads), ...(isInside ? [] : [socket])])
  return { reads, packages, data: { folder: data, reads: state }, network: true }
}

/** The path, and where it leads when it is a link. */
const withTarget = (path: string): readonly string[] => (existsSync(path) ? [path, realpathSync(path)] : [path])

const unique = (paths: readonly string[]): readonly string[] => [...new Set(paths)]

function permissionFlags({ reads, data, network }: Needs): string[] {
  const all = [...reads, ...(data?.reads ?? [])]
  return [
    '--permission',
    '--allow-addons',
    // Node warns that addons can bypass the permission model. isolated-vm is an addon; what confines modules is the isolate.
    '--disable-warning=SecurityWarning',
    '--no-experimental-sqlite',
    ...(network ? ['--allow-net'] : []),
    // The wildcard is needed for a folder that does not exist yet: Node would take its path for that of a file.
    ...all.flatMap(path => [`--allow-fs-read=${path}`, ...(existsSync(path) ? [] : [`--allow-fs-read=${join(path, '*')}`])]),
  ]
}

/** What a service may read: its folder with everything in it, and the packages that Node finds from there. */
function serviceReads(file: string): string[] {
  // A file that does not exist is allowed too, so that loading it fails with the true reason.
  if (!existsSync(file)) return [file]
  const folder = dirname(realpathSync(file))
  const found = foldersUpFrom(folder).flatMap(above => [join(above, 'package.json'), join(above, 'node_modules')])
  return [file, folder, ...found.filter(path => existsSync(path)).flatMap(path => [path, realpathSync(path)])]
}

function foldersUpFrom(folder: string): string[] {
  const above = dirname(folder)
  return above === folder ? [folder] : [folder, ...foldersUpFrom(above)]
}

/** Variables that set the format of times and logs, and the temporary folder, where the keeper's socket may be. No other variable is inherited, so no secret is. */
const inherited: readonly string[] = ['TZ', 'LANG', 'LC_ALL', 'TMPDIR', 'TEMP', 'TMP', 'TERM', 'NO_COLOR', 'FORCE_COLOR']

function scrubbedEnvironment(from: NodeJS.ProcessEnv): Record<string, string> {
  const env: Record<string, string> = {}
  for (const name of inherited) if (from[name] !== undefined) env[name] = from[name]
  // The loader of isolated-vm needs to know which C library there is. It would look at this file itself, but the permission model denies that.
  if (process.platform === 'linux') env.LIBC = existsSync('/etc/alpine-release') ? 'musl' : 'glibc'
  return env
}
