/** docs/globals.md, compared with a slot, with the globals of Node.js and with what errors advise. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { frozenAdviceFor, missingGlobalIn, missingGlobals } from '../base/kernel/missing-globals.ts'
import { locateModule, readPackage } from '../sdk/bundle/manifest.ts'
import { checkTypes } from '../sdk/bundle/type-check.ts'
import { startGuest } from '../test/support/isolate.ts'
import { moduleFolder } from '../test/support/module-folder.ts'

const page = readFileSync(join(import.meta.dirname, '../docs/globals.md'), 'utf8')

/** The rows of the table under a heading: each global with what its row says. */
function rowsUnder(heading: string): Map<string, string> {
  const section = page.split(`\n## ${heading}\n`)[1]?.split('\n## ')[0] ?? ''
  const rows = section.split('\n').filter(line => line.startsWith('| `'))
  return new Map(
    rows.flatMap(row => {
      const [, names = '', text = ''] = row.split(/\s*\|\s*/)
      return [...names.matchAll(/`([^`]+)`/g)].map(([, name]) => [name as string, text] as const)
    }),
  )
}

test('the page of globals names every global of a slot, and none that a slot does not have', async t => {
  const guest = await startGuest(t)
  const names = (await guest.call('return Object.getOwnPropertyNames(globalThis)')) as string[]
  assert.deepEqual([...rowsUnder('Present').keys()].sort(), names.filter(name => name !== 'partLoaded').sort())
})

test('the page of globals gives the advice of errors for what is missing, and leaves out no global of Node.js', () => {
  const missing = rowsUnder('Missing')
  assert.deepEqual(Object.fromEntries(missing), missingGlobals)
  const present = rowsUnder('Present')
  assert.deepEqual(
    [...missing.keys()].filter(name => present.has(name)),
    [],
  )
  assert.deepEqual(
    Object.getOwnPropertyNames(globalThis).filter(name => !present.has(name) && !missing.has(name)),
    [],
  )
})

test('an error that names a missing global, or a frozen built-in, gets advice, and no other error does', () => {
  assert.equal(missingGlobalIn('Buffer is not defined')?.name, 'Buffer')
  assert.equal(missingGlobalIn('Cannot load module "a@1.0.0": it threw: process is not defined')?.advice, missingGlobals.process)
  assert.equal(missingGlobalIn('toString is not defined'), undefined)
  assert.equal(missingGlobalIn('Buffer is not defined here'), undefined)
  assert(frozenAdviceFor('Cannot add property last, object is not extensible'))
  assert(frozenAdviceFor("Cannot assign to read only property 'Promise' of object '#<Object>'"))
  assert.equal(frozenAdviceFor('Cannot read properties of undefined'), undefined)
})

test('the types of a module have every global of the page, and none that is missing', async t => {
  const [present, missing] = [[...rowsUnder('Present').keys()], Object.keys(missingGlobals)]
  const compilerOptions = {
    strict: true,
    target: 'esnext',
    module: 'nodenext',
    types: ['node'],
    typeRoots: [join(import.meta.dirname, '../node_modules/@types')],
  }
  const folder = await moduleFolder(t, {
    'tsconfig.json': JSON.stringify({ compilerOptions }),
    'index.ts': `export const rank = () => [\n${present.join(',\n')},\n${missing.join(',\n')}]\n`,
  })
  const contents = await readPackage(await locateModule(folder, false))
  const first = new RegExp(`index\\.ts:${present.length + 2}:1: .*a slot has no such global.* \\(and ${missing.length - 1} more\\)$`)
  await assert.rejects(checkTypes(folder, contents), { code: 'TYPES_WRONG', message: first })
})
