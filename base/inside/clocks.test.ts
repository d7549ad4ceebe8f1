/** Every way in which code inside can learn what time it is. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import ivm from 'isolated-vm'
import { startGuest } from '../../test/support/isolate.ts'
import { SlotClock } from '../slot/slot-clock.ts'
import { Tape } from '../slot/tape.ts'
import { TapeMark } from './protocol.ts'

const FAKED = Date.UTC(1999, 6, 1)

/** A clock for an isolate whose monotonic clock is its wall clock too. */
function sameClock(): SlotClock {
  const clock = new SlotClock({ monotonic: () => FAKED, wall: () => FAKED })
  clock.hold(0)
  return clock
}

function tapeAt(time: number): Tape {
  const tape = new Tape()
  tape.play([], time)
  return tape
}

/**
 * A script that calls every function which code can reach, with nothing and with undefined, as a method of what has it and of an instance of its class, and with
 * `new`. Its value is the JSON of the paths of those that gave a time near to each of `times`: as a number, in a text, or as text or JSON of what they gave.
 */
const walk = (times: readonly number[]) => `(() => {
  const found = ${JSON.stringify(times)}.map(time => ({ time, year: String(new Date(time).getFullYear()), paths: new Set() }))
  const note = (path, text) => { for (const { year, paths } of found) if (text.includes(year)) paths.add(path) }
  const look = (path, value, depth) => {
    if (typeof value === 'number') {
      for (const { time, paths } of found) if (Math.abs(value - time) < 864e5 || Math.abs(value - time / 1000) < 86400) paths.add(path)
      return
    }
    if (typeof value === 'function') {
      if (depth === 0) for (const values of [[], [undefined]]) look(path + ' result', attempt(() => value(...values)), 1)
      return
    }
    attempt(() => note(path, typeof value === 'bigint' ? '' : String(value)))
    if (typeof value !== 'object' || value === null) return
    attempt(() => note(path, JSON.stringify(value)))
    attempt(() => Object.values(value).forEach(member => typeof member === 'number' && look(path, member, 1)))
  }
  const attempt = run => {
    try {
      const given = run()
      if (given instanceof Promise) given.then(() => {}, () => {})
      return given
    } catch {}
  }
  const call = (path, run, holder, make) => {
    for (const values of [[], [undefined]]) {
      for (const self of [holder, attempt(make)]) look(path + '()', attempt(() => Reflect.apply(run, self, values)), 0)
      look('new ' + path, attempt(() => Reflect.construct(run, values)), 0)
      look('new heir of ' + path, attempt(() => new (class extends run {})(...values)), 0)
    }
  }
  const seen = new Set([found, note, look, attempt, call])
  const visit = (path, object, holder, make) => {
    if ((typeof object !== 'object' && typeof object !== 'function') || object === null || seen.has(object)) return
    seen.add(object)
    if (typeof object === 'function') call(path, object, holder, make)
    const own = Object.hasOwn(object, 'constructor') && typeof object.constructor === 'function' ? () => new object.constructor() : () => {}
    for (const key of Reflect.ownKeys(object)) {
      const { value, get, set } = Object.getOwnPropertyDescriptor(object, key)
      const inner = path + '.' + String(key)
      look(inner, get === undefined ? value : undefined, 1)
      visit(inner, value, object, own)
      visit(inner + ' (get)', get, object, own)
      visit(inner + ' (set)', set, object, own)
    }
    visit(path + '.__proto__', Object.getPrototypeOf(object))
  }
  for (const key of Reflect.ownKeys(globalThis)) if (!['fetch', 'globalThis', 'global', 'self'].includes(key)) visit(String(key), globalThis[key], globalThis)
  for (const object of [function* () {}, async function* () {}, async () => {}, [].values(), new Map().values(), ''.matchAll(/a/g), new Intl.Segmenter().segment('')])
    visit('unnamed', Object.getPrototypeOf(object))
  return JSON.stringify(found.map(({ paths }) => [...paths].sort()))
})()`

