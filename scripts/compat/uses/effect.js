import { Effect, Schedule, Schema, Stream } from 'effect'

const Item = Schema.Struct({ id: Schema.String, score: Schema.Number })
export const input = {
  rows: [
    { id: 'a', score: 1 },
    { id: 'b', score: 'x' },
  ],
}
export const use = ({ rows }) =>
  Effect.runPromise(
    Effect.gen(function* () {
      let tries = 0
      const flaky = Effect.suspend(() => (++tries < 3 ? Effect.fail('again') : Effect.succeed(tries)))
      const tried = yield* Effect.retry(flaky, Schedule.recurs(5))
      const doubled = yield* Effect.all(
        [1, 2, 3].map(n => Effect.delay(Effect.succeed(n * 2), 1)),
        { concurrency: 2 },
      )
      const streamed = yield* Stream.runCollect(Stream.map(Stream.make(1, 2, 3), n => n + 1))
      const decoded = rows.map(row => Schema.is(Item)(row))
      return { tried, doubled, streamed: [...streamed], decoded }
    }),
  )
