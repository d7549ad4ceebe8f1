import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'

test('some captured requests of every kind give the same bytes in a fresh process', async () => {
  const script = join(import.meta.dirname, 'replays.ts')
  const { stdout } = await promisify(execFile)(process.execPath, [script, '102'], { cwd: join(import.meta.dirname, '../..') })
  assert.match(stdout, /\n102 of 102 captured requests, and (\d+) of \1 entries, gave the same bytes in a fresh process\n$/)
})