/** The ways in V8 that lead to a clock, but for `Temporal`, which slots do not have. */
const ways = [
  'Date()',
  'Date.now()',
  'Intl.DateTimeFormat.prototype.format (get)() result',
  'Intl.DateTimeFormat.prototype.formatToParts()',
  'new Date',
  'new heir of Date',
]

/** A method of a date shows the time of that date, which the walk has made just before. */
const waysIn = (paths: readonly string[] = []) => paths.filter(path => !path.startsWith('Date.prototype.') && !path.includes('Temporal'))

test('V8 has no other ways to the clock of the machine than those that a slot knows of', async t => {
  const bare = new ivm.Isolate()
  t.after(() => bare.dispose())
  const [real = []] = JSON.parse(bare.createContextSync().evalSync(walk([Date.now()]))) as string[][]
  assert.deepEqual(waysIn(real), ways)
  assert.ok(real.some(path => path.startsWith('Temporal.Now')))
})

test('no function that code can reach gives the time of the machine when another is shown, and those that give a time give that', async t => {
  const guest = await startGuest(t, { clock: sameClock(), tape: tapeAt(FAKED), seed: '5a'.repeat(32) })
  const [real, faked] = JSON.parse(String(await guest.run(walk([Date.now(), FAKED])))) as string[][]
  assert.deepEqual(real, [])
  assert.deepEqual(waysIn(faked), [...ways, 'performance.timeOrigin', 'performance.toJSON()'].sort())
})

/** Reads every clock there is, some of them by ways that few code takes. */
const readings = `JSON.stringify([
  Date(), new Date(), new Date(undefined), +new Date, Date.now(), new Date.prototype.constructor(), new (class extends Date {})(), Reflect.construct(Date, []),
  Reflect.apply(Date, new Date(0), [1, 2]), new Date(5), new Date(2020, 1), new Date('2020-02-02'), Date.UTC(2020), structuredClone(new Date()),
  new Intl.DateTimeFormat().format(), new Intl.DateTimeFormat('de', { timeStyle: 'full' }).format(undefined), Intl.DateTimeFormat('fr', { fractionalSecondDigits: 3 }).formatToParts(),
  Object.getOwnPropertyDescriptor(Intl.DateTimeFormat.prototype, 'format').get.call(new Intl.DateTimeFormat('en', { dateStyle: 'long', timeStyle: 'long' }))(),
  [undefined, 0].map(new Intl.DateTimeFormat('en', { dateStyle: 'full', timeStyle: 'long' }).format), performance.now(), performance.timeOrigin, performance.toJSON(),
  new Event('a').timeStamp, new CustomEvent('a').timeStamp, setTimeout(() => {}, 60_000), (console.time('a'), console.timeEnd('a')), Math.random(), crypto.randomUUID(),
])`

test('what is recorded of the clocks gives the same again, byte for byte and reading for reading, at another time', async t => {
  const seed = '17'.repeat(32)
  const recording = new Tape()
  recording.record()
  let now = 1000.25
  // Each look of the cell at its clock finds that half a second has passed.
  const clock = new SlotClock({ monotonic: () => (now += 500.125), wall: () => Math.floor(now + FAKED) })
  clock.hold(FAKED + 0.375)
  const guest = await startGuest(t, { seed, clock, tape: recording })
  const said = [await guest.run(readings), await guest.run(readings)]
  const { readings: taped, count } = recording
  assert.ok(count === taped.length && new Set(taped).size > 2)
  assert.equal(recording.marks, 0)

  const replaying = new Tape()
  replaying.play(taped, 0)
  const elsewhere = new SlotClock({ monotonic: () => 9e9, wall: () => 9e12 })
  elsewhere.hold(FAKED + 0.375)
  const again = await startGuest(t, { seed, clock: elsewhere, tape: replaying })
  assert.deepEqual([await again.run(readings), await again.run(readings)], said)
  assert.equal(replaying.count, count)
  assert.deepEqual(
    again.logs.map(({ text }) => text),
    guest.logs.map(({ text }) => text),
  )
})

