/** What is delicate while one release takes over from another. Each is under way before the upgrade begins, and goes on until it is over. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { Agent } from 'node:http'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import type { LogEntry } from '../../base/contract/log-api.ts'
import { messageOf } from '../../base/kernel/errors.ts'
import { limits } from '../../base/kernel/limits.ts'
import { makeScene, publishStages, root } from '../../test/support/base.ts'
import { seeded } from '../soak/schedule.ts'
import { exchange } from './exchange.ts'
import { type Command, type Running, settled } from './running.ts'
import { headOf, type RawAnswer, Wire } from './wire.ts'

interface Ground {
  readonly running: Running
  /** A folder for what a user works on. */
  readonly folder: string
  /** Gives each of them numbers of its own. */
  readonly seed: number
  /** Resolves when the upgrade begins, and when the old release has answered its last request. */
  readonly begun: Promise<void>
  readonly over: Promise<void>
}

/** Resolves with what was seen, in words. Rejects when a promise was broken. */
type Edge = (ground: Ground) => Promise<string>

/** Calls `work` again and again until the upgrade is over, with pauses, and waits for all that it has begun. */
async function throughout({ over }: Ground, everyMs: number, work: (no: number) => Promise<void>): Promise<number> {
  let isOver = false
  void over.then(() => {
    isOver = true
  })
  const begun: Promise<void>[] = []
  while (!isOver) {
    begun.push(work(begun.length))
    // A failure is reported at the end, with all the others under way.
    begun.at(-1)?.catch(() => undefined)
    await Promise.race([delay(everyMs), over])
  }
  await Promise.all(begun)
  return begun.length
}

const LONG_MS = 2000
const TIMEOUT_MS = 20_000

/** Requests that take longer than the switch. */
const longRequests: Edge = async ground => {
  const { client, url } = ground.running
  await makeScene(client, 'long', { rank: `x => new Promise(done => setTimeout(() => done(x), ${LONG_MS}))` })
  const agent = new Agent({ keepAlive: true })
  const releases = new Map<string, number>()
  const ask = (no: number) => ({ url: `${url}/scenes/long`, body: JSON.stringify({ no }), agent, timeoutMs: TIMEOUT_MS })
  await throughout(ground, 100, async no => {
    const { failure, detail, release, isSentAgain } = await exchange(ask(no))
    assert.equal(failure, undefined, `a request of ${LONG_MS} ms: ${failure}, ${detail}`)
    assert.ok(!isSentAgain, 'a connection was closed under a request')
    releases.set(release, (releases.get(release) ?? 0) + 1)
  })
  agent.destroy()
  return `answered: ${[...releases].map(([release, count]) => `${count} by ${release}`).join(', ')}`
}

/** The pieces of a body, and how long one takes. */
const PIECES = 20
const PIECE_MS = 250

/** Bodies that arrive slowly. */
const slowBodies: Edge = async ground => {
  const body = JSON.stringify({ text: 'x'.repeat(200) })
  const size = Math.ceil(body.length / PIECES)
  const count = await throughout(ground, 500, async () => {
    const wire = await Wire.open(ground.running.url)
    wire.write(headOf('/scenes/echo', body.length))
    for (let at = 0; at < body.length; at += size) {
      await delay(PIECE_MS)
      wire.write(body.slice(at, at + size))
    }
    const answer = await wire.answer()
    wire.close()
    assert.deepEqual([answer?.status, answer?.body], [200, body], `a body that took ${PIECES * PIECE_MS} ms has no answer`)
  })
  return `answered: ${count}, each of which took ${(PIECES * PIECE_MS) / 1000} s to send`
}

const AHEAD = 8

/** Requests that are sent ahead of the answers to those before them. */
const sentAhead: Edge = async ground => {
  let [answered, left] = [0, 0]
  const burst = async (wire: Wire, no: number): Promise<boolean> => {
    const bodies = Array.from({ length: AHEAD }, (_, i) => JSON.stringify({ no, i }))
    wire.write(bodies.map(body => `${headOf('/scenes/echo', body.length)}${body}`).join(''))
    let wasLast = false
    for (const body of bodies) {
      const answer: RawAnswer | undefined = wasLast ? undefined : await wire.answer()
      if (answer === undefined) {
        assert.ok(wasLast, 'a connection with requests on it ended without an answer that says so')
        left++
        continue
      }
      assert.deepEqual([answer.status, answer.body], [200, body])
      answered++
      wasLast = answer.isLast
    }
    return !wasLast
  }
  await Promise.all(
    Array.from({ length: 4 }, async () => {
      let wire = await Wire.open(ground.running.url)
      await throughoutInTurn(ground, 25, async no => {
        // The connection may have been closed while it was idle.
        if (wire.isEnded || !(await burst(wire, no))) {
          wire.close()
          wire = await Wire.open(ground.running.url)
        }
      })
      wire.close()
    }),
  )
  return `answered: ${answered}; ${left} came after the last answer of their connection, so they were not executed`
}

