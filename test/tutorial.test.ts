/**
 * The tutorial does what it says, for somebody who has nothing but Node.js and npm: the packages come from a registry, as they do for whoever installs them.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { root } from './support/base.ts'
import { startInstaller } from './support/installer.ts'
import { builtPackages } from './support/packages.ts'
import { blocksOf, page, Reader } from './support/tutorial.ts'

const linux = { skip: process.platform !== 'linux' && 'it needs the "script" of Linux', timeout: 240_000 }

test('every line of the tutorial does what the tutorial says, from an empty folder and with packages from a registry', linux, async () => {
  await using installer = await startInstaller(await builtPackages())
  const { folder, env, registry } = installer
  await using reader = new Reader(folder, env)
  const blocks = blocksOf(readFileSync(join(root, page), 'utf8'))
  assert.ok(blocks.length > 20)
  const steps = await Array.fromAsync(reader.read(blocks))
  assert.ok(steps.length > 10)
  assert.ok(registry.served.includes('@berth/sdk') && registry.served.includes('@berth/base'))
  assert.deepEqual(registry.refused, [])
  assert.deepEqual(
    registry.sentOn.filter(path => path.includes('berth')),
    [],
  )
})
