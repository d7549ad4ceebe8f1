import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Action, alone, next, type Succession, type SuccessionEvent } from './succession.ts'

/** The state and the actions after these events, from the beginning. */
function run(events: readonly SuccessionEvent[]): { readonly state: Succession; readonly actions: readonly Action[] } {
  let state = alone
  const actions: Action[] = []
  for (const event of events) {
    const step = next(state, event)
    state = step.state
    actions.push(...step.actions)
  }
  return { state, actions }
}

const well = ['asked', 'hello', 'proved', 'stopped', 'keeping', 'ready'] as const
const events = well.map(type => ({ type }))

test('a base passes to an heir to which all goes well', () => {
  const { state, actions } = run(events)
  assert.deepEqual(state, { is: 'left' })
  assert.deepEqual(
    actions.map(action => action.do),
    ['start heir', 'offer', 'stop keeper', 'give', 'leave'],
  )
})

for (const [index, failing] of [
  'while it started',
  'while it checked the data folder',
  'while it waited for the data folder',
  'while it started its keeper',
  'while its cells loaded the scenes',
].entries()) {
  test(`an heir that ends ${failing} leaves the base as it was`, () => {
    const begun = events.slice(0, index + 1)
    const back: SuccessionEvent[] = [{ type: 'stopped' }, { type: 'returned' }]
    const { state, actions } = run([...begun, { type: 'ended', how: 'signal SIGKILL' }, ...back])
    assert.deepEqual(state, alone)
    assert.deepEqual(actions.at(-1), { do: 'report', why: `its supervisor ended (signal SIGKILL) ${failing}` })
    assert.equal(actions.filter(action => action.do === 'take back').length, index < 2 ? 0 : 1)
  })
}

const anyEvent: fc.Arbitrary<SuccessionEvent> = fc.oneof(
  fc.constantFrom<SuccessionEvent>(...events, { type: 'returned' }),
  fc.constant<SuccessionEvent>({ type: 'failed', why: 'x' }),
  fc.constant<SuccessionEvent>({ type: 'late', seconds: 1 }),
  fc.constant<SuccessionEvent>({ type: 'ended', how: 'x' }),
)
/** Mostly what comes next when all goes well. */
const anyEvents = fc
  .tuple(fc.integer({ min: 0, max: events.length }), fc.array(anyEvent, { maxLength: 12 }))
  .map(([most, rest]) => [...events.slice(0, most), ...rest])

test('whatever happens, one release has the data folder at a time, and it is taken back from the dead only', () => {
  fc.assert(
    fc.property(anyEvents, sent => {
      let state = alone
      let [heirLives, isGiven, keeperRuns] = [false, false, true]
      for (const event of sent) {
        if (event.type === 'ended') heirLives = false
        const { state: after, actions } = next(state, event)
        for (const action of actions) {
          if (action.do === 'start heir') heirLives = true
          if (action.do === 'stop keeper') keeperRuns = false
          if (action.do === 'give') {
            assert.equal(event.type, 'stopped')
            isGiven = true
          }
          if (action.do === 'take back') {
            assert.ok(!heirLives && !keeperRuns)
            ;[isGiven, keeperRuns] = [false, true]
          }
          if (action.do === 'leave') assert.ok(isGiven && heirLives && event.type === 'ready')
        }
        if (after.is === 'alone') assert.ok(keeperRuns && !isGiven && !heirLives)
        state = after
      }
    }),
  )
})

test('a failure is reported once, and a base that has been left is never taken back', () => {
  fc.assert(
    fc.property(anyEvents, sent => {
      const { state, actions } = run([...events, ...sent])
      assert.deepEqual(state, { is: 'left' })
      assert.equal(actions.length, 5)
      const { actions: others } = run(sent)
      const begun = others.filter(action => action.do === 'start heir').length
      assert.ok(others.filter(action => action.do === 'report' || action.do === 'leave').length <= begun)
    }),
  )
})
