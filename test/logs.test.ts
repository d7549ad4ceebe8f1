/** `sdk logs` and the API under it: what modules log reaches those who follow, from every cell, and outlives the processes. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFile, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, type TestContext, test } from 'node:test'
import type { LogEntry } from '../base/contract/log-api.ts'
import { logsPath } from '../base/folder/paths.ts'
import { limits } from '../base/kernel/limits.ts'
import { publishBundle, uploadBundle } from '../sdk/api/publish-steps.ts'
import { readEvents } from '../sdk/api/server-sent-events.ts'
import { bundleModule } from '../sdk/bundle/bundle.ts'
import { callScene, launchBase, makeScene, type RunningBase, root, startBase, tempFolder } from './support/base.ts'
import { sdkIn } from './support/cli.ts'

let base: RunningBase

before(async () => {
  base = await launchBase({ cells: 2 })
})
after(() => base.kill())

const read = async (from: RunningBase, scene: string, query = ''): Promise<LogEntry[]> =>
  (await (await from.client.open(`/api/scenes/${scene}/logs?${query}`, {})).json()) as LogEntry[]

/** Reads until the entries satisfy the condition: a line takes a moment from the slot to the keeper. */
async function readUntil(from: RunningBase, scene: string, query: string, holds: (entries: LogEntry[]) => boolean): Promise<LogEntry[]> {
  for (;;) {
    const entries = await read(from, scene, query)
    if (holds(entries)) return entries
  }
}

interface Following {
  /** The first entry that matches, whether it has come or is still to come. Rejects when the stream ends first. */
  entry(matches: (entry: LogEntry) => boolean): Promise<LogEntry>
  readonly entries: readonly LogEntry[]
  readonly ended: Promise<void>
}

/** Follows until the test ends. Resolves when it is certain that everything that comes from now on is seen. */
async function follow(
  t: TestContext,
  from: RunningBase,
  scene: string,
  query = '',
  headers: Record<string, string> = {},
): Promise<Following> {
  const stopped = new AbortController()
  t.after(() => stopped.abort())
  const response = await from.client.open(`/api/scenes/${scene}/logs?${query}`, {
    headers: { accept: 'text/event-stream', ...headers },
    signal: stopped.signal,
  })
  assert.equal(response.headers.get('content-type'), 'text/event-stream')
  const entries: LogEntry[] = []
  let changed = Promise.withResolvers<void>()
  const live = Promise.withResolvers<void>()
  const consume = async () => {
    for await (const { event, data } of readEvents(response)) {
      if (event === 'live') live.resolve()
      if (event === undefined) entries.push(JSON.parse(data) as LogEntry)
      changed.resolve()
      changed = Promise.withResolvers()
    }
  }
  const ended = consume()
  ended.catch(() => undefined)
  await Promise.race([live.promise, ended])
  return {
    entries,
    ended,
    entry: async matches => {
      for (;;) {
        const found = entries.find(matches)
        if (found !== undefined) return found
        const over = ended.then(() => {
          throw new Error(`The stream ended after ${JSON.stringify(entries)}`)
        })
        await Promise.race([changed.promise, over])
      }
    },
  }
}

test('lines of every cell reach who follows, with scene, version, module, request, fields and cell', async t => {
  await makeScene(base.client, 'talk', { rank: '(x, ctx) => { ctx.log.info("ranked", { n: x.n }); return x.n }' })
  const following = await follow(t, base, 'talk')
  // The kernel spreads connections, so new ones are opened until both cells have answered.
  for (let n = 0; new Set(following.entries.map(({ cell }) => cell)).size < 2; n++) {
    const answer = await callScene(base, 'talk', { n }, { 'x-request-id': `talk-${n}`, connection: 'close' })
    assert.equal(await answer.json(), n)
    const { seq, at, cell, ...entry } = await following.entry(({ requestId }) => requestId === `talk-${n}`)
    assert.deepEqual(entry, {
      level: 'info',
      scene: 'talk',
      version: 'v1',
      module: 'm-talk@1.0.0',
      requestId: `talk-${n}`,
      message: 'ranked',
      fields: { n },
    })
    assert.ok(Math.abs(Date.parse(at) - Date.now()) < 60_000)
    assert.ok(cell === 1 || cell === 2)
    assert.ok(Number.isSafeInteger(seq))
  }
  const seqs = following.entries.map(({ seq }) => seq)
  assert.deepEqual(
    seqs,
    [...new Set(seqs)].sort((a, b) => a - b),
  )
})

