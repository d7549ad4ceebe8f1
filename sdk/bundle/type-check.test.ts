import assert from 'node:assert/strict'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type Files, moduleFolder, packageJson } from '../../test/support/module-folder.ts'
import { SdkError } from '../sdk-error.ts'
import { checkTypes } from './type-check.ts'

const config = (compilerOptions: object) =>
  JSON.stringify({
    compilerOptions: { strict: true, target: 'esnext', module: 'nodenext', lib: ['esnext'], types: [], ...compilerOptions },
  })

async function wrong(t: TestContext, files: Files, entry = 'index.ts'): Promise<SdkError> {
  const folder = await moduleFolder(t, files)
  const error = await checkTypes(join(folder, entry)).then(
    () => assert.fail('the types were right'),
    thrown => thrown,
  )
  assert(error instanceof SdkError && error.code === 'TYPES_WRONG', String(error))
  return error
}

test('many errors show three frames, with long lines cut around their marks, and count the rest', async t => {
  const long = `export const a = '${'x'.repeat(400)}'; export const wrong: number = a; export const b = '${'y'.repeat(400)}'`
  const many = Array.from({ length: 9 }, (_, i) => `export const n${i}: number = 'n'`)
  const { message, details = '' } = await wrong(t, { 'tsconfig.json': config({}), 'index.ts': [long, ...many].join('\n') })
  assert.match(message, /index\.ts:1:\d+: TS2322: .* \(and 9 more\)/)
  const lines = details.split('\n')
  assert(lines.length < 20 && lines.every(line => line.length < 200), details)
  assert.equal(lines.at(-1), '… and 7 more, in 1 file in all')
  const code = lines.find(line => line.startsWith('1 … ')) ?? ''
  const marks = lines[lines.indexOf(code) + 1] ?? ''
  assert.equal(code.slice(marks.indexOf('~'), marks.lastIndexOf('~') + 1), 'wrong')
})

test('options of a tsconfig.json above the folder that would change what code does do not count, as in the bundle, and the error says so', async t => {
  const files = {
    'index.ts': `const note = (target: object, key: string) => undefined\nexport class A { @note m() { return 1 } }`,
    'package.json': packageJson,
  }
  const above = { 'tsconfig.json': config({ experimentalDecorators: true }) }
  const below = Object.fromEntries(Object.entries(files).map(([path, text]) => [`below/${path}`, text]))
  const { hint = '' } = await wrong(t, { ...above, ...below }, 'below/index.ts')
  assert.match(hint, /"experimentalDecorators" in .*tsconfig\.json does not count\. .*\{ "extends": "\.\.\/tsconfig\.json" \}/)
  assert.equal(await checkTypes(join(await moduleFolder(t, { ...above, ...files }), 'index.ts')), 'types')
})
