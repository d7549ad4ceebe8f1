/** What the types of contract.ts make of schemas. The compiler checks this file; it is never run. */
import Type from 'typebox'
import { batched, defineService, type Fitting, method } from './contract.ts'

type Same<A, B> = [A, B] extends [B, A] ? true : false

export const ofTypeBox = method(Type.Tuple([Type.String(), Type.Optional(Type.Integer())]), ([address, limit]) => {
  const both: [string, number | undefined] = [address, limit]
  // @ts-expect-error it is a number
  const wrong: string = limit
  return [both, wrong]
})

export const literal = batched(
  { type: 'array', items: [{ type: 'string' }, { type: 'array', items: { enum: ['near', 'far'] } }], minItems: 2, additionalItems: false },
  calls =>
    calls.map(({ args: [address, kinds], signal }) => {
      const known: readonly ('near' | 'far')[] = kinds
      return [address.length, known, signal.aborted]
    }),
)

type Filter = Fitting<{ type: 'object'; properties: { q: { type: 'string' }; page: { type: 'integer' } }; required: ['q'] }>
export const filter: Same<Filter, { q: string; page?: number }> = true
const Order = Type.Object({ by: Type.Union([Type.Literal('price'), Type.Literal('age')]), after: Type.Optional(Type.Null()) })
export const order: Same<Fitting<typeof Order>, { by: 'price' | 'age'; after?: null }> = true

export const open = method({ type: 'array' }, args => {
  // @ts-expect-error the schema says nothing of the arguments
  return args[0]
})

export default defineService((options, env) => ({
  methods: { ofTypeBox, literal, open },
  stop: () => env.log('info', String(options.url)),
}))
