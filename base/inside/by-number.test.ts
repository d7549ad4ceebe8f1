import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ByNumber } from './by-number.ts'

test('values come and go by their numbers as in a sorted map, in whatever order', () => {
  const step = fc.record({ no: fc.nat(30), adds: fc.boolean() })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), steps => {
      const [table, model] = [new ByNumber<string>(), new Map<number, string>()]
      for (const { no, adds } of steps) {
        if (!adds) table.delete(no)
        else if (!model.has(no)) table.add(no, `value ${no}`)
        if (adds) model.set(no, `value ${no}`)
        else model.delete(no)
        const sorted = [...model.keys()].sort((a, b) => a - b)
        assert.equal(table.size, model.size)
        assert.equal(table.first, sorted[0])
        assert.deepEqual(
          table.values(),
          sorted.map(each => model.get(each)),
        )
        assert.equal(table.has(no), model.has(no))
        assert.equal(table.get(no), model.get(no))
      }
    }),
  )
})
