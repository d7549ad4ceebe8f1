import assert from 'node:assert/strict'
import { chmodSync, chownSync, mkdirSync, readFileSync, renameSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { BerthError } from '../kernel/errors.ts'
import { temporaryFolder } from '../store/fixtures/folder.ts'
import { upgradePath } from './paths.ts'
import { takeWish, type UpgradeWish, writeWish } from './upgrade-files.ts'

const release = { version: '1.0.0', digest: null, commit: null, modified: null }
const wish: UpgradeWish = { id: 'a', release, folder: '/opt/berth', command: ['node', 'main.js'] }

test('a wish is written to no file that somebody has laid a link to', { skip: process.platform === 'win32' }, t => {
  const folder = temporaryFolder(t)
  const other = join(folder, 'other')
  writeFileSync(other, 'kept')
  const data = join(folder, 'data')
  mkdirSync(data)
  symlinkSync(other, `${upgradePath(data)}.${process.pid}`)
  writeWish(data, wish)
  assert.equal(readFileSync(other, 'utf8'), 'kept')
  assert.deepEqual(takeWish(data, 'a'), wish)
})

test('what root writes in the folder of a base, its user can read', {
  skip: process.getuid?.() !== 0 && 'only root can give files away',
}, t => {
  const data = temporaryFolder(t)
  chownSync(data, 65_534, 65_534)
  writeWish(data, wish)
  const { uid, gid, mode } = statSync(upgradePath(data))
  assert.deepEqual([uid, gid, mode & 0o777], [65_534, 65_534, 0o600])
})

function refuses(data: string, why: RegExp): void {
  assert.throws(
    () => takeWish(data, 'a'),
    error => error instanceof BerthError && error.code === 'RELEASE_INVALID' && why.test(error.message),
  )
}

test('a wish is carried out once, by its id', t => {
  const data = temporaryFolder(t)
  writeWish(data, wish)
  assert.throws(() => takeWish(data, 'another'), /holds another wish/)
  assert.deepEqual(takeWish(data, 'a'), wish)
  refuses(data, /cannot be read/)
})

test('a wish that others than the owner of the base may have written is refused', { skip: process.platform === 'win32' }, t => {
  const data = temporaryFolder(t)
  writeWish(data, wish)
  chmodSync(upgradePath(data), 0o620)
  refuses(data, /can be written by other users/)

  const elsewhere = join(data, 'elsewhere')
  writeWish(data, wish)
  renameSync(upgradePath(data), elsewhere)
  symlinkSync(elsewhere, upgradePath(data))
  refuses(data, /cannot be read/)
})
