import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { TableVersion } from '../contract/feature-api.ts'
import { limits } from '../kernel/limits.ts'
import { concernsOf, rollbackTarget, versionInForce, withVersion } from './feature-versions.ts'
import type { FeaturesRecord } from './records.ts'

const version = (digest: string): TableVersion => ({
  digest,
  format: 'ndjson',
  ...{ rows: 1, bytes: 1, columns: ['key'] },
  ...{ at: '2026-06-01T00:00:00Z', by: 'ada' },
})

const rolledBack = (table: FeaturesRecord, to?: string): FeaturesRecord => ({ ...table, inForce: rollbackTarget('t', table, to).digest })
const after = (...digests: string[]): FeaturesRecord =>
  digests.reduce<FeaturesRecord | undefined>((table, digest) => withVersion(table, version(digest)) ?? table, undefined) ??
  assert.fail('no table')

test('a rollback goes from the newest version to the one that was in force before it, and the second one goes no further', () => {
  const table = after('a', 'b', 'c')
  assert.equal(rolledBack(table).inForce, 'b')
  assert.equal(rolledBack(rolledBack(table)).inForce, 'b')
  assert.equal(rolledBack(rolledBack(table), 'a').inForce, 'a')
})

test('what was uploaded after a rollback goes back to what was in force then, not to what was gone back from', () => {
  const table = withVersion(rolledBack(after('a', 'b')), version('c')) ?? assert.fail('unchanged')
  assert.equal(rolledBack(table).inForce, 'a')
  assert.deepEqual(
    table.versions.map(({ digest }) => digest),
    ['c', 'a', 'b'],
  )
})

test('a table without a version before cannot be rolled back, and no table to a version that is not kept', () => {
  assert.throws(() => rollbackTarget('t', after('a'), undefined), { code: 'TABLE_NOT_FOUND', message: /no version before/ })
  assert.throws(() => rollbackTarget('t', after('a', 'b'), 'x'), { code: 'TABLE_NOT_FOUND', message: /there are b, a$/ })
})

test('whatever is uploaded and rolled back, the version in force is kept, a few others, and each once', () => {
  const step = fc.oneof(
    fc.record({ put: fc.constantFrom(...'abcdefgh') }),
    fc.record({ back: fc.option(fc.nat(limits.features.versionsMax), { nil: undefined }) }),
  )
  const property = fc.property(fc.array(step, { maxLength: 30 }), steps => {
    let table = after('a')
    for (const { put, back } of steps as { put?: string; back?: number }[]) {
      if (put !== undefined) table = withVersion(table, version(put)) ?? table
      else if (table.versions.length > 1) table = rolledBack(table, back === undefined ? undefined : table.versions[back]?.digest)
      if (put !== undefined) assert.equal(table.inForce, put)
      const digests = table.versions.map(({ digest }) => digest)
      assert.equal(versionInForce(table).digest, table.inForce)
      assert.equal(new Set(digests).size, digests.length)
      assert.ok(digests.length <= limits.features.versionsMax)
    }
  })
  fc.assert(property)
})

test('the same bytes in another form are another version, and in the same form change nothing', () => {
  const table = after('a')
  assert.equal(withVersion(table, version('a')), undefined)
  assert.equal(withVersion(table, { ...version('a'), format: 'csv' })?.versions.length, 1)
})

test('far fewer rows and lost columns are of concern, and neither growth nor an added column is', () => {
  const before = { rows: 1000, bytes: 1, columns: ['key', 'price', 'brand'] }
  const concerns = (rows: number, columns: string[]) => concernsOf(before, { rows, bytes: 1, columns })
  assert.deepEqual(concerns(499, ['key', 'price', 'brand']), ['has 499 rows where there were 1,000'])
  assert.deepEqual(concerns(500, ['key']), ['lacks the columns price, brand'])
  assert.deepEqual(concerns(2000, ['key', 'price', 'brand', 'more']), [])
  assert.deepEqual(concerns(0, []), ['has 0 rows where there were 1,000'])
  assert.deepEqual(concernsOf(undefined, before), [])
})