/** As `throughout`, one after the other. */
async function throughoutInTurn(ground: Ground, pauseMs: number, work: (no: number) => Promise<void>): Promise<void> {
  let isOver = false
  void ground.over.then(() => {
    isOver = true
  })
  for (let no = 0; !isOver; no++) {
    await work(no)
    await delay(pauseMs)
  }
}

const IDLE = 300
/** Milliseconds over which the idle connections are used: longer than an upgrade, and than the old release keeps them. */
const IDLE_MS = 15_000

/** Connections that are idle, and on each of which a request is sent at a moment of its own. */
const idleConnections: Edge = async ground => {
  const random = seeded(ground.seed, 'idle connections')
  const body = '"idle"'
  const request = `${headOf('/scenes/echo', body.length)}${body}`
  const counts = { answered: 0, 'closed before they were used': 0, 'closed under a request': 0 }
  const use = async (wire: Wire, afterMs: number) => {
    await ground.begun
    await delay(afterMs)
    if (wire.isEnded) counts['closed before they were used']++
    else {
      wire.write(request)
      const answer = await wire.answer()
      if (answer === undefined) counts['closed under a request']++
      else {
        assert.deepEqual([answer.status, answer.body], [200, body])
        counts.answered++
      }
    }
    wire.close()
  }
  const wires: Wire[] = []
  for (let i = 0; i < IDLE; i++) {
    const wire = await Wire.open(ground.running.url)
    wires.push(wire)
    wire.write(request)
    assert.equal((await wire.answer())?.status, 200)
  }
  await Promise.all(wires.map(wire => use(wire, random() * IDLE_MS)))
  return Object.entries(counts)
    .map(([what, count]) => `${count} ${what}`)
    .join(', ')
}

/** Changes of the base: what was acknowledged is kept. */
const changes: Edge = async ground => {
  const { client } = ground.running
  const rank = 'x => x'
  await makeScene(client, 'changed', { rank }, { params: { step: 0 } })
  await client.createVersion('changed', { as: 'dev' })
  const arms = [
    { name: 'control', version: 'v1', share: 2000 },
    { name: 'treatment', version: 'v2', share: 2000 },
  ]
  await client.createExperiment('changed', { id: 'exp', segments: 4000, arms })
  await client.startExperiment('changed', 'exp', {})
  const kept = { step: 0, share: 2000, tokens: new Set<string>(), modules: new Set<string>() }
  const lost = new Map<string, number>()
  let [done, longestMs] = [0, 0]
  const attempt = async (work: () => Promise<void>) => {
    const startedAt = performance.now()
    try {
      await work()
      done++
    } catch (error) {
      const code = String((error as { readonly code?: unknown }).code ?? error)
      lost.set(code, (lost.get(code) ?? 0) + 1)
    }
    longestMs = Math.max(longestMs, performance.now() - startedAt)
  }
  await throughoutInTurn(ground, 10, async no => {
    await attempt(async () => {
      await client.setParams('changed', { params: { step: no } })
      kept.step = no
    })
    await attempt(async () => {
      const share = 100 + (no % 1800)
      await client.flip('changed', 'exp', { arms: { control: share, treatment: share } })
      kept.share = share
    })
    await attempt(async () => void kept.tokens.add((await client.createToken(['call'], `token ${no}`)).id))
    await attempt(async () => {
      await publishStages(client, 'often', `1.0.${no}`, { rank })
      kept.modules.add(`1.0.${no}`)
    })
  })
  const failures = [...lost].map(([code, count]) => `${count} ${code}`).join(', ')
  // A change that was refused may have been made all the same, so what was acknowledged before it says nothing.
  if (lost.size === 0) {
    assert.equal((await client.params('changed')).params.step, kept.step, 'parameters that were acknowledged are lost')
    const { experiments } = await client.experiments('changed')
    assert.equal(experiments[0]?.arms[0]?.share, kept.share, 'a flip that was acknowledged is lost')
  }
  const tokens = new Set((await client.tokens()).map(({ id }) => id))
  assert.ok(
    [...kept.tokens].every(id => tokens.has(id)),
    'a token that was acknowledged is lost',
  )
  const modules = new Set((await client.modules('often')).map(({ version }) => version))
  assert.ok(
    [...kept.modules].every(version => modules.has(version)),
    'a module that was acknowledged is lost',
  )
  assert.equal(failures, '', 'changes were refused while the base was upgraded')
  return `acknowledged and kept: ${done}; the slowest took ${Math.round(longestMs)} ms`
}

/** What modules log. */
const logLines: Edge = async ground => {
  const { client, url } = ground.running
  await makeScene(client, 'talking', { rank: '(x, ctx) => { ctx.log.info("said " + x); return x }' })
  const agent = new Agent({ keepAlive: true })
  const said: number[] = []
  await throughoutInTurn(ground, 50, async no => {
    const { failure } = await exchange({ url: `${url}/scenes/talking`, body: String(no), agent, timeoutMs: TIMEOUT_MS })
    if (failure === undefined) said.push(no)
  })
  agent.destroy()
  // Cells send their lines on their own time.
  await delay(2 * limits.process.heartbeatMs)
  const response = await client.open(`/api/scenes/talking/logs?limit=${limits.log.readMax}`, {})
  const found = new Set(((await response.json()) as readonly LogEntry[]).map(({ message }) => message))
  const lost = said.filter(no => !found.has(`said ${no}`))
  assert.equal(lost.length, 0, `of ${said.length} lines that modules logged, ${lost.length} are lost, from ${lost[0]} to ${lost.at(-1)}`)
  return `kept: all ${said.length} lines`
}

