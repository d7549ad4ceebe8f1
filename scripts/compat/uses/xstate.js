import { assign, createActor, createMachine, fromPromise, waitFor } from 'xstate'

const machine = createMachine({
  initial: 'idle',
  context: { n: 0 },
  states: {
    idle: { on: { GO: { target: 'busy', actions: assign({ n: ({ context }) => context.n + 1 }) } } },
    busy: {
      invoke: {
        src: fromPromise(async () => 41),
        onDone: { target: 'done', actions: assign({ n: ({ context, event }) => context.n + event.output }) },
      },
      after: { 5000: 'idle' },
    },
    done: { type: 'final' },
  },
})
export const input = { event: 'GO' }
export const use = async ({ event }) => {
  const actor = createActor(machine)
  const seen = []
  actor.subscribe(s => seen.push(s.value))
  actor.start()
  actor.send({ type: event })
  const end = await waitFor(actor, s => s.status === 'done')
  return { seen, context: end.context, saved: actor.getPersistedSnapshot().value }
}
