/** npm packages that ranking code is made of, as they are published, bundled as modules are and run where modules run. */
import assert from 'node:assert/strict'
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { bundleModule } from '../../sdk/bundle/bundle.ts'
import { startGuest } from '../../test/support/isolate.ts'

const nodeModules = join(import.meta.dirname, '../../node_modules')

/** Runs `rank`, the one stage of a module with this entry, on the bundle that publishing it would make. */
async function ranked(t: TestContext, entry: string): Promise<unknown> {
  const folder = await mkdtemp(join(tmpdir(), 'berth-package-'))
  t.after(() => rm(folder, { recursive: true }))
  await symlink(nodeModules, join(folder, 'node_modules'), 'junction')
  await writeFile(
    join(folder, 'package.json'),
    JSON.stringify({ name: 'ranker', version: '1.0.0', main: 'index.js', berth: { stages: ['rank'] } }),
  )
  await writeFile(join(folder, 'index.js'), entry)
  const { code } = await bundleModule(folder)
  const guest = await startGuest(t)
  const json = await guest.run(`(async () => JSON.stringify(await (${code.replace(/;\s*$/, '')}).rank()))()`)
  assert.equal(guest.mendOpen(), undefined, 'it changes a built-in')
  return JSON.parse(String(json))
}

test('lodash sorts, groups, merges, templates and memoizes', async t => {
  const entry = `
    import _ from 'lodash'
    const items = [{ id: 'a', score: 1, tag: 'x' }, { id: 'b', score: 3, tag: 'y' }, { id: 'c', score: 2, tag: 'x' }]
    export const rank = () => [
      _.orderBy(items, 'score', 'desc').map(item => item.id), _.groupBy(items, 'tag').x.length, _.merge({ a: { b: 1 } }, { a: { c: 2 } }),
      _.template('<%= n %> items')({ n: 3 }), _.memoize(n => n * 2)(4), _(items).map('score').sum(), _.cloneDeep({ d: new Map([[1, { e: 2 }]]) }).d.get(1).e,
      _.words('fred, barney & pebbles'), _.isEqual(new Set([1]), new Set([1])), _.chunk([1, 2, 3], 2),
    ]`
  assert.deepEqual(await ranked(t, entry), [
    ['b', 'c', 'a'],
    2,
    { a: { b: 1, c: 2 } },
    '3 items',
    8,
    6,
    2,
    ['fred', 'barney', 'pebbles'],
    true,
    [[1, 2], [3]],
  ])
})

test('date-fns computes with dates and formats them', async t => {
  const entry = `
    import { addDays, differenceInHours, formatISO, parseISO, startOfWeek, formatDistance } from 'date-fns'
    const at = parseISO('2026-03-10T12:00:00Z')
    export const rank = () => [addDays(at, 5).toISOString(), differenceInHours(addDays(at, 2), at), startOfWeek(at).getDay(), formatDistance(at, addDays(at, 3)), formatISO(at).slice(0, 4)]`
  assert.deepEqual(await ranked(t, entry), ['2026-03-15T12:00:00.000Z', 48, 0, '3 days', '2026'])
})

test('zod parses, refuses and explains', async t => {
  const entry = `
    import { z } from 'zod'
    const Item = z.object({ id: z.string().min(1), score: z.number().default(0.5), url: z.url().optional(), at: z.coerce.date().optional() })
    export const rank = () => {
      const bad = z.array(Item).safeParse([{ id: '', score: 'x' }])
      return [Item.parse({ id: 'a', url: 'https://a.example/x' }), bad.success, bad.error.issues.map(issue => issue.path.join('.')), bad.error.name, bad.error instanceof Error]
    }`
  assert.deepEqual(await ranked(t, entry), [
    { id: 'a', score: 0.5, url: 'https://a.example/x' },
    false,
    ['0.id', '0.score'],
    'ZodError',
    true,
  ])
})

test('ajv compiles a schema and validates with it', async t => {
  const entry = `
    import Ajv from 'ajv'
    const validate = new Ajv({ allErrors: true }).compile({ type: 'object', required: ['id'], properties: { id: { type: 'string', pattern: '^[a-z]+$' }, n: { type: 'integer' } } })
    export const rank = () => [validate({ id: 'abc', n: 1 }), validate({ id: 'A', n: 1.5 }), validate.errors.map(error => error.keyword)]`
  assert.deepEqual(await ranked(t, entry), [true, false, ['pattern', 'type']])
})

test('mathjs evaluates expressions, multiplies matrices and inverts them', async t => {
  const entry = `
    import { create, all } from 'mathjs'
    const math = create(all)
    export const rank = () => [math.evaluate('sqrt(3^2 + 4^2) + a', { a: 1 }), math.multiply([[1, 2], [3, 4]], [1, 1]), math.inv([[2, 0], [0, 4]]), math.bignumber('0.1').plus('0.2').toString(), math.derivative('x^2', 'x').toString(), math.unit('5 cm').toNumber('mm')]`
  assert.deepEqual(await ranked(t, entry), [
    6,
    [3, 7],
    [
      [0.5, 0],
      [0, 0.25],
    ],
    '0.3',
    '2 * x',
    50,
  ])
})

