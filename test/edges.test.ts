/** The edges of a base: what one scene may do does not reach another, odd requests are answered as such, and a full disk is no reason not to serve. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { closeSync, mkdirSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import fc from 'fast-check'
import { limits } from '../base/kernel/limits.ts'
import { callScene, launchBase, makeScene, type RunningBase, root, startBase, tempFolder, until } from './support/base.ts'

let base: RunningBase
let there = ''
const server = createServer((_, response) => response.end('"reached"'))

/** Uses the service and the host as long as it may, through the context of this request or of the one before. */
const code = `(() => {
  let kept
  const told = work => Promise.resolve().then(work).then(value => ({ value }), ({ code, message }) => ({ code, message }))
  return { rank: async ({ there, keep }, ctx) => {
    const by = kept ?? ctx
    const services = kept?.services ?? ctx.services
    if (keep) kept = ctx
    const outcome = {
      ctx: await told(async () => (await by.fetch(there)).json()),
      global: await told(async () => (await fetch(there)).json()),
      service: await told(() => services.probe.echo(1)),
      call: await told(() => by.call('granted', { there })),
      scene: by.scene,
    }
    return outcome
  } }
})()`

before(async () => {
  await once(server.listen(0, '127.0.0.1'), 'listening')
  there = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const config = join(await tempFolder(), 'config.json')
  const services = [{ name: 'probe', file: join(root, 'test/fixtures/services/probe.ts') }]
  writeFileSync(config, JSON.stringify({ services, fetchPrivate: ['127.0.0.1'] }))
  base = await launchBase({ cells: 1, args: ['--config', config] })
  const bundle = createHash('sha256').update(code).digest('hex')
  await base.client.putBlob(bundle, code)
  const publish = (name: string, grants: { services?: string[]; fetch?: string[] }) =>
    base.client.publishModule({ name, version: '1.0.0', stages: ['rank'], bundle, ...grants })
  await publish('with', { services: ['probe'], fetch: [there] })
  await publish('without', {})
  const traffic = { deadlineMs: limits.request.deadlineMsMax }
  for (const [id, name] of [
    ['granted', 'with'],
    ['bare', 'without'],
  ] as const) {
    await base.client.putScene({ id, group: [{ stage: 'rank', modules: [`${name}@^1`] }], traffic }, undefined)
    await base.client.createVersion(id, { as: 'baseline' })
  }
})

after(async () => {
  await base?.kill()
  server.close()
})

interface Outcome {
  readonly value?: unknown
  readonly code?: string
  readonly message?: string
}
type Outcomes = Readonly<Record<'ctx' | 'global' | 'service' | 'call', Outcome>> & { readonly scene: string }

const ask = async (scene: string, keep = false): Promise<Outcomes> => {
  const response = await callScene(base, scene, { there, keep })
  assert.equal(response.status, 200, await response.clone().text())
  return (await response.json()) as Outcomes
}

test('the same bytes in two scenes may do what each scene was granted, and nothing of the other', async () => {
  for (let round = 0; round < 3; round++) {
    const granted = await ask('granted')
    assert.deepEqual([granted.ctx.value, granted.global.value], ['reached', 'reached'])
    assert.equal((granted.service.value as { readonly scene: string }).scene, 'granted')
    const bare = await ask('bare')
    assert.deepEqual([bare.ctx.code, bare.global.code], ['FETCH_FORBIDDEN', 'FETCH_FORBIDDEN'])
    assert.match(bare.service.message ?? '', /no module of this group declares it/)
    assert.equal(bare.scene, 'bare')
  }
})

test('a context that a module keeps is of no use once its request is answered', async () => {
  const first = await ask('granted', true)
  assert.equal(first.ctx.value, 'reached')
  const kept = await ask('granted')
  for (const outcome of [kept.ctx, kept.service, kept.call]) assert.match(outcome.message ?? '', /the request has been answered already/)
  // The global fetch asks for the request that runs now.
  assert.equal(kept.global.value, 'reached')
})

test('guessing tokens of scenes is refused for its rate, audited once, and costs those with a token nothing', async () => {
  const most = limits.http.tokenGuessesPerMinuteMax
  const guess = (secret: string) => callScene(base, 'bare', { there }, { authorization: `Bearer ${secret}` })
  const answers: Response[] = []
  for (let i = 0; i < most + 5; i++) answers.push(await guess(`berth_guess${i}`))
  assert.deepEqual(
    answers.map(({ status }) => status),
    [...Array(most).fill(401), ...Array(5).fill(429)],
  )
  const refused = (await answers.at(-1)?.json()) as { code: string; detail: string }
  assert.equal(refused.code, 'RATE_LIMITED')
  assert.match(refused.detail, /from 127\.0\.0\.1 in a minute had a token that is not known/)
  assert(Number(answers.at(-1)?.headers.get('retry-after')) > 0)
  assert.equal((await guess(base.token)).status, 200)
  assert.equal((await callScene(base, 'bare', { there })).status, 200)
  const headers = { authorization: `Bearer ${base.token}` }
  const rows = async () => {
    const audit = await (await fetch(`${base.controlUrl}/api/audit`, { headers })).json()
    return (audit as { action: string; target: string; change: { payload: unknown } }[]).filter(({ action }) => action === 'limit guesses')
  }
  await until(async () => (await rows()).length > 0)
  assert.deepEqual(
    (await rows()).map(({ target, change }) => [target, change.payload]),
    [['127.0.0.1', { address: '127.0.0.1', port: 'scene', isLast: false }]],
  )
  assert.match(
    await (await fetch(`${base.controlUrl}/metrics`)).text(),
    new RegExp(`^berth_token_guesses_total\\{cell="1"\\} ${most + 5}$`, 'm'),
  )
})

