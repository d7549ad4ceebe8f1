/** How a process is started in bubblewrap: in namespaces of its own, with a view of the files that has only what it reads, and a filter of its system calls. */
import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process'
import { existsSync, lstatSync, readFileSync, readlinkSync, realpathSync } from 'node:fs'
import { constants } from 'node:os'
import { dirname, join } from 'node:path'
import type { Writable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { isatty } from 'node:tty'
import { seccompFilter } from './seccomp.ts'

/** What a confined process needs. */
export interface Needs {
  /** Absolute paths that it may read, with everything below them. What does not exist is left out. */
  readonly reads: readonly string[]
  /** Folders of packages among them. Of these, packages for one platform are hidden, since those have programs in them. */
  readonly packages: readonly string[]
  /** A folder of which it sees nothing but what is named here, even when the folder is below one of those paths. */
  readonly data?: { readonly folder: string; readonly reads: readonly string[] } | undefined
  readonly network: boolean
}

export interface StartedProcess {
  /** When Node.js runs in bubblewrap, this is bubblewrap, which ends as Node.js ends, and takes Node.js with it when it is killed. */
  readonly child: ChildProcess
  /** The process id of Node.js, as this process sees it; undefined when there never was one. */
  readonly pid: Promise<number | undefined>
  /** Ends both at once. Nothing happens when they have ended. */
  kill(): void
}

/** @throws what `spawn` throws */
export function spawnInBubblewrap(
  bubblewrap: string,
  command: readonly string[],
  env: NodeJS.ProcessEnv,
  stdio: readonly unknown[],
  needs: Needs,
): StartedProcess {
  const filter = stdio.length
  const args = ['-c', ignoring, bubblewrap, ...confinement(needs), '--seccomp', String(filter), '--', ...command]
  const child = spawn('/bin/sh', args, { env, stdio: [...stdio, 'pipe'] as StdioOptions })
  const pipe = child.stdio[filter] as Writable | null | undefined
  // That bubblewrap ended before it had read everything shows in its exit code.
  pipe?.on('error', () => undefined)
  pipe?.end(seccompFilter('module'))
  const { pid } = child
  if (pid === undefined) return { child, pid: Promise.resolve(undefined), kill: () => undefined }
  return { child, pid: findNode(child, pid), kill: () => killBoth(child, pid) }
}

/**
 * The first process of the namespace ends with bubblewrap only once it has been set up: until then it waits for bubblewrap, for ever if need be. So it is
 * killed too. Bubblewrap is stopped before, since it could otherwise make that process after nobody was found.
 */
function killBoth(child: ChildProcess, bubblewrap: number): void {
  if (!child.kill('SIGSTOP')) return
  const first = childOf(bubblewrap)
  try {
    if (first !== undefined) process.kill(first, 'SIGKILL')
  } finally {
    child.kill('SIGKILL')
  }
}

// A terminal sends Ctrl-C to every process in it, and a service manager may send SIGTERM to every process of a service; but when Node.js ends is the
// decision of the supervisor. What a shell ignores, the program ignores that takes its place.
const ignoring = 'trap "" HUP INT TERM; exec "$0" "$@"'

const FIND_EVERY_MS = 2

/** Bubblewrap makes a first process in a namespace of process ids, and that makes Node.js, which sees another id inside than it has out here. */
async function findNode(child: ChildProcess, bubblewrap: number): Promise<number | undefined> {
  while (child.exitCode === null && child.signalCode === null) {
    const first = childOf(bubblewrap)
    const node = first === undefined ? undefined : childOf(first)
    if (node !== undefined) return node
    await delay(FIND_EVERY_MS)
  }
  return undefined
}

export const childrenPath = (pid: number): string => `/proc/${pid}/task/${pid}/children`

function childOf(pid: number): number | undefined {
  try {
    const [child] = readFileSync(childrenPath(pid), 'utf8').split(' ')
    return child === undefined || child === '' ? undefined : Number(child)
  } catch {
    // It has ended meanwhile.
    return undefined
  }
}

/** How a process ended. Bubblewrap exits with 128 and the number of the signal that ended Node.js; no process of a base exits with such a code itself. */
export function endOf(
  code: number | null,
  signal: NodeJS.Signals | null,
): { readonly how: string; readonly signal: NodeJS.Signals | null } {
  const names = Object.keys(constants.signals) as NodeJS.Signals[]
  const sent = signal ?? names.find(name => constants.signals[name] === (code ?? 0) - 128) ?? null
  return { how: sent === null ? `exit code ${code}` : `signal ${sent}`, signal: sent }
}

/** Files that the C library reads to find libraries and to resolve host names, and the time zone. */
const systemFiles = ['/etc/ld.so.cache', '/etc/resolv.conf', '/etc/hosts', '/etc/nsswitch.conf', '/etc/host.conf', '/etc/gai.conf']
const TIME_ZONE = '/etc/localtime'
const devices = ['/dev/null', '/dev/urandom']

const namespaces = ['--unshare-user-try', '--unshare-ipc', '--unshare-pid', '--unshare-uts', '--unshare-cgroup-try']

function confinement({ reads, packages, data, network }: Needs): string[] {
  return [
    ...namespaces,
    ...(network ? [] : ['--unshare-net']),
    // Old kernels let a process type into the terminal of its session. A session has its own share of the processors, so others keep the one they have.
    ...([0, 1, 2].some(isatty) ? ['--new-session'] : []),
    ...['--die-with-parent', '--cap-drop', 'ALL', '--chdir', '/'],
    ...outermost([process.execPath, ...librariesOf(process.report as Report), ...systemFiles, ...reads]).flatMap(show),
    ...packages.flatMap(platformPackages).flatMap(path => hide(path)),
    ...(data === undefined ? [] : hide(data.folder, data.reads)),
    ...devices.flatMap(path => ['--dev-bind', path, path]),
    ...(isLink(TIME_ZONE) ? ['--symlink', readlinkSync(TIME_ZONE), TIME_ZONE] : []),
    ...['--proc', '/proc', '--remount-ro', '/'],
  ]
}

const show = (path: string): string[] => (existsSync(path) ? ['--ro-bind', path, path] : [])

/** Puts an empty folder in its place, which has only what is excepted. */
const hide = (folder: string, except: readonly string[] = []): string[] => [
  '--tmpfs',
  folder,
  ...except.flatMap(show),
  '--remount-ro',
  folder,
]

const isLink = (path: string): boolean => lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true

/** Leaves out what is below another path: it is there already, and nothing can be mounted in a folder that cannot be written. */
function outermost(paths: readonly string[]): string[] {
  const unique = [...new Set(paths)]
  return unique.filter(path => !unique.some(other => other !== path && path.startsWith(`${other}/`)))
}

/** The types of Node.js lack the first. */
interface Report extends NodeJS.ProcessReport {
  /** Whether reports are to leave out the connections, whose names they would resolve. */
  excludeNetwork: boolean
}

/** The libraries that this process has loaded, under the names by which they are looked for, and those that old C libraries load to resolve host names. */
const librariesOf = remember((report: Report) => {
  const { excludeNetwork } = report
  report.excludeNetwork = true
  const { sharedObjects } = report.getReport() as { readonly sharedObjects: readonly string[] }
  report.excludeNetwork = excludeNetwork
  // One of them has no file, since the kernel provides it. The addons of Node.js are among the packages.
  const loaded = sharedObjects.filter(path => path.startsWith('/') && !path.endsWith('.node'))
  const folder = dirname(loaded.find(path => path.includes('/libc.')) ?? '/lib/libc')
  return [...loaded, ...['libnss_files.so.2', 'libnss_dns.so.2', 'libresolv.so.2'].map(name => join(folder, name))]
})

/** The packages in a folder that are for one platform, as npm has listed them: compilers and other programs. Not the one whose Node.js runs here. */
const platformPackages = remember((folder: string) => {
  const list = join(folder, '.package-lock.json')
  if (!existsSync(list)) return []
  const { packages } = JSON.parse(readFileSync(list, 'utf8')) as { readonly packages: Readonly<Record<string, { readonly os?: unknown }>> }
  const runtime = realpathSync(process.execPath)
  const named = Object.entries(packages).filter(([, { os }]) => os !== undefined)
  const paths = named.map(([path]) => join(dirname(folder), path)).filter(path => existsSync(path))
  return paths.filter(path => !runtime.startsWith(`${realpathSync(path)}/`))
})

/** Remembers what the function gave for each argument. */
function remember<Argument, Result>(make: (argument: Argument) => Result): (argument: Argument) => Result {
  const made = new Map<Argument, Result>()
  return argument => {
    const result = made.get(argument) ?? make(argument)
    made.set(argument, result)
    return result
  }
}
