/** An operator: starts bases, finds them, looks after processes, disk, tables and tokens, and ends them. */
import assert from 'node:assert/strict'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { readAddress } from '../../base/folder/base-address.ts'
import { callScene, until } from '../../test/support/base.ts'
import type { Ended } from '../../test/support/cli.ts'
import type { Ground, WalkedBase } from './ground.ts'

export const about = 'runs bases for others, and is called when something is wrong'

const START = 'bin/base.cjs start'

export async function walk(at: Ground): Promise<void> {
  const deep = join(at.folder, 'modules/deep')
  await mkdir(deep, { recursive: true })
  await writeFile(join(at.folder, 'berth.config.json'), '{ "data": "state", "cells": 2 }')
  const base = await at.try('start a base in a folder of its own, with a config file', () => at.start(START))
  await at.try('find it from a folder below, and by its two ports', () => findIt(at, base, deep))
  await at.try('be refused a second base on the same folder or port, and options that are wrong', () => startWrongly(at, base))
  await at.try('run two bases at once, each found by its folder', () => runTwo(at, base))
  await at.try('give a token that may only read, and take it back', () => giveToken(at))
  await at.try('put, show and roll back a feature table', () => keepTable(at))
  await at.try('bring a scene of an engineer to life', () => bringToLife(at, base))
  await at.try('lose a cell and the keeper by kill -9, and no request with them', () => loseProcesses(at, base))
  await at.try('see what takes the disk', () => at.base(deep)('status', 0, /^disk bundlesMB/m, /^items +uploaded +2/m))
  await at.try('make a backup while it runs', () => at.base()('backup copy', 0, /backed up revision \d+ with \d+ blobs and 1 tables/))
  await at.try('be refused what is used, and delete the rest', () => tidyUp(at, base))
  await at.try('start the backup, which still has what was deleted', () => startBackup(at))
  const again = await at.try('kill the whole base, be told so, and start it again', () => loseBase(at, base))
  await at.try('end it by SIGTERM, without a trace', () => endIt(at, again))
}

async function findIt(at: Ground, base: WalkedBase, deep: string): Promise<void> {
  await at.base(deep)('status', 0, new RegExp(`^base +${base.controlUrl}$`, 'm'), /^mode +serving$/m)
  await at.sdk(deep)('scene list', 0, /There is no scene yet/)
  for (const [url, says] of [
    [base.controlUrl, /control API of a base/],
    [base.url, /POST \/scenes\/ID/],
    [`${base.controlUrl}/readyz`, /"status":"ok"/],
    [`${base.url}/readyz`, /"status":"ok"/],
  ] as const)
    assert.match(await (await fetch(url)).text(), says, url)
  const page = await (await fetch(`${base.controlUrl}/nowhere`, { headers: { accept: 'text/html' } })).text()
  assert.match(page, /<a href="\/errors#ROUTE_NOT_FOUND">/)
}

async function startWrongly(at: Ground, base: WalkedBase): Promise<void> {
  const run = at.base()
  await run('start', 1, /Cannot use the data folder ".*state": another base \(process \d+\) runs on it/)
  await run(`start --data other --port ${new URL(base.url).port}`, 1, /another program listens there/, /PORT_TAKEN/)
  await run('start --prot 1', 2, /Did you mean --port\?/)
  const broken = join(at.folder, 'broken')
  await mkdir(broken)
  await writeFile(join(broken, 'berth.config.json'), '{ "cells": ')
  await at.base(broken)('status', 2, /broken\/berth\.config\.json": it is not JSON/)
  const env = { BERTH_BASE: base.controlUrl, BERTH_TOKEN: await tokenOf(at) }
  await at.base(broken, env)('status', 0)
  await at.sdk(broken, env)('scene list', 0)
}

const tokenOf = async (at: Ground): Promise<string> => (await readFile(join(at.folder, 'state/token'), 'utf8')).trim()

async function runTwo(at: Ground, base: WalkedBase): Promise<void> {
  const cwd = join(at.folder, 'second')
  await mkdir(cwd)
  const second = await at.start(START, ['--cells', '1', '--data', '.berth'], { cwd })
  // The config file of the folder above says where the other is.
  await at.base(cwd)('status', 0, new RegExp(`^base +${base.controlUrl}$`, 'm'))
  await at.base(cwd)('status --data .berth', 0, new RegExp(`^base +${second.controlUrl}$`, 'm'))
  await at.sdk(cwd, { BERTH_DATA: '.berth' })('scene list --json', 0, /^\[\]/m)
  assert.equal(await second.stop(), 0)
  await at.base(cwd)('status --data .berth', 1, /no base runs on it/, /Start it with "npx @berth\/base start"/)
}

async function giveToken(at: Ground): Promise<void> {
  const made = await at.sdk()('token create --right read --label visitor --json', 0)
  const { id, token } = JSON.parse(made.stdout) as { readonly id: string; readonly token: string }
  const asVisitor = at.sdk(at.folder, { BERTH_TOKEN: token })
  await asVisitor('scene list', 0)
  await asVisitor('token list', 1, /lacks the right "admin"/)
  await at.sdk()(`token revoke ${id}`, 0)
  await asVisitor('scene list', 1, /UNAUTHENTICATED/)
}

async function keepTable(at: Ground): Promise<void> {
  const sdk = at.sdk()
  const save = (...prices: number[]) =>
    writeFile(join(at.folder, 'items.ndjson'), prices.map((price, i) => `{"key":"k${i}","price":${price}}\n`).join(''))
  await save(1, 2)
  await sdk('features put items.ndjson --reason "prices of May"', 0, /2 rows/, /live on 2 of 2 cells/)
  await save(10, 20)
  await sdk('features put items.ndjson', 0, /before, 2 rows/)
  await sdk('features show items k1', 0, /"price":20/)
  await sdk('features rollback items', 0, /from version \w+ to \w+, live on 2 of 2/)
  await sdk('features rollback items', 0, /Nothing to do/)
  await sdk('features show items k1', 0, /"price":2}/)
  await writeFile(join(at.folder, 'items.ndjson'), '{"key":"k0"}\n{"key":}\n')
  await sdk('features put items.ndjson', 1, /line 2: it is not JSON/)
  await sdk('features show itmes', 1, /Cannot find feature table "itmes"/)
}

