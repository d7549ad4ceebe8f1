/** A base that runs from the package, as npm installs it. */
import assert from 'node:assert/strict'
import { cpSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { callScene, makeScene, startBase, tempFolder, until } from './support/base.ts'
import { builtPackages } from './support/packages.ts'

test('a base from a package goes on with its own code when another version is installed over it', { timeout: 60_000 }, async t => {
  const { base: built } = await builtPackages()
  const [folder, cache] = [await tempFolder(), await tempFolder()]
  const project = join(folder, 'node_modules/@berth/base')
  cpSync(built.folder, project, { recursive: true })
  const base = await startBase(t, { project, env: { ...process.env, NODE_COMPILE_CACHE: cache } })
  await makeScene(base.client, 'echo', { rank: 'x => x' })

  for (const name of readdirSync(project)) rmSync(join(project, name), { recursive: true })
  writeFileSync(
    join(project, 'package.json'),
    JSON.stringify({ name: '@berth/base', version: '9.0.0', exports: { './package.json': './package.json' } }),
  )
  const { cells, keeper } = await base.client.status()
  const seen = base.log.length
  for (const pid of [cells[0]?.pid ?? 0, keeper.pid]) process.kill(pid, 'SIGKILL')
  await base.logged(line => line.msg === 'cell ready', seen)
  await base.logged(line => line.msg === 'cell connected', seen)
  await until(async () => (await callScene(base, 'echo', 1)).status === 200)
  // What is published is tried in a process that the new keeper starts.
  await makeScene(base.client, 'later', { rank: 'x => x' })
  assert.equal((await callScene(base, 'later', 1)).status, 200)
})
