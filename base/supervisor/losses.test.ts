import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CellLoss } from '../wire/messages.ts'
import { Losses } from './losses.ts'

const loss: CellLoss = { no: 7, cell: 1, pid: 2, at: '2026-01-01T00:00:00.000Z', why: 'it was lost', endedItself: true, suspects: [] }

test('losses that come from another supervisor are numbered anew, so that acknowledging them forgets no others', () => {
  const losses = new Losses()
  losses.add(loss)
  losses.add(loss)
  assert.deepEqual(
    losses.pending.map(({ no }) => no),
    [1, 2],
  )
  losses.kept(1)
  assert.equal(losses.pending.length, 1)
})