async function bringToLife(at: Ground, base: WalkedBase): Promise<void> {
  const module = join(at.folder, 'rank')
  await mkdir(module)
  const manifest = { name: 'rank', version: '1.0.0', type: 'module', berth: { stages: ['rank'] } }
  await writeFile(join(module, 'package.json'), JSON.stringify(manifest))
  await writeFile(join(module, 'index.ts'), 'export const rank = (input: unknown) => input\n')
  await writeFile(join(at.folder, 'home.json'), JSON.stringify({ id: 'home', group: [{ stage: 'rank', modules: ['rank@^1'] }] }))
  await at.sdk()('publish rank', 0, /rank 1\.0\.0/)
  await at.sdk()('scene apply home.json', 0)
  await at.sdk()('version create home --as baseline', 0)
  assert.deepEqual(await (await callScene(base, 'home', { a: 1 })).json(), { a: 1 })
}

interface Status {
  readonly keeper: { readonly pid: number }
  readonly cells: readonly { readonly cell: number; readonly pid: number; readonly state: string; readonly connected: boolean }[]
}

async function statusOf(at: Ground): Promise<Status> {
  const { stdout }: Ended = await at.base()('status --json', 0)
  return JSON.parse(stdout) as Status
}

async function loseProcesses(at: Ground, base: WalkedBase): Promise<void> {
  const { keeper, cells } = await statusOf(at)
  const from = base.log.length
  process.kill(cells[0]?.pid ?? 0, 'SIGKILL')
  await base.logged(({ msg }) => msg === 'cell ended', from)
  assert.equal((await callScene(base, 'home', 1)).status, 200)
  process.kill(keeper.pid, 'SIGKILL')
  assert.equal((await callScene(base, 'home', 1)).status, 200)
  await base.logged(({ msg }) => msg === 'control API listens', from)
  await until(async () => (await statusOf(at)).cells.filter(({ state, connected }) => state === 'ready' && connected).length === 2)
}

async function tidyUp(at: Ground, base: WalkedBase): Promise<void> {
  const sdk = at.sdk()
  await sdk('modules delete rank@1.0.0 --yes', 1, /it is used by home\/v1/)
  await sdk('scene delete home', 1, /called it/)
  await sdk('scene delete home --even-if-called', 2, /there is no terminal/, /--yes/)
  await sdk('scene delete home --yes --even-if-called', 0)
  await sdk('scene delete home --yes', 0)
  await sdk('modules delete rank@1.0.0 --yes', 0)
  await sdk('features delete items --yes', 0)
  const headers = { authorization: `Bearer ${await tokenOf(at)}` }
  assert.match(await (await fetch(`${base.controlUrl}/api/audit?limit=3`, { headers })).text(), /"action":"delete scene"/)
}

async function startBackup(at: Ground): Promise<void> {
  const cwd = join(at.folder, 'copy')
  const copy = await at.start(START, ['--cells', '1', '--data', cwd])
  assert.deepEqual(await (await callScene(copy, 'home', { a: 1 })).json(), { a: 1 })
  await at.sdk(at.folder, { BERTH_DATA: cwd })('features show items k1', 0, /"price":2}/)
  await copy.stop()
}

async function loseBase(at: Ground, base: WalkedBase): Promise<WalkedBase> {
  const { pid } = readAddress(join(at.folder, 'state')) ?? assert.fail('the base has left no address')
  process.kill(pid, 'SIGKILL')
  await base.stop()
  await at.base()('status', 1, /\(process \d+, http:.*\) was killed or is being started again: nothing answers there/)
  await at.sdk()('scene list', 3, /was killed or is being started again/)
  const again = await at.start(START)
  await at.base()('status', 0, new RegExp(`^base +${again.controlUrl}$`, 'm'))
  return again
}

async function endIt(at: Ground, base: WalkedBase): Promise<void> {
  assert.equal(await base.stop('SIGTERM'), 0)
  assert.equal(readAddress(join(at.folder, 'state')), undefined)
  await at.sdk()('scene list', 3, /no base runs on it/)
}
