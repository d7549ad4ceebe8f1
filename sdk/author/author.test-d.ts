/** What the types of author.ts accept and what they refuse. The compiler checks this file; it is never run. */
import type { Frozen, Stage, StageContext } from '@berth/sdk'

interface Candidate {
  readonly id: number
}

interface Tuned {
  params: { topK: number; weights: { price: number }[] }
  services: 'features'
  request: { user: { tags: string[] } }
}

export const typed: Stage<readonly Candidate[], number[], Tuned> = async (candidates, ctx) => {
  const topK: number = ctx.params.topK
  const [row] = await ctx.services.features.getMany<{ price: number }>(
    'items',
    candidates.map(({ id }) => id),
  )
  const tags: readonly string[] = ctx.request.user.tags
  return [topK, row?.price ?? 0, tags.length]
}

export const refused: Stage<readonly Candidate[], number[], Tuned> = (candidates, ctx) => {
  // @ts-expect-error the module does not declare this service
  ctx.services.geo
  // @ts-expect-error the stage does not declare this param
  ctx.params.topk
  // @ts-expect-error params are frozen
  ctx.params.topK = 1
  // @ts-expect-error params are frozen at every depth
  ctx.params.weights.push({ price: 1 })
  // @ts-expect-error the request is frozen
  ctx.request.user.tags[0] = 'x'
  // @ts-expect-error the declared input has no such member
  return candidates.map(({ price }) => price)
}

// @ts-expect-error the output is not of the declared type
export const wrongOutput: Stage<unknown, number[]> = () => ['1']

// @ts-expect-error the output of an async stage is not of the declared type
export const wrongAsyncOutput: Stage<unknown, number[]> = async () => ['1']

// @ts-expect-error there is no such service
export type Unknown = Stage<unknown, unknown, { services: 'database' }>

export const plain: Stage = (_, ctx) => {
  const param: unknown = ctx.params.anything
  // @ts-expect-error a stage that declares no service has none
  ctx.services.features
  return param
}

/** A helper declares what it uses, and accepts the context of any stage that declares at least that. */
export const cheapest = (ctx: StageContext<{ services: 'features' }>) => ctx.services.features.get('items', 1)
export const helped: Stage<unknown, unknown, Tuned> = (_, ctx) => cheapest(ctx)

// @ts-expect-error the stage does not declare what the helper uses
export const unhelped: Stage = (_, ctx) => cheapest(ctx)

export const functionsStay: Frozen<{ run: (x: number) => number }> = { run: x => x }

/** What stands behind a rejection has the type of what is left. */
export const rejecting: Stage<readonly Candidate[] | null, number> = (candidates, ctx) => {
  if (candidates === null) return ctx.reject('NO_LIST', 'There must be a list', { pointer: '' })
  // @ts-expect-error the message is missing
  if (candidates.length > 9) return ctx.reject('TOO_MANY')
  return candidates.length
}