test('level, module and version choose the lines, and the limit the last of them', async () => {
  await makeScene(base.client, 'pick', {
    rank: '(x, ctx) => { for (const level of ["debug", "info", "warn", "error"]) ctx.log[level](level); console.log("chat"); return 1 }',
  })
  await callScene(base, 'pick', {})
  const messages = async (query: string) => (await read(base, 'pick', query)).map(({ message }) => message).sort()
  await readUntil(base, 'pick', '', entries => entries.length === 5)
  assert.deepEqual(await messages('level=warn'), ['error', 'warn'])
  assert.deepEqual(await messages('module=m-pick&level=error'), ['error'])
  assert.deepEqual(await messages('module=m-pick@1.0.0&level=error'), ['error'])
  assert.deepEqual(await messages('module=other'), [])
  assert.equal((await messages('limit=2')).length, 2)
  assert.equal((await messages('version=v1')).length, 5)
})

test('an error of a module is logged with its code, stage and the stack of its TypeScript', async t => {
  const folder = join(await tempFolder(), 'thrower')
  await mkdir(folder)
  await writeFile(join(folder, 'package.json'), JSON.stringify({ name: 'thrower', version: '1.0.0', berth: { stages: ['rank'] } }))
  await writeFile(join(folder, 'index.ts'), `import { fail } from './fail.ts'\nexport const rank = (): never => fail()\n`)
  await writeFile(
    join(folder, 'fail.ts'),
    `// One line more.\nexport function fail(): never {\n  throw new RangeError('no such item')\n}\n`,
  )
  const bundle = await bundleModule(folder)
  await uploadBundle(base.client, bundle)
  await publishBundle(base.client, bundle)
  await base.client.putScene({ id: 'throws', group: [{ stage: 'rank', modules: ['thrower@^1'] }] }, undefined)
  await base.client.createVersion('throws', { as: 'baseline' })
  const following = await follow(t, base, 'throws', 'level=error')
  assert.equal((await callScene(base, 'throws', {}, { 'x-request-id': 'thrown-1' })).status, 500)
  const { code, stage, module, version, stack, level } = await following.entry(({ requestId }) => requestId === 'thrown-1')
  assert.deepEqual([code, stage, module, version, level], ['MODULE_THREW', 'rank', 'thrower@1.0.0', 'v1', 'error'])
  assert.match(stack ?? '', /RangeError: no such item\n\s+at fail \(thrower\/fail\.ts:3:9\)/)
  const shown = await sdkIn(root, base)('logs', 'throws', '--level', 'error')
  assert.equal(shown.code, 0)
  assert.match(
    shown.stdout,
    /ERROR v1 thrower@1\.0\.0 .*no such item \(MODULE_THREW\).* request thrown-1, cell \d\n {4}RangeError: no such item\n {4}at fail \(thrower\/fail\.ts:3:9\)/,
  )
})

test('what an answer loses as JSON is warned of once for a version, whichever cells answer, with stage and path', async () => {
  await makeScene(base.client, 'loses', {
    rank: '(x, ctx) => { ctx.log.info("ranked"); return { rows: Promise.resolve([]), items: [{ score: 1 }, { score: x.n / 0 }], unit: ctx.unit } }',
  })
  // The kernel spreads connections, so new ones are opened until both cells have answered.
  const cells = (entries: LogEntry[]) => new Set(entries.map(({ cell }) => cell)).size
  for (let sent = 1; ; sent++) {
    const answer = await callScene(base, 'loses', { n: 1 }, { connection: 'close' })
    assert.deepEqual(await answer.json(), { rows: {}, items: [{ score: 1 }, { score: null }] })
    if (
      cells(await readUntil(base, 'loses', 'limit=1000', entries => entries.filter(({ level }) => level === 'info').length === sent)) === 2
    )
      break
  }
  const warnings = await read(base, 'loses', 'level=warn')
  assert.deepEqual(
    warnings.map(({ code, module, message }) => [code, module, message.replace(/^.*JSON: /, '')]),
    [
      ['DATA_LOST', 'm-loses@1.0.0', '"/rows" is a Promise, which became {}: await it'],
      ['DATA_LOST', 'm-loses@1.0.0', '"/items/1/score" is Infinity, which became null: check how it is computed, or use null'],
      ['DATA_LOST', 'm-loses@1.0.0', '"/unit" is undefined and was left out: leave it out, or use null'],
    ],
  )
  assert.match(warnings[0]?.message ?? '', /^The answer of stage "rank" loses data as JSON/)
})