test('when all readings are given, the clocks go on from where the cell says, and the cell learns how many more were asked for', async t => {
  const tape = new Tape()
  tape.play([100, 100, 250], 400)
  // The set-up and the first request have taken one each.
  const guest = await startGuest(t, { clock: sameClock(), tape })
  assert.equal(await guest.run('String([performance.now(), performance.now(), Date.now()])'), '150,300,400')
  tape.beyond = 450.5
  assert.equal(await guest.run('String([performance.now(), Date.now()])'), '350,450')
  assert.equal(tape.count, 7)
})

test('a date without a date is like that of Node.js in all that code can see of it', async t => {
  const guest = await startGuest(t)
  const seen = `[Date.name, Date.length, Object.getOwnPropertyNames(Date), Reflect.construct(Date, [5], Array) instanceof Array, Reflect.construct(Date, [5], Object.assign(function () {}, { prototype: null })) instanceof Date, /native code/.test(Date), Date.now.name, Date.now.length, Date.prototype.constructor === Date,
    new Date() instanceof Date, new (class A extends Date {})().constructor.name, Object.keys(Date), typeof Date(), Object.prototype.toString.call(new Date()), Math.random.name,
    Math.random.length, /native code/.test(Math.random), Object.keys(Math), Intl.DateTimeFormat.prototype.formatToParts.length,
    (f => [f.format === f.format, f.format.name, f.format.length, f.format(0), f.formatToParts(0)])(new Intl.DateTimeFormat('en', { timeZone: 'UTC' })),
    ...[() => new Date(Symbol()), () => Intl.DateTimeFormat.prototype.format, () => new Intl.DateTimeFormat().format(NaN), () => new Date(1n)].map(run => { try { return run() } catch (error) { return error.name } })]`
  assert.equal(await guest.run(`JSON.stringify(${seen})`), new Function(`return JSON.stringify(${seen})`)())
})

test('the parts of the code inside that are loaded on demand read no clock meanwhile, and draw no number', async t => {
  const seed = '0f'.repeat(32)
  const draws = 'String([Math.random(), Math.random(), Date.now(), crypto.randomUUID()])'
  const played = () => {
    const tape = new Tape()
    tape.play(
      Array.from({ length: 100 }, (_, i) => i),
      0,
    )
    return tape
  }
  const [early, late] = [played(), played()]
  const guest = await startGuest(t, { seed, clock: sameClock(), tape: early })
  const loadAll =
    'for (const name of Object.getOwnPropertyNames(globalThis)) globalThis[name]; new TextDecoder("big5"); new TextDecoder("utf-16le"); structuredClone([new URL("https://a.example")].length)'
  await guest.run(loadAll)
  assert.equal(await guest.run(draws), await (await startGuest(t, { seed, clock: sameClock(), tape: late })).run(draws))
  assert.equal(early.count, late.count)
  assert.ok(guest.parts.length >= 8)
})

test('the tape is marked when code makes weak references, when it says that the stack was full, and when it has no place for a reading', async t => {
  const tape = new Tape()
  tape.record()
  const guest = await startGuest(t, { tape })
  const marksOf = async (code: string) => {
    tape.record()
    await guest.run(`{ ${code} }; 0`)
    return tape.marks
  }
  assert.equal(await marksOf('typeof WeakRef; new WeakMap(); try { WeakRef({}) } catch {}'), 0)
  assert.equal(await marksOf('if (new WeakRef(Math).deref() !== Math) throw new Error("WeakRef")'), TapeMark.weakReferences)
  assert.equal(await marksOf('new (class A extends FinalizationRegistry {})(() => {}).register({})'), TapeMark.weakReferences)
  assert.equal(await marksOf('const deep = () => deep() + 1; try { deep() } catch (error) { console.log(error) }'), TapeMark.stackOverflow)
  assert.equal(await marksOf('for (let i = 0; i < 9999; i++) Date.now()'), 0)
  assert.equal(tape.readings.length, 9999)
  assert.equal(await marksOf('for (let i = 0; i < 10_001; i++) Date.now()'), TapeMark.tooManyReadings)
  assert.deepEqual([tape.count, tape.readings.length], [10_001, 10_000])
})