/** Scrapes of Prometheus. It does not try again until the next one is due. */
const scrapes: Edge = async ground => {
  const { controlUrl, token } = ground.running
  const missed: string[] = []
  const count = await throughout(ground, 500, async () => {
    try {
      const response = await fetch(`${controlUrl}/metrics`, {
        headers: { authorization: `Bearer ${token}` },
        signal: AbortSignal.timeout(10_000),
      })
      if (!response.ok || !(await response.text()).includes('berth_')) missed.push(String(response.status))
    } catch (error) {
      missed.push(String(error instanceof Error ? (error.cause ?? error) : error))
    }
  })
  assert.deepEqual(missed, [], 'scrapes of /metrics failed')
  return `answered: ${count}`
}

/** Somebody who works with `sdk dev` meanwhile. */
const development: Edge = async ground => {
  const { running, folder } = ground
  const module = join(folder, 'saved')
  const save = (k: number) => writeFile(join(module, 'index.ts'), `export const rank = (x: { n: number }) => ({ sum: x.n + ${k} })\n`)
  await mkdir(join(module, 'samples'), { recursive: true })
  await writeFile(join(module, 'package.json'), JSON.stringify({ name: 'saved', version: '1.0.0', berth: { stages: ['rank'] } }))
  await writeFile(join(module, 'samples/one.json'), '{ "n": 1 }')
  await save(0)
  const env = { ...process.env, BERTH_BASE: running.controlUrl, BERTH_TOKEN: running.token }
  const command = [join(root, 'bin/sdk.cjs'), 'dev', 'saved', '--json']
  const child = spawn(process.execPath, command, { cwd: folder, env, stdio: ['ignore', 'pipe', 'ignore', 'ipc'] })
  try {
    const next = answersOf(child)
    await next(1)
    await ground.begun
    let saves = 0
    await throughoutInTurn(ground, 300, async no => {
      await save(no + 1)
      await next(no + 2)
      saves++
    })
    return `answered: each of ${saves} saves`
  } finally {
    child.kill('SIGTERM')
  }
}

/** @returns a function that resolves once `sdk dev` has shown this sum */
function answersOf({ stdout }: ChildProcess): (sum: number) => Promise<void> {
  assert.ok(stdout)
  const lines = createInterface({ input: stdout })[Symbol.asyncIterator]()
  const seen: string[] = []
  return async sum => {
    for (;;) {
      const { value, done } = await Promise.race([lines.next(), delay(30_000, { value: '', done: true }, { ref: false })])
      assert.ok(done !== true, `sdk dev did not show the answer of a save; it said last:\n${seen.slice(-5).join('\n')}`)
      seen.push(value)
      const event = JSON.parse(value) as { readonly event: string; readonly answer?: { readonly sum?: number } }
      if (event.event === 'answer' && event.answer?.sum === sum) return
    }
  }
}

const edges: Readonly<Record<string, Edge>> = {
  'long requests': longRequests,
  'slow bodies': slowBodies,
  'requests sent ahead': sentAhead,
  'idle connections': idleConnections,
  'changes of the base': changes,
  'log lines': logLines,
  'scrapes of metrics': scrapes,
  'sdk dev': development,
}

/** Milliseconds for all of them to begin. */
const BEGIN_MS = 2000

export interface EdgeResult {
  readonly name: string
  /** What was seen; undefined when a promise was broken. */
  readonly seen: string | undefined
  readonly failure: string | undefined
}

export interface EdgeSettings {
  readonly running: Running
  readonly folder: string
  readonly seed: number
  /** Only those whose names hold this text. */
  readonly only?: string | undefined
}

/** Does all that is delicate at once, and upgrades the base in the middle. */
export async function tryEdges(settings: EdgeSettings, takeOver: () => Promise<Command>): Promise<[Command, EdgeResult[]]> {
  const { only = '', ...given } = settings
  const begun = Promise.withResolvers<void>()
  const over = Promise.withResolvers<void>()
  const ground: Ground = { ...given, begun: begun.promise, over: over.promise }
  const results = Object.entries(edges)
    .filter(([name]) => name.includes(only))
    .map(([name, edge]) =>
      edge(ground).then(
        seen => ({ name, seen, failure: undefined }),
        (error: unknown) => ({ name, seen: undefined, failure: messageOf(error) }),
      ),
    )
  await delay(BEGIN_MS)
  begun.resolve()
  const command = await takeOver()
  await settled(given.running)
  over.resolve()
  return [command, await Promise.all(results)]
}
