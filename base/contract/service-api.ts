/** Base services, as modules may call them. */
import Type from 'typebox'
import type { Shape } from './shape.ts'

const schema = (of: string) => Type.Unknown({ description: `JSON Schema of ${of}, as the code of the service gives it` })

export const BaseService = Type.Object({
  name: Type.String({ description: 'as modules list it under "berth.services"' }),
  methods: Type.Array(
    Type.Object({
      name: Type.String(),
      input: schema('the list of arguments'),
      output: Type.Optional(schema('the answer; not given when the code does not say')),
    }),
  ),
})
export type BaseService = Shape<typeof BaseService>
