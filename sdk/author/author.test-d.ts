/** What the types of sdk/author.ts let through and what they refuse. Checked by the compiler, never run. */
import type { Frozen, Stage, StageContext } from './author.ts'

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
  // @ts-expect-error nor does the scene have this param
  ctx.params.topk
  // @ts-expect-error params are frozen
  ctx.params.topK = 1
  // @ts-expect-error as deep as they go
  ctx.params.weights.push({ price: 1 })
  // @ts-expect-error and so is the request
  ctx.request.user.tags[0] = 'x'
  // @ts-expect-error the input is what the stage says
  return candidates.map(({ price }) => price)
}

// @ts-expect-error the output is what the stage says
export const wrongOutput: Stage<unknown, number[]> = () => ['1']

// @ts-expect-error so is that of an async one
export const wrongAsyncOutput: Stage<unknown, number[]> = async () => ['1']

// @ts-expect-error there is no such service
export type Unknown = Stage<unknown, unknown, { services: 'database' }>

export const plain: Stage = (_, ctx) => {
  const param: unknown = ctx.params.anything
  // @ts-expect-error who declares no service has none
  ctx.services.features
  return param
}

/** A helper asks for no more than it uses, and takes the context of any stage that has it. */
export const cheapest = (ctx: StageContext<{ services: 'features' }>) => ctx.services.features.get('items', 1)
export const helped: Stage<unknown, unknown, Tuned> = (_, ctx) => cheapest(ctx)

// @ts-expect-error but not of a stage that has not
export const unhelped: Stage = (_, ctx) => cheapest(ctx)

export const functionsStay: Frozen<{ run: (x: number) => number }> = { run: x => x }
