import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { runInNewContext } from 'node:vm'
import { generatedPositionFor, LEAST_UPPER_BOUND, TraceMap } from '@jridgewell/trace-mapping'
import { temporaryFolder } from '../../base/store/fixtures/folder.ts'
import { bundleModule } from './bundle.ts'
import { printedAgain, withSourceMap } from './for-debugger.ts'

const source = `export const rank = (values: number[]): string[] => {
  const doubled = values.map(value => value * 2)
  const named = doubled.map(value => \`a value that is long enough to reach the end of a line: \${value}\`)
  if (named.length > 1) {
    named.reverse()
  }
  return named
}
`

test('a published bundle that is printed again does the same, and begins a line where each statement of its sources begins', async t => {
  const folder = join(temporaryFolder(t), 'shop-rank')
  mkdirSync(folder)
  writeFileSync(join(folder, 'index.ts'), source)
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'shop-rank', version: '1.0.0', berth: { stages: ['rank'] } }))
  const bundle = await bundleModule(folder)

  const { code, sourceMap } = await printedAgain(bundle.code, bundle.sourceMap)

  const answerOf = (text: string) => JSON.stringify(runInNewContext(text).rank([1, 2]))
  assert.equal(answerOf(code), answerOf(bundle.code))
  const map = new TraceMap(sourceMap)
  for (const line of [2, 3, 4, 5, 7]) {
    const { line: printedLine, column } = generatedPositionFor(map, { source: 'index.ts', line, column: 0, bias: LEAST_UPPER_BOUND })
    assert.equal(
      code
        .split('\n')
        [(printedLine ?? 0) - 1]?.slice(0, column ?? undefined)
        .trim(),
      '',
      `line ${line}`,
    )
  }
})

test('a source map that is put into the code names its sources as it is asked to', () => {
  const code = withSourceMap('1', JSON.stringify({ version: 3, sources: ['a.ts'], mappings: '' }), source => `berth:///m@1.0.0/${source}`)
  const [, base64 = ''] = /base64,(.*)\n$/.exec(code) ?? []
  assert.deepEqual(JSON.parse(Buffer.from(base64, 'base64').toString()).sources, ['berth:///m@1.0.0/a.ts'])
})
