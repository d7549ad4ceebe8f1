import assert from 'node:assert/strict'
import { once } from 'node:events'
import { chownSync, mkdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { before, type TestContext, test } from 'node:test'
import { temporaryFolder } from '../store/fixtures/folder.ts'
import { removeAddress, urlOf, writeAddress } from './base-address.ts'
import { type Clues, findBase, findDataFolder } from './find-base.ts'
import { tokenPath } from './paths.ts'

/** Answers as the base with this id. */
async function answering(t: TestContext, id: string): Promise<string> {
  const server = createServer((_, response) => response.end(JSON.stringify({ id }))).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  return urlOf('127.0.0.1', (server.address() as AddressInfo).port)
}

/** Makes a data folder as a base with this id leaves it while it runs. */
function runningOn(data: string, id: string, control: string): string {
  mkdirSync(data, { recursive: true })
  writeFileSync(tokenPath(data), `token of ${id}\n`)
  writeAddress(data, { id, control, scenes: control, pid: process.pid, mode: 'serving' })
  return data
}

let nobody: string

before(async () => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  nobody = urlOf('127.0.0.1', (server.address() as AddressInfo).port)
  server.close()
  await once(server, 'close')
})

const find = (cwd: string, clues: Partial<Clues> = {}) => findBase({ env: {}, cwd, ...clues })

test('a base is found by the nearest data folder whose base answers, here or above, else in the project', async t => {
  const [folder, project] = [temporaryFolder(t), temporaryFolder(t)]
  const cwd = join(folder, 'modules/deep')
  mkdirSync(cwd, { recursive: true })
  const [near, far, own] = [await answering(t, 'near'), await answering(t, 'far'), await answering(t, 'own')]
  runningOn(join(project, '.berth'), 'own', own)
  assert.deepEqual(await find(cwd, { project }), {
    url: own,
    found: true,
    token: 'token of own',
    tried: [
      '--base, BERTH_BASE: not given',
      'BERTH_DATA, BERTH_CONTROL_PORT, berth.config.json here or in a folder above: none says where',
    ],
  })
  runningOn(join(folder, '.berth'), 'far', far)
  assert.equal((await find(cwd, { project })).url, far)
  const data = runningOn(join(folder, 'modules/.berth'), 'near', near)
  assert.equal((await find(cwd, { project })).url, near)
  removeAddress(data)
  const { url, tried } = await find(cwd, { project })
  assert.deepEqual([url, tried.at(-1)], [far, `${data}: no base runs on it`])
})

test('who has flags of its own for a host and a port is told of these', async t => {
  const cwd = temporaryFolder(t)
  const { tried } = await find(cwd, { controlHost: undefined, controlPort: undefined })
  assert.equal(tried[0], '--control-host, --control-port, BERTH_BASE: not given')
})

test('a flag goes before BERTH_BASE, that before the variables and the config file, and these before folders', async t => {
  const folder = temporaryFolder(t)
  const [here, data, named] = [await answering(t, 'here'), await answering(t, 'data'), await answering(t, 'named')]
  runningOn(join(folder, '.berth'), 'here', here)
  runningOn(join(folder, 'configured'), 'data', data)
  const env = { BERTH_BASE: named, BERTH_DATA: 'configured' }
  assert.equal((await find(folder, { env, url: nobody })).url, nobody)
  assert.equal((await find(folder, { env })).url, named)
  assert.equal((await find(folder, { env: { BERTH_DATA: 'configured' } })).url, data)
  mkdirSync(join(folder, 'deep'))
  writeFileSync(join(folder, 'berth.config.json'), '{ "data": "configured", "cells": 2 }')
  assert.equal((await find(join(folder, 'deep'))).url, data)
  assert.equal(findDataFolder({ env: {}, cwd: join(folder, 'deep') }), join(folder, 'configured'))
  writeFileSync(join(folder, 'berth.config.json'), `{ "controlPort": ${new URL(named).port} }`)
  assert.equal((await find(join(folder, 'deep'))).url, named)
  writeFileSync(join(folder, 'berth.config.json'), '{ "controlPort": 0 }')
  assert.equal((await find(join(folder, 'deep'))).url, here, 'only the data folder says which port the system has chosen')
})

