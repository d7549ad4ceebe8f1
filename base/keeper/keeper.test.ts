import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { DatabaseSync } from 'node:sqlite'
import { type TestContext, test } from 'node:test'
import { databasePath, tablePath } from '../folder/paths.ts'
import { readSavedTable, sealTable } from '../folder/saved-table.ts'
import { limits } from '../kernel/limits.ts'
import { roleCommand } from '../process/roles.ts'
import { temporaryFolder } from '../store/fixtures/folder.ts'
import { openStore } from '../store/sqlite.ts'
import { emptyTable } from '../traffic/table.ts'
import type { FromKeeper } from '../wire/messages.ts'
import { startTestKeeper } from './fixtures/keeper.ts'

/** A real keeper process, and its first message. */
async function spawnKeeper(t: TestContext, data: string, controlPort = 0) {
  const { args, env } = roleCommand('keeper', data)
  const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
  t.after(() => child.kill('SIGKILL'))
  const ended = once(child, 'exit')
  const options = {
    port: 0,
    host: '127.0.0.1',
    controlPort,
    controlHost: '127.0.0.1',
    data,
    cells: 2,
    logLevel: 'info',
    bodyLimitBytes: 1024 ** 2,
    cellMemoryMB: 2048,
    wall: 'off',
    services: [],
    fetchPrivate: [],
  } as const
  child.send({ type: 'start', options, cell: 0, pid: child.pid, wall: { mode: 'off', layers: [] }, isSettingUp: false })
  const [first] = (await once(child, 'message')) as [FromKeeper]
  return { child, first, exit: async () => (await ended)[0] as number | null }
}

test('a keeper says on which port it is ready, and exits 0 when it is asked to stop', async t => {
  const { child, first, exit } = await spawnKeeper(t, temporaryFolder(t))
  assert.ok(first.type === 'ready' && first.controlPort > 0)
  assert.equal((await fetch(`http://127.0.0.1:${first.controlPort}/healthz`)).status, 200)
  child.send({ type: 'stop' })
  assert.equal(await exit(), 0)
})

test('a keeper ends when its supervisor is gone', async t => {
  const { child, exit } = await spawnKeeper(t, temporaryFolder(t))
  child.disconnect()
  assert.equal(await exit(), 1)
})

test('a keeper that cannot save the scene table starts all the same', async t => {
  const data = temporaryFolder(t)
  mkdirSync(tablePath(data))
  const { first } = await spawnKeeper(t, data)
  assert.equal(first.type, 'ready', JSON.stringify(first))
})

test('a table that could not be saved is saved once the disk takes it', async t => {
  const data = temporaryFolder(t)
  mkdirSync(tablePath(data))
  t.mock.timers.enable({ apis: ['setTimeout'] })
  await startTestKeeper(t, data)
  rmdirSync(tablePath(data))
  t.mock.timers.tick(limits.keeper.saveTableAgainMs)
  while (!existsSync(tablePath(data))) await new Promise(resolve => setImmediate(resolve))
  assert.equal((await readSavedTable(data))?.revision, 1)
})

test('a keeper refuses a database that has lost what it had acknowledged, and no table that is merely damaged', async t => {
  const data = temporaryFolder(t)
  openStore(data).close()
  writeFileSync(tablePath(data), await sealTable({ ...emptyTable, revision: 9 }))
  const { first, exit } = await spawnKeeper(t, data)
  assert.ok(first.type === 'refused' && first.code === 'DATA_DAMAGED')
  assert.match(first.message, /at revision 0, and had come to 9.*remove ".*table\.json"/)
  assert.equal(await exit(), 1)
  writeFileSync(tablePath(data), '{"revision":9}')
  const again = await spawnKeeper(t, data)
  assert.equal(again.first.type, 'ready', JSON.stringify(again.first))
})

test('a keeper refuses a data folder of a newer format and a port in use, says why, and exits 1', async t => {
  const newer = temporaryFolder(t)
  openStore(newer).close()
  const db = new DatabaseSync(databasePath(newer))
  db.exec('pragma user_version = 99')
  db.close()
  const refused = await spawnKeeper(t, newer)
  assert.ok(refused.first.type === 'refused' && refused.first.code === 'DATA_FORMAT_NEWER')
  assert.equal(await refused.exit(), 1)

  const server = createServer().listen(0, '127.0.0.1')
  t.after(() => server.close())
  await once(server, 'listening')
  const address = server.address()
  assert.ok(typeof address === 'object' && address !== null)
  const taken = await spawnKeeper(t, temporaryFolder(t), address.port)
  assert.ok(taken.first.type === 'refused' && taken.first.code === 'PORT_TAKEN')
  assert.match(taken.first.message, new RegExp(String(address.port)))
  assert.equal(await taken.exit(), 1)
})