test('what the input of a call loses as JSON is warned of too', async () => {
  await makeScene(base.client, 'passes', { rank: 'async (x, ctx) => ctx.call("loses", { n: x.n, seen: new Set([1]) })' })
  await callScene(base, 'passes', { n: 1 })
  const [warning] = await readUntil(base, 'passes', 'level=warn', entries => entries.length > 0)
  assert.match(
    warning?.message ?? '',
    /^The input of ctx\.call loses data as JSON: "\/seen" is a Set, which became \{\}: use \[\.\.\.set\]$/,
  )
})

test('a flood is cut down to the rate of a version, says how much was dropped, and hides no error', async t => {
  await makeScene(base.client, 'flood', {
    rank: '(x, ctx) => { for (let i = 0; i < 150; i++) ctx.log.info("line " + i); ctx.log.error("after all"); return 1 }',
  })
  const following = await follow(t, base, 'flood', 'level=warn')
  const linesOf = (entries: LogEntry[]) => entries.filter(({ message }) => message.startsWith('line ')).length
  const droppedOf = (entries: LogEntry[]) => entries.reduce((sum, entry) => sum + (entry.dropped ?? 0), 0)
  let kept: LogEntry[] = []
  // The second may turn in the middle of a flood. Then all of it may be within the rate.
  for (let asked = 1; droppedOf(kept) === 0; asked++) {
    await callScene(base, 'flood', {}, { 'x-request-id': `flood-${asked}` })
    await following.entry(({ message, requestId }) => message === 'after all' && requestId === `flood-${asked}`)
    kept = await readUntil(base, 'flood', 'limit=1000', entries => linesOf(entries) + droppedOf(entries) === 150 * asked)
  }
  assert.ok(linesOf(kept) >= 100)
  const said = await following.entry(({ dropped }) => dropped !== undefined)
  assert.match(said.message, /lines of this version were dropped/)
})

test('who was cut off goes on after the last line it saw', async t => {
  await makeScene(base.client, 'resume', { rank: '(x, ctx) => { ctx.log.info("line " + x); return x }' })
  for (const n of [1, 2, 3]) await callScene(base, 'resume', n)
  const seen = await readUntil(base, 'resume', '', entries => entries.length === 3)
  const second = seen.sort((a, b) => a.seq - b.seq)[1]
  assert.ok(second)
  const following = await follow(t, base, 'resume', 'limit=1', { 'last-event-id': String(second.seq) })
  assert.deepEqual(
    following.entries.map(({ seq }) => seq),
    seen.slice(2).map(({ seq }) => seq),
  )
  await callScene(base, 'resume', 4)
  await following.entry(({ message }) => message === 'line 4')
  assert.equal(following.entries.length, 2)
})

test('reading needs the right to see stacks, and ends when the token is revoked', async t => {
  await makeScene(base.client, 'secret', { rank: '(x, ctx) => { ctx.log.info("hello"); return 1 }' })
  const call = await base.client.createToken(['call'], 'caller')
  const pin = await base.client.createToken(['pin'], 'looker')
  const status = async (token: string | undefined) =>
    (
      await fetch(new URL('/api/scenes/secret/logs', base.controlUrl), {
        headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
      })
    ).status
  assert.deepEqual([await status(undefined), await status(call.token), await status(pin.token)], [401, 403, 200])
  const following = await follow(t, base, 'secret', '', { authorization: `Bearer ${pin.token}` })
  await base.client.revokeToken(pin.id)
  await following.ended
})

