import assert from 'node:assert/strict'
import { EventEmitter, on, once } from 'node:events'
import { mkdir, mkdtemp, readFile, realpath, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { type RootEvent, watchSaves } from './watch.ts'

/** Resolves when a save has found the text. */
async function savedAs(events: EventEmitter, text: string): Promise<void> {
  for await (const [found] of on(events, 'save')) if (found === text) return
}

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
  const onSave = async () => {
    events.emit('save', await readFile(file, 'utf8').catch(() => 'gone'))
    return []
  }
  const watch = await watchSaves({ roots: [file], subjectOf, onSave, onRoot: event => assert.fail(event.type) })
  t.after(() => watch.close())
  const saved = (text: string) => savedAs(events, text)
  const gone = saved('gone')
  await rm(file)
  await gone
  const back = saved('2')
  await writeFile(join(folder, 'beside.json'), '{}')
  await writeFile(file, '2')
  await back
  assert.deepEqual([...asked], [file])
})

test('what is written to a log is no save', { timeout: 60_000 }, async t => {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'berth-watch-')))
  t.after(() => rm(folder, { recursive: true }))
  const events = new EventEmitter()
  const asked = new Set<string>()
  const subjectOf = (path: string) => {
    asked.add(path)
    return path
  }
  const onSave = async (path: string) => {
    events.emit('save', await readFile(path, 'utf8'))
    return []
  }
  const watch = await watchSaves({ roots: [folder], subjectOf, onSave, onRoot: event => assert.fail(event.type) })
  t.after(() => watch.close())
  const saved = savedAs(events, '1')
  await writeFile(join(folder, 'dev.log'), 'output')
  await writeFile(join(folder, 'index.ts'), '1')
  await saved
  assert.deepEqual([...asked], [join(folder, 'index.ts')])
})

test('a watched folder is watched on however it was replaced', { timeout: 60_000 }, async t => {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'berth-watch-')))
  t.after(() => rm(folder, { recursive: true }))
  const [root, outside] = [join(folder, 'above/module'), join(folder, 'shared/k.ts')]
  const write = async (path: string, text: string) => {
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, text)
  }
  const events = new EventEmitter()
  const reported: string[] = []
  const onSave = async () => {
    const texts = await Promise.all(
      [join(root, 'index.ts'), join(root, 'deep/a.ts'), outside].map(path => readFile(path, 'utf8').catch(() => '-')),
    )
    events.emit('save', texts.join(' '))
    return [outside]
  }
  const onRoot = ({ type }: RootEvent) => {
    reported.push(type)
    events.emit(type)
  }
  const saved = (text: string) => savedAs(events, text)
  const change = async (text: string, work: () => Promise<unknown>) => {
    const seen = saved(text)
    await work()
    await seen
  }
  await write(join(root, 'index.ts'), '1')
  await write(join(root, 'deep/a.ts'), 'a')
  await write(outside, 'k')
  const watch = await watchSaves({ roots: [root], subjectOf: () => root, onSave, onRoot })
  t.after(() => watch.close())
  await watch.saved(root)
  /** A later save is noticed too. */
  const goesOn = async (text: string) => change(`${text} a k`, () => write(join(root, 'index.ts'), text))
  await goesOn('2')

  await t.test('when it was renamed away and back', async () => {
    const gone = once(events, 'gone')
    await rename(root, `${root}-away`)
    await gone
    await change('2 a k', () => rename(`${root}-away`, root))
    await goesOn('3')
    assert.deepEqual(reported.splice(0), ['gone', 'back'])
  })

  await t.test('when the folder above it was removed and made again', async () => {
    const gone = once(events, 'gone')
    await rm(dirname(root), { recursive: true })
    await gone
    await change('4 a k', async () => {
      await write(join(root, 'deep/a.ts'), 'a')
      await write(join(root, 'index.ts'), '4')
    })
    await goesOn('5')
    assert.deepEqual(reported.splice(0), ['gone', 'back'])
  })

  await t.test('when another folder took its place', async () => {
    await write(join(folder, 'next/index.ts'), '6')
    await write(join(folder, 'next/deep/a.ts'), 'a')
    await change('6 a k', async () => {
      await rename(root, `${root}-old`)
      await rename(join(folder, 'next'), root)
    })
    await goesOn('7')
  })

  await t.test('when a link took its place, and when that points elsewhere', async () => {
    for (const text of ['8', '9']) {
      await write(join(folder, text, 'index.ts'), text)
      await write(join(folder, text, 'deep/a.ts'), 'a')
      await symlink(join(folder, text), join(folder, 'link'), 'dir')
      await change(`${text} a k`, async () => {
        await rm(root, { recursive: true })
        await rename(join(folder, 'link'), root)
      })
      await goesOn(`${text}0`)
    }
  })

  await t.test('when a folder in it, or that of a file outside it, was away', async () => {
    await change('90 - k', () => rm(join(root, 'deep'), { recursive: true }))
    await change('90 b k', () => write(join(root, 'deep/a.ts'), 'b'))
    await change('90 a k', () => write(join(root, 'deep/a.ts'), 'a'))
    await change('90 a -', () => rm(dirname(outside), { recursive: true }))
    await change('90 a l', () => write(outside, 'l'))
    await change('90 a m', () => write(outside, 'm'))
  })
})
