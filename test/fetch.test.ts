/** `fetch` as modules meet it: one base for the file, which lets them reach this machine, and a server for them to reach. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { pipeline, Readable } from 'node:stream'
import { after, before, test } from 'node:test'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { callScene, launchBase, type RunningBase, root, startBase } from './support/base.ts'

let base: RunningBase
let server: Server
let there: string
/** The requests that the server got, in order. */
const seen: { readonly method: string; readonly path: string; readonly headers: IncomingMessage['headers']; readonly body: string }[] = []
const meetings = new Map<string, PromiseWithResolvers<void>>()

/** A promise by which one side waits until the other has come to the same point. */
function meeting(name: string): PromiseWithResolvers<void> {
  const found = meetings.get(name) ?? Promise.withResolvers<void>()
  meetings.set(name, found)
  return found
}

const MB = 2 ** 20

const routes: Readonly<Record<string, (request: IncomingMessage, response: ServerResponse, body: string) => void>> = {
  '/echo': (request, response, body) => {
    response.setHeader('set-cookie', ['a=1', 'b=2'])
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ method: request.method, headers: request.headers, body }))
  },
  '/bytes': (_, response) => response.end(Buffer.from([0xff, 0, 1])),
  '/text': (_, response) => response.end('h\u00e9llo 中'),
  '/gzip': (_, response) => response.setHeader('content-encoding', 'gzip').end(gzipSync('{"packed":true}')),
  '/br': (_, response) => response.setHeader('content-encoding', 'br').end(brotliCompressSync('{"packed":true}')),
  '/bomb': (_, response) => response.setHeader('content-encoding', 'gzip').end(gzipSync(Buffer.alloc(9 * MB))),
  '/often': (request, response) => {
    request.socket.once('close', () => meeting('often left').resolve())
    response.setHeader('content-encoding', 'gzip, gzip, gzip, gzip').write('x')
  },
  '/switch': request => void request.socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n'),
  '/large': (_, response) => {
    response.setHeader('content-length', 9 * MB)
    response.flushHeaders()
  },
  '/endless': (_, response) => {
    const zeros = Readable.from(
      (function* () {
        for (;;) yield Buffer.alloc(MB)
      })(),
    )
    pipeline(zeros, response, () => undefined)
  },
  '/missing': (_, response) => response.writeHead(404, 'Not Here').end('no'),
  '/empty': (_, response) => response.writeHead(204).end(),
  '/cut': (_, response) => {
    response.writeHead(200, { 'content-length': 10 })
    response.write('abc', () => response.destroy())
  },
  '/never': request => {
    const name = String(request.headers['x-name'])
    request.socket.once('close', () => meeting(`${name} left`).resolve())
    meeting(`${name} came`).resolve()
  },
  '/came': (request, response) => {
    meeting(`${request.headers['x-name']} came`).promise.then(() => response.end())
  },
  '/to': (request, response) => {
    const { searchParams } = new URL(request.url ?? '', 'http://x')
    response.writeHead(Number(searchParams.get('status')), { location: searchParams.get('at') ?? '' }).end()
  },
}

