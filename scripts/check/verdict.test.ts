import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { AGAIN_MAX, type FileRun, filesToRunAgain, judge, noCounts, reasonOf, remarks } from './verdict.ts'

const passed = (file: string): FileRun => ({ file, counts: { ...noCounts(), tests: 2, pass: 2 }, durationMs: 1, failures: [] })
const failed = (file: string, message = 'too late'): FileRun => ({
  file,
  counts: { ...noCounts(), tests: 2, pass: 1, fail: 1 },
  durationMs: 1,
  failures: [{ test: 'it answers', message }],
})

suite('which files run again', () => {
  test('those that failed, in the order in which they ended', () => {
    assert.deepEqual(filesToRunAgain([failed('b'), passed('c'), failed('a')]), ['b', 'a'])
  })

  test('not all of them when so many fail that something is broken', () => {
    const many = Array.from({ length: AGAIN_MAX + 3 }, (_, index) => failed(String(index)))
    assert.equal(filesToRunAgain(many).length, AGAIN_MAX)
    assert.equal(
      judge(
        many,
        many.slice(0, AGAIN_MAX).map(({ file }) => passed(file)),
      ).failed.length,
      3,
    )
  })
})

suite('the verdict', () => {
  test('passes when all pass at once', () => {
    const verdict = judge([passed('a'), passed('b')], [])
    assert.deepEqual(verdict, { counts: { ...noCounts(), tests: 4, pass: 4 }, flaky: [], failed: [], passed: true })
    assert.deepEqual(remarks(verdict), [])
  })

  test('passes with two flaky files, and counts them as they ended', () => {
    const first = [failed('a'), passed('b'), failed('c')]
    const verdict = judge(first, [passed('a'), passed('c')])
    assert.equal(verdict.passed, true)
    assert.deepEqual(verdict.flaky, [first[0], first[2]])
    assert.deepEqual(verdict.counts, { ...noCounts(), tests: 6, pass: 6 })
  })

  test('fails with three flaky files', () => {
    const verdict = judge([failed('a'), failed('b'), failed('c')], [passed('a'), passed('b'), passed('c')])
    assert.equal(verdict.passed, false)
    assert.equal(verdict.counts.fail, 0)
  })

  test('fails with a file that failed twice, and says why it did the last time', () => {
    const verdict = judge([failed('a', 'first'), failed('b')], [failed('a', 'second'), passed('b')])
    assert.equal(verdict.passed, false)
    assert.equal(verdict.counts.fail, 1)
    assert.deepEqual(remarks(verdict), [
      'failed: 1 file',
      '  a',
      '    it answers: second',
      'flaky: 1 file failed at first and passed when run again alone',
      '  b',
      '    it answers: too late',
    ])
  })

  test('fails with a file of which the second run says nothing', () => {
    assert.equal(judge([failed('a')], []).passed, false)
  })
})

test('a reason is one short line without colours', () => {
  assert.equal(reasonOf(failed('a', '\u001b[31mExpected\u001b[39m:\n\n1 !== 2\n')), 'it answers: Expected: 1 !== 2')
  const long = reasonOf(failed('a', 'x'.repeat(1000)))
  assert.equal(long.length, 240)
  assert.match(long, /x…$/)
})
