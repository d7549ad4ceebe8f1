import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodedMap, FlattenMap, presortedDecodedMap } from '@jridgewell/trace-mapping'
import fc from 'fast-check'
import { joinMaps } from './script.ts'

const line = fc.array(fc.tuple(fc.nat(200), fc.nat(3), fc.nat(5000), fc.nat(300)), { maxLength: 5 })
const maps = fc.tuple(fc.nat(9), fc.array(line, { minLength: 1, maxLength: 6 })).map(([id, lines]) => {
  const mappings = lines.map(each => each.sort(([a], [b]) => a - b))
  const sources = [0, 1, 2, 3].map(source => `${id}/${source}.ts`)
  return encodedMap(presortedDecodedMap({ version: 3, names: [], sources, sourcesContent: sources, mappings }))
})

test('two source maps are joined as a library joins them, whatever is in them', () => {
  fc.assert(
    fc.property(maps, maps, fc.nat(3), fc.nat(3), (first, second, firstLine, gap) => {
      const secondLine = firstLine + first.mappings.split(';').length + gap
      const sections = [
        { offset: { line: firstLine, column: 0 }, map: first },
        { offset: { line: secondLine, column: 0 }, map: second },
      ]
      const { mappings, sources, sourcesContent } = encodedMap(FlattenMap({ version: 3, sections }))
      const joined = joinMaps(first, second, firstLine, secondLine)
      assert.deepEqual([joined.sources, joined.sourcesContent], [sources, sourcesContent])
      assert.equal(joined.mappings.replace(/;*$/, ''), mappings.replace(/;*$/, ''))
    }),
  )
})
