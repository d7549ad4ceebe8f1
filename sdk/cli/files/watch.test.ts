import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { watchSaves } from './watch.ts'

test('what is saved beside a file that is gone is nobody’s, and the file is seen when it is back', { timeout: 60_000 }, async t => {
  const folder = await mkdtemp(join(tmpdir(), 'berth-watch-'))
  t.after(() => rm(folder, { recursive: true }))
  const file = join(folder, 'sample.json')
  await writeFile(file, '1')
  const asked = new Set<string>()
  const events = new EventEmitter()
  const subjectOf = (path: string) => {
    asked.add(path)
    return path
  }
  const watch = await watchSaves([file], subjectOf, async () => {
    events.emit('save', await readFile(file, 'utf8').catch(() => 'gone'))
    return []
  })
  t.after(() => watch.close())
  const saved = (text: string) => new Promise<void>(done => events.on('save', found => found === text && done()))
  const gone = saved('gone')
  await rm(file)
  await gone
  const back = saved('2')
  await writeFile(join(folder, 'beside.json'), '{}')
  await writeFile(file, '2')
  await back
  assert.deepEqual([...asked], [file])
})
