/** The second wall of a base: what it says of it, and that a base serves where it cannot have it. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, readlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { tokenPath } from '../base/folder/paths.ts'
import { planWallHere } from '../base/process/roles.ts'
import { seccompFilter } from '../base/process/seccomp.ts'
import { splitLines } from '../base/wire/lines.ts'
import { createClient } from '../sdk/api/client.ts'
import { callScene, type LogLine, makeScene, nodeFlags, root, startBase, tempFolder } from './support/base.ts'

const { bubblewrap, layers } = await planWallHere('auto')
const onLinux = { skip: process.platform !== 'linux' && 'the wall exists on Linux only', timeout: 60_000 }
const inBubblewrap = {
  skip: bubblewrap === undefined && (layers.find(({ layer }) => layer === 'namespaces')?.detail ?? true),
  timeout: 60_000,
}

test('a base says which layers of its wall are in force, and the process ids it shows are those of Node.js', onLinux, async t => {
  const base = await startBase(t)
  await makeScene(base.client, 'walled', { rank: 'x => x + 1' })
  assert.equal(await (await callScene(base, 'walled', 1)).json(), 2)
  const { wall, cells } = await base.client.status()
  assert.deepEqual(
    wall.map(({ layer, state, detail }) => ({ layer, state, detail })),
    layers,
  )
  for (const { pid, connected } of cells) {
    assert.equal(readlinkSync(`/proc/${pid}/exe`), process.execPath)
    assert.ok(connected)
  }
  const said = base.log.filter(({ msg }) => /^modules are (not )?confined/.test(msg))
  assert.equal(said.length, 1)
  for (const { layer, state, detail } of layers) assert.equal(said[0]?.[layer], `${state}: ${detail}`)
})

test('a base that requires a whole wall refuses to start without one, and says what is missing', onLinux, async () => {
  const args = ['start', '--port', '0', '--control-port', '0', '--data', await tempFolder(), '--wall', 'require']
  const child = spawn(process.execPath, [...nodeFlags, join(root, 'base/main.ts'), ...args], {
    cwd: tmpdir(),
    // Nothing is installed there.
    env: { ...process.env, PATH: root },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const [stderr, [code]] = await Promise.all([child.stderr.setEncoding('utf8').toArray(), once(child, 'exit')])
  assert.equal(code, 78)
  assert.match(stderr.join(''), /^berth: Cannot confine modules: .*namespaces: bubblewrap is not installed: apt-get install bubblewrap/)
  assert.match(stderr.join(''), /^what to do: .*\(WALL_MISSING\)$/m)
})

/** Starts a base under the filter of `deploy/seccomp.json`, as a container would. */
async function startFiltered(data: string): Promise<ChildProcess> {
  const command = [
    process.execPath,
    ...nodeFlags,
    join(root, 'base/main.ts'),
    'start',
    '--port',
    '0',
    '--control-port',
    '0',
    '--data',
    data,
  ]
  const args = ['--dev-bind', '/', '/', '--die-with-parent', '--seccomp', '3', '--', ...command, '--cells', '1']
  const child = spawn(bubblewrap ?? '', args, { cwd: tmpdir(), stdio: ['ignore', 'pipe', 'inherit', 'pipe'] })
  const filter = child.stdio[3]
  assert.ok(filter !== null && filter !== undefined && 'end' in filter)
  filter.end(seccompFilter('base'))
  return child
}

test('a base serves under the filter for containers, which keeps bubblewrap from it', inBubblewrap, async t => {
  const data = await tempFolder()
  const child = await startFiltered(data)
  const closed = once(child, 'close')
  t.after(() => child.kill('SIGKILL') && closed)
  const lines: LogLine[] = []
  const ready = Promise.withResolvers<LogLine>()
  const take = splitLines(text => {
    const line = JSON.parse(text) as LogLine
    lines.push(line)
    if (line.msg === 'base ready') ready.resolve(line)
  })
  child.stdout?.on('data', take)
  const { port, controlPort } = await Promise.race([ready.promise, closed.then(() => assert.fail(JSON.stringify(lines.slice(-5))))])
  const client = createClient({ base: `http://127.0.0.1:${controlPort}`, token: readFileSync(tokenPath(data), 'utf8').trim() })
  await makeScene(client, 'filtered', { rank: 'x => x + 1' })
  assert.equal(await (await callScene({ url: `http://127.0.0.1:${port}` }, 'filtered', 1)).json(), 2)
  const { wall, cells } = await client.status()
  const states = Object.fromEntries(wall.map(({ layer, state, detail }) => [layer, `${state} ${detail}`]))
  assert.match(
    states.namespaces ?? '',
    /^off bubblewrap does not work here \(.+\): allow namespaces of users; in a container, see docs\/security\.md$/,
  )
  assert.equal(states['system calls'], 'on by what started the base, such as a container')
  assert.match(states.privileges ?? '', /^on by setpriv/)
  for (const { pid } of cells) assert.match(readFileSync(`/proc/${pid}/status`, 'utf8'), /^NoNewPrivs:\s+1$/m)
})