test('an unknown scene or version is refused, by name', async () => {
  const sdk = sdkIn(root, base)
  const nowhere = await sdk('logs', 'nowhere')
  assert.equal(nowhere.code, 1)
  assert.match(nowhere.stderr, /Cannot find scene "nowhere".*\n.*SCENE_NOT_FOUND/)
  await makeScene(base.client, 'somewhere', { rank: 'x => x' })
  const version = await sdk('logs', 'somewhere', '--version', 'v9', '--follow')
  assert.equal(version.code, 1)
  assert.match(version.stderr, /Cannot find version "v9" of scene "somewhere": it has v1\n.*VERSION_NOT_FOUND/)
  const limit = await sdk('logs', 'somewhere', '--limit', 'all')
  assert.equal(limit.code, 2)
})

test('who follows the log of a scene that is deleted is told so, and follows no more', async t => {
  await makeScene(base.client, 'passing', { rank: '(x, ctx) => { ctx.log.info("hello"); return x }' })
  const following = await follow(t, base, 'passing')
  const child = spawn(process.execPath, [join(root, 'bin/sdk.cjs'), 'logs', 'passing', '--follow'], {
    env: { ...process.env, BERTH_BASE: base.controlUrl, BERTH_TOKEN: base.token },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  t.after(() => child.kill('SIGKILL'))
  // It may end before the other follower here hears of the end.
  const exited = once(child, 'exit')
  const shown = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const said = createInterface({ input: child.stderr })[Symbol.asyncIterator]()
  await callScene(base, 'passing', 1)
  assert.match((await shown.next()).value ?? '', /hello/)
  await base.client.deleteScene('passing', { evenIfCalled: true })
  await following.ended
  assert.match((await said.next()).value ?? '', /Scene passing was deleted/)
  assert.deepEqual(await exited, [0, null])
})

test('lines outlive kill -9 of the keeper and a restart of the base, and "sdk logs --follow" lives through both', {
  timeout: 120_000,
}, async t => {
  const data = await tempFolder()
  const first = await launchBase({ data, cells: 1 })
  t.after(() => first.kill())
  // An answer takes longer than a line that was written before it takes to be on its way to the keeper.
  const rank = `async (x, ctx) => { ctx.log.warn('line ' + x); await new Promise(done => setTimeout(done, ${2 * limits.log.batchMs})); return x }`
  await makeScene(first.client, 'keep', { rank })
  const control = new URL(first.controlUrl).port
  const child = spawn(process.execPath, [join(root, 'bin/sdk.cjs'), 'logs', 'keep', '--follow', '--json'], {
    env: { ...process.env, BERTH_BASE: first.controlUrl, BERTH_TOKEN: first.token },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  t.after(() => child.kill('SIGKILL'))
  const shown = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const said = createInterface({ input: child.stderr })[Symbol.asyncIterator]()
  const nextMessage = async () => (JSON.parse((await shown.next()).value ?? '{}') as LogEntry).message

  await callScene(first, 'keep', 1)
  assert.equal(await nextMessage(), 'line 1')
  const { keeper } = await first.client.status()
  const back = first.logged(line => line.msg === 'control API listens', first.log.length)
  // One line reaches the keeper, which is killed before it reads it; the other waits in the cell.
  process.kill(keeper.pid, 'SIGSTOP')
  await callScene(first, 'keep', 2)
  await callScene(first, 'keep', 3)
  process.kill(keeper.pid, 'SIGKILL')
  assert.match((await said.next()).value ?? '', /base went away/)
  await back
  assert.equal(await nextMessage(), 'line 2')
  assert.equal(await nextMessage(), 'line 3')
  assert.match((await said.next()).value ?? '', /answers again/)

  first.process.kill('SIGTERM')
  await once(first.process, 'close')
  assert.match((await said.next()).value ?? '', /base went away/)
  // A power cut would leave this at the end of the file.
  await appendFile(join(logsPath(data), 'keep', 'v1.ndjson'), '{"seq":1,"at":"20')
  const second = await startBase(t, { data, cells: 1, args: ['--control-port', control] })
  assert.match((await said.next()).value ?? '', /answers again/)
  await callScene(second, 'keep', 4)
  assert.equal(await nextMessage(), 'line 4')
  assert.deepEqual(
    (await read(second, 'keep', 'version=v1')).map(({ message }) => message),
    ['line 1', 'line 2', 'line 3', 'line 4'],
  )
  const ended = once(child, 'close')
  child.kill('SIGINT')
  assert.deepEqual(await ended, [0, null])
})
