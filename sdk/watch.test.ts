import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { watchSaves } from './watch.ts'

test('what is saved beside a file that is not there yet is nobody’s, and the file is seen when it comes', { timeout: 30_000 }, async t => {
  const folder = await mkdtemp(join(tmpdir(), 'berth-watch-'))
  t.after(() => rm(folder, { recursive: true }))
  const file = join(folder, 'sample.json')
  const told: string[] = []
  const came = Promise.withResolvers<void>()
  const subjectOf = (path: string) => {
    told.push(path)
    return path
  }
  const watch = await watchSaves([file], subjectOf, async subject => {
    if (subject === file) came.resolve()
    return []
  })
  t.after(() => watch.close())
  await writeFile(join(folder, 'beside.json'), '{}')
  await writeFile(file, '{}')
  await came.promise
  assert.deepEqual([...new Set(told)], [file])
})
