/** Another release takes a base over under load, or it cannot, and the one before serves on and says why. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { stripVTControlCharacters } from 'node:util'
import type { LogEntry } from '../base/contract/log-api.ts'
import { edit, makeRelease } from '../scripts/upgrades/releases.ts'
import { callScene, launchBase, makeScene, type RunningBase, tempFolder, until } from './support/base.ts'
import { type Load, startLoad } from './support/load.ts'

/** What is changed of a file of a release. */
type Patch = readonly [file: string, from: string | RegExp, to: string]

const versionOf = (name: string): string => `9.0.0-${name}`

/** A copy of the clone, with a version of its own and faults. @returns its folder */
async function releaseOf(name: string, ...patches: readonly Patch[]): Promise<string> {
  const { folder } = await makeRelease(join(await tempFolder(), name), name, versionOf(name))
  for (const [file, from, to] of patches) edit(join(folder, file), text => text.replace(from, to))
  return folder
}

interface Command {
  readonly process: ChildProcess
  readonly ended: Promise<{ readonly code: number | null; readonly output: string }>
}

/** Runs `base upgrade` of a release. */
function upgrade(release: string, data: string, ...args: readonly string[]): Command {
  const child = spawn(process.execPath, [join(release, 'bin/base.cjs'), 'upgrade', '--data', data, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += stripVTControlCharacters(text)
    })
  }
  return { process: child, ended: once(child, 'close').then(([code]) => ({ code: code as number | null, output })) }
}

let one: string
let other: string
let base: RunningBase
const loads: Load[] = []

/** What the base has said to its service manager. */
let notified: string

/** In the place of `systemd-notify`, a program appends what it is to send to the file. */
async function watchedEnvironment(): Promise<NodeJS.ProcessEnv> {
  const folder = await tempFolder()
  notified = join(folder, 'notified')
  writeFileSync(notified, '')
  writeFileSync(join(folder, 'systemd-notify'), '#!/bin/sh\necho "$*" >> "$NOTIFY_SOCKET"\n', { mode: 0o755 })
  return { ...process.env, PATH: `${folder}${delimiter}${process.env.PATH}`, NOTIFY_SOCKET: notified }
}

before(async () => {
  ;[one, other] = await Promise.all([releaseOf('one'), releaseOf('other')])
  base = await launchBase({ release: one, cells: 2, data: await tempFolder(), env: await watchedEnvironment() })
  await makeScene(base.client, 'echo', { rank: 'x => x' })
  for (const keepAlive of [true, false]) loads.push(startLoad(`${base.url}/scenes/echo`, 2, keepAlive, body => body === '{"a":1}'))
})
after(() => base?.kill())

const status = () => base.client.status()

/** Resolves once another release can take over: the one before has ended, or has all back. */
const settled = () => until(async () => (await status().catch(() => undefined))?.release?.fixed === null)

/** Has a module log the number of each request, until it is stopped. */
async function startTalking(): Promise<{ stop(): Promise<readonly string[]> }> {
  await makeScene(base.client, 'talking', { rank: '(x, ctx) => { ctx.log.info("said " + x); return x }' })
  const said: string[] = []
  let isOver = false
  const talking = (async () => {
    while (!isOver) {
      assert.equal((await callScene(base, 'talking', said.length)).status, 200)
      said.push(`said ${said.length}`)
      await delay(100)
    }
  })()
  return {
    stop: async () => {
      isOver = true
      await talking
      return said
    },
  }
}

async function hasLogged(lines: readonly string[]): Promise<boolean> {
  const response = await base.client.open('/api/scenes/talking/logs?limit=1000', {})
  const found = new Set(((await response.json()) as readonly LogEntry[]).map(({ message }) => message))
  return lines.every(line => found.has(line))
}

test('another release takes a base over, and the one before takes it back, by the same command', { timeout: 120_000 }, async () => {
  const talk = await startTalking()
  for (const [release, name] of [
    [other, 'other'],
    [one, 'one'],
  ] as const) {
    const { code, output } = await upgrade(release, base.data).ended
    assert.equal(code, 0, output)
    assert.match(output, /✔ load scenes +\d+ ms {2}2 cells\n/)
    // This waits for the cells of the other release, which would not hear of it.
    const { revision } = await base.client.createToken(['call'], name).then(status)
    const { release: now, upgrade: last, cells } = await status()
    assert.deepEqual([now?.version, last?.result, last?.to.version, cells.length], [versionOf(name), 'done', versionOf(name), 2])
    assert.ok(revision > 0)
    await settled()
    await until(() => {
      const states = readFileSync(notified, 'utf8').match(/(?<=STATUS=).*? cells ready.*/g) ?? []
      const isSaid = states.some(state => state.includes(`; upgrading to ${versionOf(name)} (`))
      return isSaid && /: 2 of 2 cells ready$/.test(states.at(-1) ?? '')
    })
  }
  // Cells send what modules log on their own time, and the last of it when they end.
  const said = await talk.stop()
  await until(() => hasLogged(said))
  const { code, output } = await upgrade(one, base.data).ended
  assert.equal(code, 0)
  assert.match(output, /runs 9\.0\.0-one \(\w+\) already, since/)
})

