/** `sdk invoke --inspect` and `sdk capsule run --inspect`: a request that was answered stops in the TypeScript that has answered it, with all that it was given. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { cpSync, mkdirSync, realpathSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { after, before, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { publishBundle, uploadBundle } from '../sdk/api/publish-steps.ts'
import { bundleModule } from '../sdk/bundle/bundle.ts'
import { callScene, launchBase, makeScene, type RunningBase, root, tempFolder } from './support/base.ts'
import { ended, sdkAlone, sdkIn } from './support/cli.ts'
import { Debugger } from './support/debugger.ts'

const source = `let seen = 0

export const rank = async (items: number[], ctx: { call(scene: string, input: unknown): Promise<{ price: number }> }) => {
  seen += 1
  const at = Date.now()
  const { price } = await ctx.call('prices', { items })
  const chance = Math.random()
  if (items.length === 0) throw new RangeError('there is nothing to rank')
  return { seen, at, price, chance }
}
`
const lineOf = (part: string): number => source.split('\n').findIndex(line => line.includes(part)) + 1

let base: RunningBase
let folder: string

before(async () => {
  base = await launchBase()
  folder = realpathSync(await tempFolder())
  const module = join(folder, 'modules/shop-rank')
  mkdirSync(module, { recursive: true })
  writeFileSync(join(module, 'package.json'), JSON.stringify({ name: 'shop-rank', version: '1.0.0', berth: { stages: ['rank'] } }))
  writeFileSync(join(module, 'index.ts'), source)
  const bundle = await bundleModule(module)
  await uploadBundle(base.client, bundle)
  await publishBundle(base.client, bundle)
  await makeScene(base.client, 'prices', { price: '({ items }) => ({ price: items.length * 10 })' })
  await base.client.putScene({ id: 'home', group: [{ stage: 'rank', modules: ['shop-rank@^1'] }] }, undefined)
  await base.client.createVersion('home', { as: 'baseline' })
})
after(() => base.kill())

/** Starts a command that waits for a debugger, and the debugger. */
async function debugged(...args: readonly string[]) {
  const debug = new Debugger()
  const env = { ...process.env, BERTH_BASE: base.controlUrl, BERTH_TOKEN: base.token }
  const child = await debug.attach({
    runtimeExecutable: process.execPath,
    runtimeArgs: [join(root, 'bin/sdk.cjs'), ...args],
    cwd: folder,
    env,
  })
  return { debug, printed: text(child.stdout), complained: text(child.stderr), closed: once(child, 'close') }
}

test('a request stops the debugger in the first stage with its body, the replies and the time of then, and comes to the same answer', async () => {
  // What a slot remembers is part of an answer.
  await callScene(base, 'home', [1], { 'x-scene-capture': '1', authorization: `Bearer ${base.token}` })
  const { debug, printed, complained, closed } = await debugged('invoke', 'home', '--data', '[1,2,3]', '--inspect')

  const first = await debug.stopped()
  assert.deepEqual(first.at, { source: pathToFileURL(join(folder, 'modules/shop-rank/index.ts')).href, line: lineOf('seen += 1') })
  assert.deepEqual(await first.evaluate('({ items, seen })'), { items: [1, 2, 3], seen: 1 })
  let stop = first
  while (stop.at?.line !== lineOf('const chance')) stop = await stop.stepOver()
  const { at, price } = (await stop.evaluate('({ at, price })')) as { readonly at: number; readonly price: number }
  assert.equal(price, 30)
  await stop.resume()

  const [code] = await closed
  assert.equal(code, 0, await complained)
  assert.match(await complained, /The same answer as then/)
  const answers = (await printed)
    .split(/(?<=^})\n/m)
    .filter(Boolean)
    .map(json => JSON.parse(json) as { readonly at: number })
  assert.deepEqual(
    answers.map(answer => answer.at),
    [at, at],
  )
})

test('a request that fails stops too, and its failure comes again', async () => {
  const { debug, complained, printed, closed } = await debugged('invoke', 'home', '--data', '[]', '--inspect')
  const stop = await debug.stopped()
  assert.deepEqual(await stop.evaluate('items'), [])
  await stop.resume()
  await closed
  assert.match(await complained, /The same answer as then/)
  assert.match(await printed, /there is nothing to rank/)
})

test('a request to a base elsewhere is not sent for a debugger, and it is said how to debug one of its requests', async () => {
  const refused = await sdkAlone(folder)('invoke', 'home', '--data', '[]', '--inspect', '--base', 'http://192.0.2.1:8081')
  ended(refused, 2, /no base on this machine/, /x-scene-capture: 1/, /capsule run/)
})

test('a working copy of a module answers the request of a capsule, with the recorded replies, and it is said what differs', async () => {
  const captured = await callScene(base, 'home', [1, 2], { 'x-scene-capture': '1', authorization: `Bearer ${base.token}` })
  const { at } = (await captured.json()) as { readonly at: number }
  const id = captured.headers.get('x-scene-capsule') ?? ''
  const copy = join(folder, 'copy')
  cpSync(join(folder, 'modules/shop-rank'), copy, { recursive: true })
  writeFileSync(
    join(copy, 'index.ts'),
    source.replace('price, chance }', 'price: price + 1, other: await ctx.call("others", 1).catch(() => "none") }'),
  )
  const sdk = sdkIn(folder, base)
  ended(await sdk('capsule', 'export', 'home', id, '--out', 'home.capsule.json'), 0)

  ended(await sdk('capsule', 'run', 'home.capsule.json'), 0, /The same answer as then/)
  const changed = ended(
    await sdk('capsule', 'run', 'home', id, '--with', 'copy'),
    0,
    /no reply of others/,
    /Another answer than then/,
    /price: 20 => 21/,
  )
  assert.deepEqual(JSON.parse(changed.stdout), { seen: 1, at, price: 21, other: 'none' })
  ended(await sdk('capsule', 'run', 'home', id, '--with', 'prices'), 1, /PACKAGE_INVALID/)
})
