import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Machine, readMachine } from './machine.ts'

const MB = 1024 ** 2
const UNLIMITED_V1 = '9223372036854771712'
const host = { memoryBytes: 16_384 * MB, cores: 8 }

const V2 = '30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate'
const v1 = (controller: string, root = '/') =>
  `35 31 0:32 ${root} /sys/fs/cgroup/${controller} rw,relatime - cgroup cgroup rw,${controller}`

type Files = Readonly<Record<string, string>>

/** @param files below /sys/fs/cgroup */
function machine(mounts: readonly string[], membership: string, files: Files, others: Files = {}): Machine & { readonly found: unknown[] } {
  const all = new Map<string, string>([
    ['/proc/self/mountinfo', `22 1 8:1 / / rw - ext4 /dev/root rw\n${mounts.join('\n')}\n`],
    ['/proc/self/cgroup', `${membership}\n`],
    ...Object.entries(files).map(([path, text]) => [`/sys/fs/cgroup/${path}`, `${text}\n`] as const),
    ...Object.entries(others),
  ])
  const read = readMachine(path => all.get(path), host)
  return { ...read, found: [read.memoryMB, read.memoryFile?.replace('/sys/fs/cgroup/', ''), read.cores, read.oomKills()] }
}

test('in version 2 the smallest limit from the group of the process up to the mounted one counts', () => {
  const nested = { 'a/b/memory.max': 'max', 'a/memory.max': `${512 * MB}`, 'a/b/cpu.max': 'max 100000', 'a/cpu.max': '250000 100000' }
  const events = { 'a/b/memory.events': 'low 0\nhigh 0\nmax 90\noom 4\noom_kill 3\noom_group_kill 0' }
  assert.deepEqual(machine([V2], '0::/a/b', { ...nested, ...events }).found, [512, 'a/memory.max', 2, 3])
  const high = { ...nested, 'a/b/memory.high': `${300 * MB}` }
  assert.deepEqual(machine([V2], '0::/a/b', high).found, [300, 'a/b/memory.high', 2, undefined])
})

test('in version 2 a container that sees only its own group finds its limit at the mount', () => {
  const files = { 'memory.max': `${256 * MB}`, 'cpu.max': '50000 100000', 'memory.events': 'oom_kill 1' }
  for (const membership of ['0::/', '0::/../../b', '0::/docker/c0ffee']) {
    assert.deepEqual(machine([V2], membership, files).found, [256, 'memory.max', 1, 1], membership)
  }
})

test('in version 1 each controller has its own groups, and what those above impose is in memory.stat', () => {
  const mounts = [v1('cpu'), v1('memory'), v1('pids')]
  const membership = '4:memory:/a/b\n2:cpu:/c\n1:name=systemd:/\n0::/'
  const cpu = { 'cpu/c/cpu.cfs_quota_us': '400000', 'cpu/c/cpu.cfs_period_us': '100000' }
  const oom = { 'memory/a/b/memory.oom_control': 'oom_kill_disable 0\nunder_oom 0\noom_kill 7' }
  const nested = { 'memory/a/b/memory.limit_in_bytes': UNLIMITED_V1, 'memory/a/memory.limit_in_bytes': `${700 * MB}` }
  assert.deepEqual(machine(mounts, membership, { ...cpu, ...oom, ...nested }).found, [700, 'memory/a/memory.limit_in_bytes', 4, 7])
  const above = {
    'memory/a/b/memory.limit_in_bytes': UNLIMITED_V1,
    'memory/a/b/memory.stat': `cache 1\nhierarchical_memory_limit ${600 * MB}`,
  }
  assert.deepEqual(machine(mounts, membership, above).found, [600, 'memory/a/b/memory.stat', 8, undefined])
})

test('in version 1 a container finds its group at the mount, though its path is that of the machine', () => {
  const files = { 'memory/memory.limit_in_bytes': `${512 * MB}`, 'memory/memory.oom_control': 'oom_kill 2' }
  const mount = v1('memory', '/docker/c0ffee')
  for (const membership of ['4:memory:/docker/c0ffee', '4:memory:/elsewhere'])
    assert.deepEqual(machine([mount], membership, files).found, [512, 'memory/memory.limit_in_bytes', 8, 2])
  const within = { ...files, 'memory/job/memory.limit_in_bytes': `${100 * MB}` }
  assert.equal(machine([mount], '4:memory:/docker/c0ffee/job', within).memoryMB, 100)
})

test('where both versions are mounted, the controllers of each count', () => {
  const unified = '41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw'
  const files = {
    'memory/a/memory.limit_in_bytes': `${512 * MB}`,
    'memory/a/memory.oom_control': 'oom_kill 1',
    'unified/b/cpu.max': '100000 100000',
  }
  assert.deepEqual(machine([v1('memory'), unified], '4:memory:/a\n0::/b', files).found, [512, 'memory/a/memory.limit_in_bytes', 1, 1])
})

test('without a limit, or with one beyond the machine, the memory and the processors of the machine count', () => {
  const all = [16_384, undefined, 8, undefined]
  assert.deepEqual(machine([], '', {}).found, all)
  assert.deepEqual(machine([V2], '0::/a', {}).found, all)
  assert.deepEqual(machine([V2], '0::/a', { 'a/memory.max': `${99_999 * MB}`, 'a/cpu.max': '9900000 100000' }).found, all)
  const unlimited = { 'memory/memory.limit_in_bytes': UNLIMITED_V1, 'memory/cpu.cfs_quota_us': '-1', 'memory/cpu.cfs_period_us': '100000' }
  assert.deepEqual(machine([v1('memory')], '4:memory:/', unlimited).found, all)
})

test('where no group counts kills, those of the whole machine are taken', () => {
  assert.equal(machine([V2], '0::/', {}, { '/proc/vmstat': 'pgfault 12\noom_kill 5\n' }).oomKills(), 5)
})

test('a space in the path of a mount is read as one', () => {
  const mount = V2.replace('/sys/fs/cgroup', '/sys/fs/cgroup/my\\040groups')
  assert.equal(machine([mount], '0::/', { 'my groups/memory.max': `${64 * MB}` }).memoryMB, 64)
})

test('garbage in these files never throws, and never makes a limit of nothing', () => {
  const texts = fc.oneof(fc.string(), fc.constantFrom('', '\n', '0', '-1', 'max', 'NaN', '1e3', '0 0', '5 0', '0::/', V2, v1('memory')))
  fc.assert(
    fc.property(texts, texts, texts, (mountinfo, membership, content) => {
      const names: Files = { '/proc/self/mountinfo': mountinfo, '/proc/self/cgroup': membership }
      const { memoryMB, cores, oomKills } = readMachine(path => names[path] ?? content, host)
      oomKills()
      assert.ok(cores >= 1 && cores <= host.cores && memoryMB >= 0 && memoryMB <= 16_384)
    }),
  )
  assert.deepEqual(machine([V2], '0::/', { 'memory.max': 'lots', 'cpu.max': 'many', 'memory.events': 'oom_kill some' }).found, [
    16_384,
    undefined,
    8,
    undefined,
  ])
})
