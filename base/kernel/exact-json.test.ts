import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { atPath } from '../traffic/pointer.ts'
import { idOfNumber, sourceAt } from './exact-json.ts'

/** The number that a text of JSON stands for, exactly: a fraction of integers. */
function exactValue(source: string): string {
  const [, mantissa = '', exponent = '0'] = /^([^eE]+)(?:[eE](.+))?$/.exec(source) ?? []
  const [whole = '', fraction = ''] = mantissa.split('.')
  let [top, bottom] = [BigInt(`${whole}${fraction}`.replace('-', '')), 10n ** BigInt(fraction.length)]
  const power = 10n ** BigInt(Math.abs(Number(exponent)))
  if (Number(exponent) < 0) bottom *= power
  else top *= power
  while (bottom > 1n && top % 10n === 0n) [top, bottom] = [top / 10n, bottom / 10n]
  return top === 0n ? '0' : `${mantissa.startsWith('-') ? '-' : ''}${top}/${bottom}`
}

const digits = (max: number) => fc.stringMatching(new RegExp(`^[0-9]{1,${max}}$`))
/** Numbers as JSON may write them, many of them close to 2^53, to halves and to each other. */
const numbers = fc
  .record({
    sign: fc.constantFrom('', '', '-'),
    whole: fc.oneof(
      fc.bigInt(0n, 3n).map(String),
      fc.bigInt(2n ** 53n - 3n, 2n ** 53n + 3n).map(String),
      digits(25).map(text => text.replace(/^0+(?=\d)/, '')),
    ),
    fraction: fc.oneof(
      fc.constantFrom('', '.0', '.5', '.00000000000000000001', '.99999999999999999'),
      digits(20).map(text => `.${text}`),
    ),
    exponent: fc.oneof(
      fc.constantFrom('', '', 'e0', 'E400', 'e-400'),
      fc.integer({ min: -25, max: 25 }).map(power => `e${power}`),
    ),
  })
  .map(({ sign, whole, fraction, exponent }) => `${sign}${whole}${fraction}${exponent}`)

test('numbers have the same id only when they are equal', () => {
  fc.assert(
    fc.property(fc.array(numbers, { minLength: 2, maxLength: 30 }), sources => {
      const byId = new Map<string, string>()
      const byValue = new Map<string, string>()
      for (const source of sources) {
        const id = idOfNumber(source)
        if (id === undefined) continue
        const value = exactValue(source)
        assert.equal(byId.get(id) ?? value, value, `${source} has the id ${id}`)
        assert.equal(byValue.get(value) ?? id, id, `${source} has the id ${id}`)
        byId.set(id, value)
        byValue.set(value, id)
        assert.equal(exactValue(id), value)
      }
    }),
  )
})

test('an integer that is written as digits always has an id, which is the digits', () => {
  fc.assert(fc.property(fc.bigInt().map(String), source => assert.equal(idOfNumber(source), source)))
})

test('a number that JavaScript holds exactly has the id that JavaScript writes, however it is written', () => {
  const exact = fc.oneof(
    fc.maxSafeInteger(),
    fc.double({ noNaN: true, noDefaultInfinity: true, maxExcluded: true, min: -(2 ** 52), max: 2 ** 52 }),
  )
  fc.assert(
    fc.property(exact, number => {
      for (const source of [JSON.stringify(number), number.toExponential()]) assert.equal(idOfNumber(source), String(number))
    }),
  )
})

test('the ids of numbers', () => {
  const ids = {
    '7': '7',
    '7.0': '7',
    '70e-1': '7',
    '1e3': '1000',
    '-0': '0',
    '-0.0e5': '0',
    '1.50': '1.5',
    '0.000001e-1': '1e-7',
    '9007199254740991.0': '9007199254740991',
    '9007199254740993': '9007199254740993',
    '-9007199254740993': '-9007199254740993',
    '123456789012345678901234567890': '123456789012345678901234567890',
    '9007199254740993.0': undefined,
    '9007199254740992e0': undefined,
    '1E400': undefined,
    '1e-400': undefined,
    '1.00000000000000000001': undefined,
    '9007199254740991.2': undefined,
  }
  for (const [source, id] of Object.entries(ids)) assert.equal(idOfNumber(source), id, source)
})

test('the source at a path is the text of what JSON.parse finds there', () => {
  const name = fc.constantFrom('a', 'b', 'é"\\', '__proto__', '0', '1')
  const spaced = (text: string, spaces: readonly string[]) => {
    let next = 0
    // Outside of strings, JSON may have white space on both sides of each of its signs.
    return text.replace(/"(?:[^"\\]|\\.)*"|[{}[\]:,]/g, token => {
      const space = spaces[next++ % spaces.length] ?? ''
      return token[0] === '"' ? token : `${space}${token}${space}`
    })
  }
  const { value } = fc.letrec<{ value: string }>(tie => ({
    value: fc.oneof(
      { maxDepth: 3 },
      numbers,
      fc.string({ unit: 'binary' }).map(text => JSON.stringify(text)),
      fc.constantFrom('true', 'null', '"]}\\\\"', '"\\\\\\","'),
      fc.array(tie('value'), { maxLength: 4 }).map(values => `[${values}]`),
      fc
        .array(fc.tuple(name, fc.boolean(), tie('value')), { maxLength: 4 })
        .map(members => `{${members.map(([key, escaped, text]) => `${escaped ? escape(key) : JSON.stringify(key)}:${text}`)}}`),
    ),
  }))
  const escape = (text: string) => `"${[...text].map(sign => `\\u${sign.charCodeAt(0).toString(16).padStart(4, '0')}`).join('')}"`
  const paths = fc.array(name, { maxLength: 4 })
  const spaces = fc.array(fc.constantFrom('', '', ' ', '\t\r\n'), { minLength: 1 })
  fc.assert(
    fc.property(value, fc.array(paths, { minLength: 1, maxLength: 20 }), spaces, (compact, tried, given) => {
      const json = spaced(compact, given)
      const parsed: unknown = JSON.parse(json)
      for (const path of tried) {
        const source = sourceAt(json, path)
        if (source === undefined) assert.equal(atPath(parsed, path), undefined)
        else assert.deepEqual(JSON.parse(source), atPath(parsed, path))
      }
    }),
  )
})
