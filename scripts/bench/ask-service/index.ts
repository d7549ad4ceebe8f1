import type { Stage } from '@berth/sdk'
import type { Input } from '../rank50/index.ts'

/** Ten rows of a feature table, which the stage reads with one call. */
const KEYS = Array.from({ length: 10 }, (_, i) => `i${i}`)

export const ask: Stage<Input, Input, { services: 'features' }> = async (input, ctx) => {
  const rows = (await ctx.services.features.getMany('bench', KEYS)) as readonly unknown[]
  if (rows.length !== KEYS.length) throw new Error('The table of the bench is not there')
  return input
}
