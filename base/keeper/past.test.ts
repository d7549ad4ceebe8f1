import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Past } from './past.ts'

const MINUTE = 60_000
const DAY = 24 * 60 * MINUTE

test('what was dated less than a day ago is not older than a day, however the wall clock is set', () => {
  const look = fc.record({
    afterMs: fc.integer({ min: MINUTE, max: 60 * MINUTE }),
    step: fc.oneof(fc.constant(0), fc.integer({ min: -1e10, max: 1e10 })),
  })
  fc.assert(
    fc.property(fc.array(look, { maxLength: 100 }), looks => {
      const past = new Past(DAY)
      let [now, wallAhead] = [5000, 1.7e12]
      const dated: { readonly at: number; readonly date: number }[] = []
      for (const { afterMs, step } of looks) {
        wallAhead += step
        for (const at of [now, now + afterMs]) {
          const before = past.date(at, at + wallAhead).getTime()
          for (const one of dated) if (one.date < before) assert.ok(at - one.at >= DAY, `dated ${at - one.at} ms ago`)
          dated.push({ at, date: at + wallAhead })
        }
        now += afterMs
      }
    }),
  )
})

test('what is over a day old is found to be so a look later, also when the wall clock was wrong at the start', () => {
  const past = new Past(DAY)
  past.date(0, 0)
  for (let now = MINUTE; now <= DAY; now += 10 * MINUTE) past.date(now, Date.parse('2026-06-01') + now)
  const before = past.date(DAY + 10 * MINUTE, Date.parse('2026-06-02T00:10'))
  assert.ok(before >= new Date('2026-06-01'), before.toISOString())
})
