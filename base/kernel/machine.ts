/**
 * What the machine, or the container on it, gives this process. Node.js itself looks only at the control group of the process and not at those above
 * it, takes the soft limit of version 1 for a limit, and misses the processor quota of version 1.
 */
import { readFileSync } from 'node:fs'
import { availableParallelism, totalmem } from 'node:os'

export interface Machine {
  /** MB that all processes of the container, or of the machine, may use together. */
  readonly memoryMB: number
  /** The file that says so; undefined when it is all that the machine has. */
  readonly memoryFile: string | undefined
  /** Processors that may be used, at least 1. */
  readonly cores: number
  /** How many processes the kernel has killed here so far because memory was short; undefined where that is not known. */
  oomKills(): number | undefined
}

/** Text of a file; undefined when it cannot be read. */
export type ReadText = (path: string) => string | undefined

interface Host {
  readonly memoryBytes: number
  readonly cores: number
}

const MB = 1024 ** 2

/** Reads the limits once. @param read for tests: reads files of another system */
export function readMachine(read: ReadText = readText, host: Host = { memoryBytes: totalmem(), cores: availableParallelism() }): Machine {
  const groups = controlGroups(read('/proc/self/mountinfo') ?? '', read('/proc/self/cgroup') ?? '')
  const memory = groups.flatMap(group => memoryLimits(group, read)).sort((a, b) => a.bytes - b.bytes)[0]
  const isLimited = memory !== undefined && memory.bytes < host.memoryBytes
  const quotas = groups.flatMap(group => processorQuotas(group, read))
  return {
    memoryMB: Math.floor((isLimited ? memory.bytes : host.memoryBytes) / MB),
    memoryFile: isLimited ? memory.file : undefined,
    cores: Math.max(1, Math.floor(Math.min(host.cores, ...quotas))),
    oomKills: () => countOomKills(groups, read),
  }
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    // Other systems have no such file, and a container may hide it.
    return undefined
  }
}

/** The control groups that this process is in, of one hierarchy. */
interface ControlGroup {
  readonly version: 1 | 2
  /** What version 1 controls in this hierarchy; one hierarchy of version 2 controls everything. */
  readonly controllers: readonly string[]
  /** The folder of its group and those of the groups around it that can be seen here, from the innermost outwards. */
  readonly folders: readonly string[]
}

interface Mount {
  readonly version: 1 | 2
  readonly controllers: readonly string[]
  /** The group that is mounted there: not the topmost one when a container sees only its own. */
  readonly root: string
  readonly folder: string
}

function controlGroups(mountinfo: string, memberships: string): ControlGroup[] {
  const paths = memberships.split('\n').flatMap(line => {
    // For example `4:memory:/docker/0a1b`, and `0::/docker/0a1b` in version 2.
    const [, id, controllers = '', path = ''] = /^(\d+):([^:]*):(\/.*)$/.exec(line) ?? []
    return id === undefined ? [] : [{ controllers: controllers.split(',').filter(name => name !== ''), path }]
  })
  return mountinfo
    .split('\n')
    .flatMap(parseMount)
    .flatMap(({ version, controllers, root, folder }) => {
      const shared = (names: readonly string[]) => (version === 2 ? names.length === 0 : names.some(name => controllers.includes(name)))
      const membership = paths.find(path => shared(path.controllers))
      if (membership === undefined) return []
      return [{ version, controllers, folders: foldersUp(folder, pathBelow(root, membership.path)) }]
    })
}

/** A line such as `35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory`. */
function parseMount(line: string): Mount[] {
  const [mount = '', type = ''] = line.split(' - ')
  const [, , , root, folder] = mount.split(' ').map(unescapePath)
  const [fileSystem, , options = ''] = type.split(' ')
  if (root === undefined || folder === undefined) return []
  if (fileSystem === 'cgroup2') return [{ version: 2, controllers: [], root, folder }]
  return fileSystem === 'cgroup' ? [{ version: 1, controllers: options.split(','), root, folder }] : []
}

/** The kernel writes a space in a path as `\040`. */
const unescapePath = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))

/** The names from the mounted group to that of the process; none when the group of the process cannot be seen from here. */
function pathBelow(root: string, path: string): string[] {
  const names = (text: string) => text.split('/').filter(name => name !== '')
  const [above, all] = [names(root), names(path)]
  const isBelow = above.every((name, index) => all[index] === name) && !all.includes('..')
  return isBelow ? all.slice(above.length) : []
}

function foldersUp(folder: string, names: readonly string[]): string[] {
  return names.length === 0 ? [folder] : [[folder, ...names].join('/'), ...foldersUp(folder, names.slice(0, -1))]
}

interface MemoryLimit {
  readonly bytes: number
  readonly file: string
}

function memoryLimits({ version, controllers, folders }: ControlGroup, read: ReadText): MemoryLimit[] {
  if (version === 1 && !controllers.includes('memory')) return []
  // Beyond `memory.high` nothing is killed, but everything is held up until it is hardly alive.
  const names = version === 2 ? ['memory.max', 'memory.high'] : ['memory.limit_in_bytes']
  const files = folders.flatMap(folder => names.map(name => `${folder}/${name}`))
  const own = files.map(file => ({ file, bytes: natural(read(file)) }))
  // Version 1 says here what limits the groups around this one impose, of which a container may see none.
  const stat = version === 1 ? `${folders[0]}/memory.stat` : ''
  const inherited = { file: stat, bytes: field(stat === '' ? undefined : read(stat), 'hierarchical_memory_limit') }
  return [...own, inherited].flatMap(({ file, bytes }) => (bytes === undefined || bytes === 0 ? [] : [{ file, bytes }]))
}

/** Each in processors. */
function processorQuotas({ version, controllers, folders }: ControlGroup, read: ReadText): number[] {
  if (version === 1 && !controllers.includes('cpu')) return []
  return folders.flatMap(folder => {
    const files = version === 2 ? ['cpu.max'] : ['cpu.cfs_quota_us', 'cpu.cfs_period_us']
    const text = files.map(file => read(`${folder}/${file}`) ?? '').join(' ')
    const [quota, period] = text.trim().split(/\s+/).map(natural)
    return quota === undefined || period === undefined || quota * period === 0 ? [] : [quota / period]
  })
}

/** The kernel counts before it kills. `/proc/vmstat` counts for the whole machine, and is for processes without a group of their own. */
function countOomKills(groups: readonly ControlGroup[], read: ReadText): number | undefined {
  const files = groups.flatMap(({ version, controllers, folders }) => {
    if (version === 1 && !controllers.includes('memory')) return []
    return folders.map(folder => `${folder}/${version === 2 ? 'memory.events' : 'memory.oom_control'}`)
  })
  for (const file of [...files, '/proc/vmstat']) {
    const count = field(read(file), 'oom_kill')
    if (count !== undefined) return count
  }
  return undefined
}

/** The number beside a name, in a file with one of each on every line. */
function field(text: string | undefined, name: string): number | undefined {
  const line = text?.split('\n').find(line => line.startsWith(`${name} `))
  return natural(line?.slice(name.length + 1))
}

/** Undefined for `max`, `-1` and everything else that is no such number. */
function natural(text: string | undefined): number | undefined {
  return text !== undefined && /^\d+$/.test(text.trim()) ? Number(text) : undefined
}

/** The machine, or the container, that this process runs on. */
export const thisMachine: Machine = readMachine()