/** The status and the code that come back for a request line, sent as it is. */
async function send(target: string, method: string): Promise<{ status: number; code: unknown }> {
  const socket = connect(Number(new URL(base.url).port), '127.0.0.1').setEncoding('latin1')
  let received = ''
  socket.on('data', text => {
    received += text
  })
  socket.on('error', () => undefined)
  const head = [`${method} ${target} HTTP/1.1`, 'host: a', 'connection: close', 'content-type: application/json', 'content-length: 0']
  socket.write(Buffer.from(`${head.join('\r\n')}\r\n\r\n`, 'latin1'))
  await once(socket, 'close')
  const [, status] = /^HTTP\/1\.1 (\d+)/.exec(received) ?? []
  const problem = /application\/problem\+json/i.test(received) ? /\{.*\}/s.exec(received)?.[0] : undefined
  return { status: Number(status), code: problem && (JSON.parse(problem) as { code: string }).code }
}

test('whatever the path of a scene request is made of, it is answered as the fault of the caller, and nothing is logged as a defect', async () => {
  const seen = base.log.length
  const steps = ['..', '.', '%2e%2e', '%2f', '\\', '', '%00', '%', '%zz', '%ff', 'x', '*', '\u00e9', 'a'.repeat(400), '?', '#', '__proto__']
  const bases = [
    '',
    '/scenes',
    '/scenes/..',
    '/scenes/__proto__',
    '//',
    'http://a',
    'http://',
    'https://a/scenes',
    'http:',
    '*',
    'file:///etc',
  ]
  const target = fc
    .tuple(fc.constantFrom(...bases), fc.array(fc.constantFrom(...steps), { maxLength: 4 }))
    .map(([start, rest]) => [start, ...rest].join('/'))
  await fc.assert(
    fc.asyncProperty(target, fc.constantFrom('GET', 'POST'), async (path, method) => {
      const { status, code: named } = await send(path, method)
      // Where nothing but a query follows the root, it is no scene that is asked for.
      if (method === 'GET' && status === 200 && /^(http:\/\/[^/?]*)?\/?(\?.*)?$/s.test(path)) return
      assert(status >= 400 && status < 500 && typeof named === 'string', `${method} ${path}: ${status} ${named}`)
    }),
    { numRuns: 150 },
  )
  assert.deepEqual(
    base.log.slice(seen).filter(({ level }) => Number(level) >= 50),
    [],
  )
})

const mayMount = process.platform === 'linux' && process.getuid?.() === 0 && canMount()

/** A file system of 4 MB, which is gone when the tests of the file have ended. */
function mountSmall(folder: string): void {
  mkdirSync(folder, { recursive: true })
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', folder])
}

function canMount(): boolean {
  const folder = `/tmp/berth-mount-${process.pid}`
  try {
    mountSmall(folder)
    execFileSync('umount', [folder])
    return true
  } catch {
    return false
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

test('a base whose disk is full starts, serves what it has, says so, and takes changes again once there is room', {
  timeout: 120_000,
  skip: !mayMount && 'it mounts a small file system',
}, async t => {
  const disk = join(await tempFolder(), 'disk')
  mountSmall(disk)
  t.after(() => execFileSync('umount', ['-l', disk]))
  const data = join(disk, 'data')
  const before = await launchBase({ cells: 1, data })
  await makeScene(before.client, 'echo', { rank: 'x => x' })
  before.process.kill('SIGTERM')
  await once(before.process, 'close')
  const filler = openSync(join(disk, 'filler'), 'w')
  assert.throws(
    () => {
      for (;;) writeSync(filler, Buffer.alloc(4096))
    },
    { code: 'ENOSPC' },
  )
  closeSync(filler)
  const full = await startBase(t, { cells: 1, data })
  assert.equal((await callScene(full, 'echo', 7)).status, 200)
  const { storageFault, keeper } = await full.client.status()
  assert.match(storageFault ?? '', /no space left/)
  await full.logged(({ msg }) => msg.includes('has no room: what it has is served'))
  await assert.rejects(full.client.createVersion('echo', { as: 'dev' }), { code: 'STORE_FULL' })
  assert.equal((await callScene(full, 'echo', 7)).status, 200)
  const seen = full.log.length
  rmSync(join(disk, 'filler'))
  await full.logged(({ msg, pid }) => msg === 'keeper ready' && pid !== keeper.pid, seen)
  await full.client.createVersion('echo', { as: 'dev' })
  assert.equal((await full.client.status()).storageFault, null)
})