const takesOver = 'if (link !== undefined && isHeir) return takeOver'
const starts = 'await this.#keeper.start()\n'

const faults: readonly {
  readonly name: string
  readonly patches: readonly Patch[]
  readonly args?: readonly string[]
  readonly why: RegExp
}[] = [
  {
    name: 'crashes at its start',
    patches: [['base/supervisor/supervisor.ts', takesOver, `if (isHeir) process.exit(7)\n${takesOver}`]],
    why: /its supervisor ended \(exit code 7\) while it started/,
  },
  {
    name: 'hangs',
    patches: [
      [
        'base/supervisor/supervisor.ts',
        takesOver,
        `if (isHeir) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)\n${takesOver}`,
      ],
    ],
    args: ['--timeout', '1'],
    why: /it did not serve within 1 s: that passed while it started/,
  },
  {
    name: 'is too old for the data folder',
    patches: [['base/store/sqlite.ts', 'const FORMAT = 2', 'const FORMAT = 1']],
    why: /it has format 2, and this Berth reads up to 1 \(DATA_FORMAT_NEWER\)/,
  },
  {
    name: 'upgrades the database, and one of its cells ends when the other is ready',
    patches: [
      ['base/store/sqlite.ts', 'const FORMAT = 2', 'const FORMAT = 3'],
      [
        'base/store/sqlite.ts',
        'else upgradeFormat(db, path, upgrade)',
        'else { keepCopy(db, path + ".format-2"); db.exec("pragma user_version = 3") }',
      ],
      ['base/cell/cell.ts', starts, `if (this.#ordinal === 2) await new Promise(() => setTimeout(() => process.exit(9), 1000))\n${starts}`],
      // None of its answers may be seen.
      ['base/cell/scene-port.ts', 'res.writeHead(200, headers)', 'res.writeHead(503, headers)'],
    ],
    why: /cell \d ended \(exit code 9\)/,
  },
]

for (const { name, patches, args = [], why } of faults) {
  test(`when the other release ${name}, the one before serves on and says why`, { timeout: 120_000 }, async () => {
    const release = await releaseOf(name.replaceAll(/\W+/g, '-'), ...patches)
    const from = base.log.length
    const { code, output } = await upgrade(release, base.data, ...args).ended
    assert.equal(code, 1, output)
    assert.match(output, why)
    assert.match(output, /9\.0\.0-one \(\w+\) serves on/)
    await base.logged(({ msg }) => msg.startsWith('base is not upgraded') && why.test(msg), from)
    // The keeper takes changes, and has what it had before.
    await base.client.createToken(['call'], name)
    const { release: now, upgrade: last } = await status()
    assert.deepEqual([now?.version, last?.result], [versionOf('one'), 'failed'])
    assert.match(last?.why ?? '', why)
    const changes = (await base.client.audit(20)).map(row => row.change)
    const change = changes.find(change => change?.kind === 'upgrade base')
    assert.ok(change?.kind === 'upgrade base' && !change.payload.isDone && change.payload.to.version === last?.to.version)
    await settled()
  })
}

test('no request has failed in any of these upgrades', async () => {
  for (const load of loads) {
    const { answered, refused, broken } = await load.stop()
    assert.deepEqual({ refused, broken }, { refused: [], broken: [] })
    assert.ok(answered > 0)
  }
})

// Each ends the base.
for (const whose of ['supervisor', 'launcher'] as const) {
  test(`when the ${whose} of the base is killed during an upgrade, nothing serves twice or half`, { timeout: 120_000 }, async () => {
    const release = await releaseOf('slow', ['base/cell/cell.ts', starts, `await new Promise(() => undefined)\n${starts}`])
    const command = upgrade(release, base.data)
    await base.logged(line => line.msg === 'step of the upgrade is over' && line.step === 'start keeper', base.log.length)
    const { pid } = JSON.parse(readFileSync(join(base.data, 'base.json'), 'utf8')) as { pid: number }
    // Its output closes when the last process has ended.
    const ended = once(base.process, 'close')
    process.kill(whose === 'supervisor' ? pid : Number(base.process.pid), 'SIGKILL')
    assert.deepEqual(await ended, [null, 'SIGKILL'])
    const { code, output } = await command.ended
    assert.equal(code, 1)
    assert.match(output, /the base has ended/)
    await assert.rejects(callScene(base, 'echo', 1))
    if (whose === 'launcher') return
    base = await launchBase({ release: one, data: base.data })
    const { upgrade: last } = await status()
    assert.deepEqual([last?.result, last?.why], ['failed', 'the base ended in the meantime'], 'the next start says it')
  })
}