test('simple-statistics summarises and regresses', async t => {
  const entry = `
    import { linearRegression, median, quantile, sampleStandardDeviation } from 'simple-statistics'
    export const rank = () => [median([3, 1, 2]), quantile([1, 2, 3, 4, 5], 0.8), sampleStandardDeviation([1, 2, 3]), linearRegression([[0, 1], [1, 3]])]`
  assert.deepEqual(await ranked(t, entry), [2, 4.2, 1, { m: 2, b: 1 }])
})

test('ml-matrix solves and decomposes', async t => {
  const entry = `
    import { EigenvalueDecomposition, Matrix, solve } from 'ml-matrix'
    export const rank = () => [new Matrix([[1, 2], [3, 4]]).mmul(Matrix.eye(2)).to2DArray(), solve(new Matrix([[2, 0], [0, 4]]), Matrix.columnVector([2, 2])).to1DArray(), new EigenvalueDecomposition(new Matrix([[2, 0], [0, 3]])).realEigenvalues]`
  assert.deepEqual(await ranked(t, entry), [
    [
      [1, 2],
      [3, 4],
    ],
    [1, 0.5],
    [2, 3],
  ])
})

test('d3-array groups, bins and bisects', async t => {
  const entry = `
    import { bin, bisectLeft, extent, group, InternMap, rollup } from 'd3-array'
    const items = [{ tag: 'x', n: 1 }, { tag: 'y', n: 5 }, { tag: 'x', n: 2 }]
    export const rank = () => [extent(items, item => item.n), group(items, item => item.tag).get('x').length, [...rollup(items, list => list.length, item => item.tag)], bisectLeft([1, 3, 5], 4), bin()([1, 2, 2, 9]).length > 1, new InternMap([[new Date(1), 'a']]).get(new Date(1))]`
  assert.deepEqual(await ranked(t, entry), [
    [1, 5],
    2,
    [
      ['x', 2],
      ['y', 1],
    ],
    2,
    true,
    'a',
  ])
})

test('immer drafts objects, maps and sets', async t => {
  const entry = `
    import { enableMapSet, produce } from 'immer'
    enableMapSet()
    const before = { list: [{ n: 1 }], map: new Map([['a', { n: 1 }]]), set: new Set([1]) }
    export const rank = () => {
      const after = produce(before, draft => { draft.list.push({ n: 2 }); draft.map.get('a').n = 7; draft.set.add(2); draft.list[0].n++ })
      return [after.list, [...after.map], [...after.set], before.list, [...before.map], Object.isFrozen(after)]
    }`
  assert.deepEqual(await ranked(t, entry), [[{ n: 2 }, { n: 2 }], [['a', { n: 7 }]], [1, 2], [{ n: 1 }], [['a', { n: 1 }]], true])
})

test('seedrandom gives the same numbers for the same seed', async t => {
  const entry = `
    import seedrandom from 'seedrandom'
    export const rank = () => {
      const random = seedrandom('hello.')
      return [random(), random.quick(), typeof seedrandom()()]
    }`
  // These are the numbers that its own documentation promises.
  assert.deepEqual(await ranked(t, entry), [0.9282578795792454, 0.3752569768112153, 'number'])
})

test('nanoid and uuid make ids', async t => {
  const entry = `
    import { customAlphabet, nanoid } from 'nanoid'
    import { v4, v5, v7, validate } from 'uuid'
    export const rank = () => [nanoid().length, customAlphabet('ab', 8)().replace(/[ab]/g, ''), nanoid() === nanoid(), validate(v4()), v5('berth', v5.URL), v7()[14]]`
  const [length, rest, same, valid, named, version] = (await ranked(t, entry)) as unknown[]
  assert.deepEqual([length, rest, same, valid, version], [21, '', false, true, '7'])
  assert.equal(named, (await import('uuid')).v5('berth', (await import('uuid')).v5.URL))
})

test('semver orders versions', async t => {
  const entry = `
    import semver from 'semver'
    export const rank = () => [semver.sort(['1.10.0', '1.2.0']), semver.satisfies('1.2.3', '^1.0.0'), semver.inc('1.2.3', 'minor'), semver.valid('x')]`
  assert.deepEqual(await ranked(t, entry), [['1.2.0', '1.10.0'], true, '1.3.0', null])
})

test('buffer, whose class inherits from Uint8Array by assignments, reads and writes bytes', async t => {
  const entry = `
    import { Buffer } from 'buffer/'
    const bytes = Buffer.concat([Buffer.from('h\u00e9llo'), Buffer.alloc(2)])
    export const rank = () => [bytes.toString('base64'), bytes.slice(0, 2).toString('latin1'), Buffer.from('ff00', 'hex').readUInt16BE(0), bytes.equals(Buffer.from(bytes)), bytes instanceof Uint8Array, Buffer.from([1, 2]).map(byte => 2 * byte).toString('hex')]`
  assert.deepEqual(await ranked(t, entry), ['aMOpbGxvAAA=', 'h\u00c3', 65_280, true, true, '0204'])
})
