import { Type } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import { Value } from '@sinclair/typebox/value'

const Item = Type.Object({ id: Type.String({ minLength: 1 }), score: Type.Number({ default: 0.5 }) })
export const input = { row: { id: '' } }
export const use = ({ row }) => ({
  check: TypeCompiler.Compile(Item).Check(row),
  errors: [...Value.Errors(Item, row)].map(e => [e.path, e.message]),
  filled: Value.Default(Item, { id: 'a' }),
  made: Value.Create(Item),
  diff: Value.Diff({ a: 1 }, { a: 2 }),
})