before(async () => {
  server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', chunk => chunks.push(chunk))
    request.on('end', () => {
      const path = request.url ?? ''
      const body = Buffer.concat(chunks).toString('latin1')
      seen.push({ method: request.method ?? '', path, headers: request.headers, body })
      const route = routes[path.split('?')[0] ?? '']
      if (route === undefined) response.writeHead(404).end()
      else route(request, response, body)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  there = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  base = await launchBase({ args: ['--config', join(root, 'test/fixtures/fetch/berth.config.json')] })
  await fetches(base, 'fetches', runs, [there])
})
after(async () => {
  await base.kill()
  server.closeAllConnections()
  server.close()
})

/** A stage that runs the body of an async function, which is its input. */
const runs = `async (code, ctx) => (await new (async () => {}).constructor('ctx', 'there', code)(ctx, '%there%')) ?? null`

/** A scene whose one module may fetch from these hosts. */
async function fetches(
  to: RunningBase,
  id: string,
  rank: string,
  hosts: readonly string[] | undefined,
  deadlineMs = 10_000,
  cpuMs = 5000,
): Promise<void> {
  const code = `(() => ({ rank: ${rank.replaceAll('%there%', there)} }))()`
  const bundle = createHash('sha256').update(code).digest('hex')
  await to.client.putBlob(bundle, code)
  const manifest = { name: `m-${id}`, version: '1.0.0', stages: ['rank'], bundle }
  await to.client.publishModule({ ...manifest, ...(hosts !== undefined && { fetch: [...hosts] }) })
  await to.client.putScene({ id, group: [{ stage: 'rank', modules: [`m-${id}@^1`] }], traffic: { deadlineMs, cpuMs } }, undefined)
  await to.client.createVersion(id, { as: 'baseline' })
}

/** What this body of an async function returns when it runs in a stage. */
async function inside(code: string, scene = 'fetches', headers: Readonly<Record<string, string>> = {}): Promise<unknown> {
  const response = await callScene(base, scene, JSON.stringify(code), headers)
  const answer: unknown = await response.json()
  assert.equal(response.status, 200, JSON.stringify(answer))
  return answer
}

/** How a promise of the stage rejects. */
const failure = async (expression: string, scene?: string) =>
  (await inside(
    `return ${expression}.then(r => r.status, error => ({ type: error.constructor.name, code: error.code, message: error.message }))`,
    scene,
  )) as { type: string; code: string; message: string }

test('a module fetches JSON, text and bytes from a host it lists', async () => {
  const answer = (await inside(
    `const response = await fetch(there + '/echo?q=1#x', { method: 'POST', body: JSON.stringify({ a: '中' }), headers: { 'X-Mine': 'yes' } })
     const { status, statusText, ok, url, redirected } = response
     return { status, statusText, ok, url, redirected, cookies: response.headers.getSetCookie(), json: await response.json() }`,
  )) as Record<string, unknown> & { json: { method: string; headers: Record<string, string>; body: string } }
  const { json, ...rest } = answer
  assert.deepEqual(rest, { status: 200, statusText: 'OK', ok: true, url: `${there}/echo?q=1`, redirected: false, cookies: ['a=1', 'b=2'] })
  assert.equal(json.method, 'POST')
  assert.equal(Buffer.from(json.body, 'latin1').toString(), '{"a":"中"}')
  assert.equal(json.headers['x-mine'], 'yes')
  assert.equal(json.headers['content-type'], 'text/plain;charset=UTF-8')
  assert.equal(await inside(`return (await fetch(there + '/text')).text()`), 'h\u00e9llo 中')
  assert.deepEqual(await inside(`return [...await (await fetch(there + '/bytes')).bytes()]`), [255, 0, 1])
  assert.deepEqual(await inside(`return [(await fetch(there + '/empty')).status, await (await fetch(there + '/empty')).text()]`), [204, ''])
})

test('bytes leave as they are, and what is packed is unpacked', async () => {
  const { body } = (await inside(
    `return (await fetch(there + '/echo', { method: 'PUT', body: new Uint8Array([0, 255, 128]).subarray(1) })).json()`,
  )) as { body: string }
  assert.deepEqual([...Buffer.from(body, 'latin1')], [255, 128])
  for (const coding of ['gzip', 'br']) assert.deepEqual(await inside(`return (await fetch(there + '/${coding}')).json()`), { packed: true })
})

test('an answer that is no success is an answer', async () => {
  assert.deepEqual(await inside(`const r = await fetch(there + '/missing'); return [r.status, r.ok, r.statusText, await r.text()]`), [
    404,
    false,
    'Not Here',
    'no',
  ])
})

test('fetches that are made together run together', async () => {
  assert.deepEqual(
    await inside(
      `return Promise.all(Array.from({ length: 20 }, (_, i) => fetch(there + '/echo', { method: 'POST', body: String(i) }).then(r => r.json()).then(({ body }) => Number(body))))`,
    ),
    Array.from({ length: 20 }, (_, i) => i),
  )
  const { message } = await failure(`Promise.all(Array.from({ length: 65 }, () => fetch(there + '/text')))`)
  assert.match(message, /64 calls are open in this request already/)
})

test('a module reaches no host that it does not list, and is answered with what to write', async () => {
  for (const [url, entry] of [
    ['https://api.example.com/v1', 'api.example.com'],
    ['http://api.example.com/', 'http://api.example.com'],
    ['https://api.example.com:8443/', 'api.example.com:8443'],
    [there.replace('http:', 'https:'), there.replace('http://', '')],
  ] as const) {
    const { type, code, message } = await failure(`fetch('${url}')`)
    assert.deepEqual([type, code], ['TypeError', 'FETCH_FORBIDDEN'])
    assert.ok(message.endsWith(`: no module of this version lists it; add "${entry}" to berth.fetch in package.json`), message)
  }
  await fetches(base, 'closed', runs, undefined)
  assert.match(
    (await failure(`fetch(there)`, 'closed')).message,
    /no module of this version lists it; add "http:\/\/127\.0\.0\.1:\d+" to berth\.fetch/,
  )
})

test('modules of one group share the hosts that each lists', async () => {
  const { client } = base
  await client.putScene(
    {
      id: 'shared',
      group: [{ stage: 'rank', modules: ['m-closed@^1', 'm-fetches@^1'], parallel: true, merge: 'concat', onFailure: 'skip' }],
      traffic: { deadlineMs: 10_000 },
    },
    undefined,
  )
  await client.createVersion('shared', { as: 'baseline' })
  assert.deepEqual(await inside(`return [(await fetch(there + '/empty')).status]`, 'shared'), [204, 204])
})

test('a host that is not there, an answer that breaks off and a URL that is none fail with what happened', async () => {
  const dead = createServer()
  dead.listen(0, '127.0.0.1')
  await once(dead, 'listening')
  const { port } = dead.address() as AddressInfo
  dead.close()
  await fetches(base, 'lost', runs, [`http://127.0.0.1:${port}`])
  const refused = await failure(`fetch('http://127.0.0.1:${port}/a?key=secret')`, 'lost')
  assert.deepEqual(refused, {
    type: 'TypeError',
    code: 'FETCH_FAILED',
    message: `Cannot fetch "http://127.0.0.1:${port}/a": connect ECONNREFUSED`,
  })
  assert.equal((await failure(`fetch(there + '/cut').then(r => r.text())`)).code, 'FETCH_FAILED')
  assert.equal((await failure(`fetch('ftp://a.example/')`)).code, 'FETCH_FAILED')
  assert.equal((await failure(`fetch('/relative')`)).type, 'TypeError')
})

test('what is too large is refused on both ways, packed or not', { timeout: 60_000 }, async () => {
  for (const path of ['/large', '/endless', '/bomb']) {
    const { code, message } = await failure(`fetch(there + '${path}')`)
    assert.equal(code, 'FETCH_TOO_LARGE')
    assert.ok(message.includes(`${path}": its answer has over 8388608 bytes`), message)
  }
  for (const text of ['x', '中']) {
    const { code, message } = await failure(
      `fetch(there + '/echo', { method: 'POST', body: '${text}'.repeat(${Math.ceil((MB + 1) / Buffer.byteLength(text))}) })`,
    )
    assert.equal(code, 'FETCH_TOO_LARGE', message)
  }
  const { code, message } = await failure(`fetch(there + '/often')`)
  assert.deepEqual([code, message.endsWith('its answer is packed 4 times')], ['FETCH_FAILED', true])
  // The server need not wait for the rest of an answer that is not read.
  await meeting('often left').promise
})

test('the body of a request is never taken for the next one, whatever the method', async () => {
  for (const method of ['DELETE', 'OPTIONS', 'POST', 'QUERY']) {
    const body = `GET /smuggled/${method} HTTP/1.1\r\nhost: a\r\n\r\n`
    assert.equal(
      await inside(`return (await (await fetch(there + '/echo', { method: '${method}', body: ${JSON.stringify(body)} })).json()).body`),
      body,
    )
  }
  assert.deepEqual(await inside(`return (await fetch(there + '/empty')).status`), 204)
  assert.ok(!seen.some(({ path }) => path.startsWith('/smuggled')))
})

test('a host that switches protocols has not answered', async () => {
  const { code, message } = await failure(`fetch(there + '/switch')`)
  assert.equal(code, 'FETCH_FAILED')
  assert.match(message, /closed the connection without an answer/)
})

test('redirects are followed as the standard has it, to listed hosts only', async () => {
  const to = (status: number, at: string) => `there + '/to?status=${status}&at=${encodeURIComponent(at)}'`
  const post = `{ method: 'POST', body: 'x', headers: { authorization: 'me' } }`
  const outcome = (status: number) =>
    inside(`const r = await fetch(${to(status, '/echo')}, ${post}); const { method, body, headers } = await r.json()
      return [r.redirected, r.url, method, body, headers['content-type'] ?? null, headers.authorization]`)
  const url = `${there}/echo`
  for (const status of [301, 302, 303]) assert.deepEqual(await outcome(status), [true, url, 'GET', '', null, 'me'])
  for (const status of [307, 308]) assert.deepEqual(await outcome(status), [true, url, 'POST', 'x', 'text/plain;charset=UTF-8', 'me'])
  const elsewhere = await failure(`fetch(${to(302, 'http://169.254.169.254/latest/')})`)
  assert.equal(elsewhere.code, 'FETCH_FORBIDDEN')
  assert.match(elsewhere.message, /^Cannot follow a redirect of ".*\/to" to "http:\/\/169\.254\.169\.254": no module/)
  assert.match((await failure(`fetch(${to(302, 'file:///etc/passwd')})`)).message, /no URL of http or https/)
  assert.match((await failure(`fetch(${to(302, '/echo')}, { redirect: 'error' })`)).message, /not to follow any/)
  assert.deepEqual(
    await inside(`const r = await fetch(${to(302, '/echo')}, { redirect: 'manual' }); return [r.status, r.headers.get('location')]`),
    [302, '/echo'],
  )
  const circle = `/to?status=302&at=${encodeURIComponent('/to?status=302&at=/circle')}`
  assert.equal(await inside(`return (await fetch(there + '${circle}')).status`), 404)
})

test('credentials do not follow a redirect to another host', async t => {
  const other = createServer((request, response) => response.end(JSON.stringify(request.headers)))
  t.after(() => other.close())
  other.listen(0, '127.0.0.1')
  await once(other, 'listening')
  const at = `http://127.0.0.1:${(other.address() as AddressInfo).port}`
  await fetches(base, 'two-hosts', runs, [there, at])
  const headers = (await inside(
    `return (await fetch(there + '/to?status=307&at=${encodeURIComponent(at)}', { headers: { authorization: 'me', cookie: 'c', 'x-other': 'o' } })).json()`,
    'two-hosts',
  )) as Record<string, string>
  assert.deepEqual([headers.authorization, headers.cookie, headers['x-other']], [undefined, undefined, 'o'])
})

test('what says how bytes go over the wire is not for a module to set', async () => {
  const { headers } = (await inside(
    `return (await fetch(there + '/echo', { headers: { host: 'elsewhere', 'transfer-encoding': 'chunked', 'user-agent': 'mine', connection: 'upgrade' } })).json()`,
  )) as { headers: Record<string, string> }
  assert.equal(headers.host, there.slice('http://'.length))
  assert.equal(headers['transfer-encoding'], undefined)
  assert.equal(headers['user-agent'], 'mine')
  assert.notEqual(headers.connection, 'upgrade')
})

test('the trace of the request goes on to the host, after an await by ctx.fetch', async () => {
  const traceId = '0af7651916cd43dd8448eb211c80319c'
  const traced = (code: string, flags = '01') =>
    inside(`const get = async fetch => (await (await fetch(there + '/echo')).json()).headers.traceparent ?? null; ${code}`, 'fetches', {
      traceparent: `00-${traceId}-b7ad6b7169203331-${flags}`,
    })
  assert.match(String(await traced('return get(fetch)')), new RegExp(`^00-${traceId}-[0-9a-f]{16}-01$`))
  assert.match(String(await traced('await ctx.fetch(there); return get(ctx.fetch)')), new RegExp(`^00-${traceId}-`))
  // The trace also goes on from a scene that the scene calls.
  await fetches(base, 'called', runs, [there])
  const called = `return (await (await fetch(there + '/echo')).json()).headers.traceparent`
  assert.match(String(await traced(`return ctx.call('called', ${JSON.stringify(called)})`)), new RegExp(`^00-${traceId}-[0-9a-f]{16}-01$`))
  // The other flags have no meaning yet.
  assert.match(String(await traced('return get(fetch)', 'fe')), /-02$/)
  assert.equal(await traced('return get(fetch)', 'xy'), null)
  // After the `await`, nothing says whose request it is.
  assert.equal(await traced('await fetch(there); return get(fetch)'), null)
})

test('a request past its deadline is answered 504, and its fetch is given up', { timeout: 60_000 }, async () => {
  await fetches(base, 'hasty', runs, [there], 500)
  const code = `await fetch(there + '/never', { headers: { 'x-name': 'late' } }); return 1`
  let hasCome = false
  void meeting('late came').promise.then(() => {
    hasCome = true
  })
  // On a slow machine the deadline may pass before the host is reached.
  while (!hasCome) {
    const response = await callScene(base, 'hasty', JSON.stringify(code))
    assert.equal(((await response.json()) as { code: string }).code, 'DEADLINE_EXCEEDED')
  }
  await meeting('late left').promise
})

test('a fetch that is aborted rejects at once and leaves the host', { timeout: 60_000 }, async () => {
  const code = `const controller = new AbortController(); const headers = { 'x-name': 'aborted' }
    const never = fetch(there + '/never', { signal: controller.signal, headers })
    await fetch(there + '/came', { headers }); controller.abort(); return never.catch(error => error.name)`
  assert.equal(await inside(code), 'AbortError')
  await meeting('aborted left').promise
})

test('a request that has changed something elsewhere is not run again after its slot was killed', async () => {
  const rank = `async (method, ctx) => { await ctx.fetch('%there%/echo?' + method, { method }); for (;;); }`
  await fetches(base, 'kills', rank, [there], 10_000, 100)
  for (const [method, times] of [
    ['POST', 1],
    ['GET', 2],
  ] as const) {
    const response = await callScene(base, 'kills', JSON.stringify(method))
    assert.equal(((await response.json()) as { code: string }).code, 'MODULE_KILLED')
    assert.equal(seen.filter(({ path }) => path === `/echo?${method}`).length, times, method)
  }
})

test('by default a base lets nobody reach its own network, whatever is listed', async t => {
  const closed = await startBase(t)
  const port = new URL(there).port
  const hosts = [
    there,
    `http://localhost:${port}`,
    `http://[::ffff:127.0.0.1]:${port}`,
    'http://169.254.169.254',
    'http://10.0.0.1',
    'http://[fd00::1]',
    `http://[::ffff:0:127.0.0.1]:${port}`,
  ]
  const tries = `async (urls) => Promise.all(urls.map(url => fetch(url).then(r => r.status, error => [error.code, error.message])))`
  await fetches(closed, 'inward', tries, hosts)
  const response = await callScene(closed, 'inward', [...hosts, `http://2130706433:${port}/`])
  for (const [code, message] of (await response.json()) as [string, string][]) {
    assert.equal(code, 'FETCH_FORBIDDEN', message)
    assert.match(message, /no public address; whoever runs the base may list its network under "fetchPrivate"/)
  }
})

test('fetches are counted and timed by host', async () => {
  await inside(`return (await fetch(there + '/text')).status`)
  const texts: string[] = [await (await fetch(`${base.controlUrl}/metrics`)).text()]
  assert.match(texts.join(), new RegExp(`^berth_fetches_total\\{host="${there}",code="OK",cell="\\d"\\} [1-9]`, 'm'))
  assert.match(texts.join(), new RegExp(`^berth_fetch_duration_seconds_count\\{host="${there}",cell="\\d"\\} [1-9]`, 'm'))
})

test('a module that touches what it does not declare is answered with what to declare', async () => {
  for (const [code, message] of [
    [
      'ctx.services.geo.lookup(1)',
      'Cannot use ctx.services.geo: no module of this group declares it; add "geo" to berth.services in package.json',
    ],
  ] as const) {
    const response = await callScene(base, 'fetches', JSON.stringify(`return ${code}`))
    assert.equal(((await response.json()) as { detail: string }).detail, message)
  }
  assert.deepEqual(
    await inside(`return [Object.keys(ctx.services), 'geo' in ctx.services, JSON.stringify(ctx.services), await ctx.services.then]`),
    [[], false, '{}', null],
  )
})
