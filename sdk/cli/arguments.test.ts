import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { SdkError } from '../sdk-error.ts'
import {
  parseArms,
  parseAttributes,
  parseCondition,
  parseMeanings,
  parseParams,
  parseShare,
  parseShares,
  parseUnits,
  parseVersion,
  showCondition,
} from './arguments.ts'

/** Asserts that `read` throws wrong usage, reported and mended in these words. */
function refused(read: () => unknown, why: RegExp, hint: RegExp): void {
  assert.throws(read, error => {
    assert(error instanceof SdkError)
    assert.deepEqual([error.code, error.exit], ['USAGE', 2])
    assert.match(error.message, why)
    assert.match(error.hint ?? '', hint)
    return true
  })
}

test('every share of a hundredth of a percent is read as it is written', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 10_000 }), share => {
      assert.equal(parseShare(`${share / 100}%`), share)
      assert.equal(parseShare(` ${(share / 100).toFixed(2)} %`), share)
    }),
  )
})

test('what is no percentage from 0% to 100% with two decimals is refused with what to type', () => {
  refused(() => parseShare('20'), /"20" as a share: it has no % sign/, /^Write 20%\.$/)
  refused(() => parseShare('0.2'), /no % sign/, /^Write 0\.2% or 20%\.$/)
  refused(() => parseShare('2000'), /no % sign/, /from 0% to 100%/)
  refused(() => parseShare('100.01%'), /over 100%/, /12\.5%/)
  refused(() => parseShare('5.125%'), /more than two decimals/, /0\.01%/)
  for (const text of ['', '%', '-5%', '5%%', '1e1%', 'half', '.5%', '5.%', '0x5%', '٥%']) {
    refused(() => parseShare(text), /no percentage/, /from 0% to 100%/)
  }
})

test('shares belong to arms, each named once', () => {
  assert.deepEqual(parseShares(['treatment=20%', 'control = 0%']), { treatment: 2000, control: 0 })
  refused(() => parseShares(['treatment']), /"treatment" as the share of an arm: it has no "="/, /treatment=20%/)
  refused(() => parseShares(['=20%']), /no "="/, /treatment=20%/)
  refused(() => parseShares(['a=1%', 'a=2%']), /"a=2%": "a" is given twice/, /once/)
})

test('an arm is a version or parameters, and a share', () => {
  assert.deepEqual(parseArms(['control=v3:50%', 'treatment=v14:0.5%']), [
    { name: 'control', version: 'v3', share: 5000 },
    { name: 'treatment', version: 'v14', share: 50 },
  ])
  assert.deepEqual(parseArms(['a={"topK":5,"url":"http://x:80/"}:50%']), [
    { name: 'a', values: { topK: 5, url: 'http://x:80/' }, share: 5000 },
  ])
  refused(() => parseArms(['a=v1']), /"a=v1" as an arm: it has no share/, /treatment=v4:50%/)
  refused(() => parseArms(['a={"topK":5}']), /no share/, /:50%/)
  refused(() => parseArms(['a=3:50%']), /"3" is no version/, /a=v4.*a='\{"topK":5\}'/)
  refused(() => parseArms(['a={topK:5}:50%']), /no JSON/, /a='\{"topK":5\}'/)
  refused(() => parseArms(['a=v1:50']), /no % sign/, /50%/)
  assert.deepEqual(parseMeanings(['treatment=v5', 'other={}']), { treatment: { version: 'v5' }, other: { values: {} } })
})

test('conditions are read as they are spoken, and shown as they are read', () => {
  const readings = [
    ['country in CN,US', { attribute: 'country', op: 'in', value: ['CN', 'US'] }],
    ['country  in  CN', { attribute: 'country', op: 'in', value: ['CN'] }],
    ['city in ["a,b","c"]', { attribute: 'city', op: 'in', value: ['a,b', 'c'] }],
    ['country=CN', { attribute: 'country', op: 'equals', value: 'CN' }],
    ['vip == true', { attribute: 'vip', op: 'equals', value: 'true' }],
    ['age>30', { attribute: 'age', op: 'gt', value: 30 }],
    ['age <= 30.5', { attribute: 'age', op: 'lte', value: 30.5 }],
    ['app >= 8.2.0', { attribute: 'app', op: 'gte', value: '8.2.0' }],
    ['app range >=8.2 <9', { attribute: 'app', op: 'range', value: '>=8.2 <9' }],
    ['name = in the end', { attribute: 'name', op: 'equals', value: 'in the end' }],
    ['index lt 3', { attribute: 'index', op: 'lt', value: 3 }],
  ] as const
  for (const [text, condition] of readings) {
    assert.deepEqual(parseCondition(text), condition, text)
    assert.deepEqual(parseCondition(showCondition(parseCondition(text))), condition, text)
  }
})

test('what is no condition is refused with one that is', () => {
  refused(() => parseCondition('country'), /compares nothing/, /country in CN,US/)
  refused(() => parseCondition('country !! CN'), /"!!" is no comparison/, /= in </)
  refused(() => parseCondition('country constructor CN'), /"constructor" is no comparison/, /= in </)
  refused(() => parseCondition('country != CN'), /"!=" does not exist/, /country in CN,US/)
  refused(() => parseCondition('country in'), /no value/, /country in CN,US/)
  refused(() => parseCondition('country in ["CN"'), /no JSON/, /\["CN","US"\]/)
  refused(() => parseCondition('account in [7,9007199254740993]'), /the number 9007199254740993 at \/1/, /in quotes/)
})

test('parameters are JSON, and texts without quotes are shown with them', () => {
  assert.deepEqual(parseParams(['topK=5', 'mode="a=b"', 'deep={"a":[1]}']), { topK: 5, mode: 'a=b', deep: { a: [1] } })
  refused(() => parseParams(['mode=fast']), /"mode=fast": fast is no JSON/, /'mode="fast"'/)
  refused(() => parseParams(['topK=']), /nothing is no JSON/, /topK/)
  refused(() => parseParams(['item={"id":9007199254740993}']), /the number 9007199254740993 at \/id/, /in quotes/)
})

test('attributes, units and versions are read as they are typed', () => {
  assert.deepEqual(parseAttributes(['country=CN', 'note=a=b', 'empty=']), { country: 'CN', note: 'a=b', empty: '' })
  assert.deepEqual(parseUnits(['u1,u2', 'u2', '用户']), ['u1', 'u2', '用户'])
  refused(() => parseUnits(['u1,,u2']), /one is empty/, /u1,u2/)
  assert.equal(parseVersion('v12'), 'v12')
  refused(() => parseVersion('12'), /"12" as a version/, /^Write v12\.$/)
  refused(() => parseVersion('v0'), /"v0" as a version/, /sdk version list/)
})
