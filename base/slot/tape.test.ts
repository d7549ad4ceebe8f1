/** What a slot with a tape draws, from the seeds that the cell gives it. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import ivm from 'isolated-vm'
import type { SchemaTexts, ServiceNames, StagePlan } from '../inside/protocol.ts'
import { type Blank, byCopy, makeBlank } from './blank.ts'
import { CodeCache } from './code-cache.ts'
import { Tape } from './tape.ts'

const stage = { stage: 'draw', modules: ['chance'], parallel: false, onFailure: 'fail' } as const
const plan: StagePlan = { ...stage, merge: undefined, deadlineMs: undefined, fallbackModule: undefined, fallbackValue: undefined }

/** An isolate whose only module answers each request with what `draw`, an expression, gives. */
async function load(t: TestContext, draw: string, staging: { readonly seed: string; readonly tape?: Tape }): Promise<Blank> {
  const blank = await makeBlank(64, new CodeCache(0), staging)
  t.after(() => blank.isolate.dispose())
  const exports = await blank.context.eval(`({ draw: () => ${draw} })`, { reference: true })
  await blank.inside.define.apply(undefined, ['chance', new ivm.ExternalCopy(['draw']).copyInto(), exports.derefInto()])
  const values = [[plan], {}, { request: '', answer: '' }].map(value => new ivm.ExternalCopy(value).copyInto())
  const [stages, services, schemas] = values as [ivm.Copy<StagePlan[]>, ivm.Copy<ServiceNames>, ivm.Copy<SchemaTexts>]
  await blank.inside.link.apply(undefined, ['scene', 'v1', stages, services, schemas])
  return blank
}

/** What requests are answered with, one after the other. */
async function answers({ inside, clock }: Blank, from: number, count: number): Promise<string[]> {
  const found: string[] = []
  for (let no = from; no < from + count; no++) {
    const values = ['request', '{}', '', clock.write() + 60_000, '{}', -1]
    const [, , text] = (await inside.turn.apply(undefined, [no, values], byCopy)) as [number, number, string]
    // A stage that takes a millisecond has a line before the answer that says so.
    found.push(text.slice(text.lastIndexOf('\n') + 1))
  }
  return found
}

const draws = '[Math.random(), Math.random(), crypto.randomUUID()]'
const seed = '0123456789abcdef'.repeat(4)
const words = [1, 2, 3, 4, 5, 6, 7, 0xffff_ffff]

test('a turn that is given a seed draws what any other slot draws from it, whatever was drawn before, and the next goes on from there', async t => {
  const [tape, other] = [new Tape(), new Tape()]
  const blank = await load(t, draws, { seed, tape })
  const fresh = await answers(blank, 1, 3)
  assert.equal(new Set(fresh).size, 3)
  tape.reseed(words)
  const seeded = await answers(blank, 4, 2)
  const elsewhere = await load(t, draws, { seed: 'f'.repeat(64), tape: other })
  other.reseed(words)
  assert.deepEqual(await answers(elsewhere, 1, 2), seeded)
  assert.deepEqual(await answers(await load(t, draws, { seed }), 1, 3), fresh)
})

test('each word of a seed changes all that is drawn from its half of the seed, and nothing of the other half', async t => {
  const tape = new Tape()
  const blank = await load(t, draws, { seed, tape })
  const drawn = async (from: readonly number[], no: number) => {
    tape.reseed(from)
    return JSON.parse((await answers(blank, no, 1))[0] as string) as [number, number, string]
  }
  const before = await drawn(words, 1)
  for (let i = 0; i < words.length; i++) {
    const [first, second, id] = await drawn(words.with(i, (words[i] as number) ^ 1), 2 + i)
    const changed = [first !== before[0], second !== before[1], id !== before[2]]
    assert.deepEqual(changed, i < 4 ? [true, true, false] : [false, false, true])
  }
  assert.throws(() => tape.reseed([1, 2, 3]), { message: 'A seed of chance has 8 words, not 3' })
})

/** Counts 100,000 draws by expressions that each give one of 64 numbers: bits from both ends, draws that follow each other, sums. */
const counting = `(() => {
  const tallies = Array.from({ length: 5 }, () => new Array(64).fill(0))
  let before = Math.random()
  let repeated = 0, outside = 0
  for (let i = 0; i < 100_000; i++) {
    const now = Math.random()
    if (now === before) repeated++
    if (!(now >= 0 && now < 1)) outside++
    tallies[0][Math.floor(now * 64)]++
    tallies[1][(now * 2 ** 53) % 64]++
    tallies[2][Math.floor(now * 2 ** 29) % 64]++
    tallies[3][Math.floor(before * 8) * 8 + Math.floor(now * 8)]++
    tallies[4][(Math.floor(now * 2 ** 32) ^ Math.floor(before * 2 ** 32)) & 63]++
    before = now
  }
  return { tallies, repeated, outside }
})()`

test('Math.random has all bits of a number, each value as often as any other, and draws that tell nothing of the next, also from seeds that are alike', async t => {
  const tape = new Tape()
  const blank = await load(t, counting, { seed: '0'.repeat(64), tape })
  for (const [i, from] of [[0], [1], [0, 0, 0, 1], [0xffff_ffff]].entries()) {
    tape.reseed([...from, ...new Array(8).fill(0)].slice(0, 8))
    const found = JSON.parse((await answers(blank, i + 1, 1))[0] as string)
    const { tallies, repeated, outside } = found as { tallies: number[][]; repeated: number; outside: number }
    assert.deepEqual([repeated, outside], [0, 0])
    for (const tally of tallies) {
      const expected = 100_000 / 64
      const chiSquare = tally.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0)
      // 63 degrees of freedom: one in ten thousand is over 113, and one in ten thousand under 29. The seeds are fixed.
      assert.ok(chiSquare > 29 && chiSquare < 113, `${from}: ${chiSquare}`)
    }
  }
})
