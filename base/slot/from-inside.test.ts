/** What comes out of an isolate may be forged, when a module has broken the code around it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { AnswerKind } from '../inside/protocol.ts'
import { limits } from '../kernel/limits.ts'
import type { SlotPlan } from '../traffic/table.ts'
import { parseAnswer, parseLines } from './from-inside.ts'

const lock = ['recall', 'rank'].map(stage => ({ stage, modules: [{ name: 'm', version: '1.0.0', bundle: 'b' }] }))
const plan: SlotPlan = { key: 's/v1@64', scene: 's', version: 'v1', memoryMB: 64, lock }
const noted = (text: unknown) => parseAnswer(AnswerKind.noted, text, 0, plan)

test('an answer has the notes of its stages, and what is no note of a stage is no answer', () => {
  assert.deepEqual(noted('recall,rank 3,12\n[1]'), { json: '[1]', degraded: 'recall,rank', tookMs: '3,12', queueMs: 0 })
  assert.deepEqual(noted(' 0,5\n"a\\nb"'), { json: '"a\\nb"', degraded: undefined, tookMs: '0,5', queueMs: 0 })
  assert.deepEqual(noted('rank \n1'), { json: '1', degraded: 'rank', tookMs: undefined, queueMs: 0 })
  for (const text of [
    '1',
    '',
    '\n1',
    'other \n1',
    'rank\r\nset-cookie:a 1\n1',
    ' 1;desc=a\n1',
    ' 1\r\nx:y\n1',
    ' -1,2\n1',
    ' 1,,2\n1',
    5,
    null,
  ])
    assert.equal(noted(text), undefined, String(text))
  for (const [kind, text] of [
    [AnswerKind.ok, 5],
    [AnswerKind.ok, undefined],
    [7, '1'],
    ['0', '1'],
  ])
    assert.equal(parseAnswer(kind, text, 0, plan), undefined)
})

test('whatever is posted as log lines, each has a level, and texts of bounded length', () => {
  for (const text of ['', '[', '5', '{}', 'null']) assert.equal(parseLines(text), undefined)
  const isText = (text: unknown) => typeof text === 'string' && text.length <= limits.log.lineCharsMax
  const anyLine = fc.oneof(fc.jsonValue(), fc.record(Object.fromEntries(members.map(name => [name, fc.jsonValue()])), { requiredKeys: [] }))
  fc.assert(
    fc.property(fc.array(anyLine), lines => {
      for (const line of parseLines(JSON.stringify(lines)) ?? assert.fail()) {
        assert.ok(['debug', 'info', 'warn', 'error'].includes(line.level) && isText(line.message))
        for (const text of [line.module, line.fields, line.stack]) assert.ok(text === undefined || isText(text))
        assert.ok(line.dropped === undefined || Number.isSafeInteger(line.dropped))
      }
    }),
  )
  const [long] = parseLines(JSON.stringify([{ level: 'info', message: 'x'.repeat(1e5), stack: 5 }])) ?? []
  assert.deepEqual(long, { level: 'info', module: undefined, message: 'x'.repeat(limits.log.lineCharsMax) })
})

const members = ['level', 'module', 'message', 'fields', 'stack', 'dropped']