test('where a folder or a port is named and no base answers, no other base is taken', async t => {
  const folder = temporaryFolder(t)
  runningOn(join(folder, '.berth'), 'here', await answering(t, 'here'))
  const env = { BERTH_DATA: 'gone' }
  const { found, token, tried } = await find(folder, { env })
  assert.deepEqual([found, token, tried.at(-1)], [false, undefined, `BERTH_DATA, ${join(folder, 'gone')}: there is no such folder`])
  const unheard = await find(folder, { env: { BERTH_CONTROL_PORT: new URL(nobody).port } })
  assert.deepEqual([unheard.found, unheard.url, unheard.token], [false, nobody, undefined])
})

test('a base that is named gets the token of a folder only if it is the base of that folder', async t => {
  const folder = temporaryFolder(t)
  const [here, other] = [await answering(t, 'here'), await answering(t, 'other')]
  runningOn(join(folder, '.berth'), 'here', here)
  const tokenAt = async (url: string, token?: string) => (await find(folder, { url, token })).token
  assert.equal(await tokenAt(here), 'token of here')
  assert.equal(await tokenAt(other), undefined)
  assert.equal(await tokenAt(nobody), undefined)
  assert.equal(await tokenAt(other, 'given'), 'given')
  assert.equal((await find(folder, { url: other, env: { BERTH_TOKEN: 'of the environment' } })).token, 'of the environment')
})

test('what another process answers at the address of a killed base is not taken for it', async t => {
  const folder = temporaryFolder(t)
  const other = await answering(t, 'other')
  const data = runningOn(join(folder, 'killed'), 'killed', other)
  const { found, token, tried } = await find(folder, { env: { BERTH_DATA: data } })
  assert.deepEqual([found, token], [false, undefined])
  assert.match(tried.at(-1) ?? '', /was killed or is being started again: something else answers there$/)
})

test('an option that says where the base is must be usable', async t => {
  const folder = temporaryFolder(t)
  await assert.rejects(find(folder, { env: { BERTH_CONTROL_PORT: 'many' } }), {
    code: 'OPTION_INVALID',
    message: 'Cannot use BERTH_CONTROL_PORT, "many": must be an integer from 0 to 65535',
  })
  writeFileSync(join(folder, 'berth.config.json'), '{ "data": 7 }')
  await assert.rejects(find(folder), {
    code: 'OPTION_INVALID',
    message: /^Cannot use data of ".*berth\.config\.json", 7: must be a text/,
  })
  writeFileSync(join(folder, 'berth.config.json'), '{')
  await assert.rejects(find(folder), { code: 'CONFIG_UNREADABLE' })
})

test("a config file with a fault is in nobody's way who says which base is meant, and with which token", async t => {
  const folder = temporaryFolder(t)
  writeFileSync(join(folder, 'berth.config.json'), '{')
  assert.equal((await find(folder, { url: nobody, token: 'given' })).url, nobody)
  assert.equal((await find(folder, { env: { BERTH_BASE: nobody, BERTH_TOKEN: 'given' } })).url, nobody)
})

test('root passes over what another user has put into a folder, and takes what belongs to the owner of the folder', {
  skip: process.getuid?.() !== 0 && 'only root can give files to others',
}, async t => {
  const folder = temporaryFolder(t)
  const data = runningOn(join(folder, '.berth'), 'here', await answering(t, 'here'))
  chownSync(data, 12_345, 12_345)
  assert.notEqual((await find(folder)).token, 'token of here')
  chownSync(folder, 12_345, 12_345)
  assert.equal((await find(folder)).token, 'token of here')
})

test('the address of a base on all interfaces is that of this machine', () => {
  assert.equal(urlOf('0.0.0.0', 1), 'http://127.0.0.1:1')
  assert.equal(urlOf('::', 1), 'http://[::1]:1')
  assert.equal(urlOf('fd00::7', 80), 'http://[fd00::7]:80')
})
