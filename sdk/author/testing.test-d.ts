/** What the types of testing.ts accept and what they refuse. The compiler checks this file; it is never run. */
import type { Stage } from '@berth/sdk'
import { featuresOf, openSlot } from '@berth/sdk/testing'

interface Candidate {
  readonly id: number
}

export interface Module {
  recall: Stage<{ user: string }, Candidate[]>
  rank: Stage<readonly Candidate[], number[], { params: { topK: number }; services: 'features'; request: { user: string } }>
  /** An export that is not a stage. */
  version: string
}

export async function typed(): Promise<void> {
  const slot = await openSlot<Module>('x', {
    params: { topK: 3 },
    services: { features: featuresOf({ items: {} }) },
    call: { other: input => input },
    now: new Date(0),
  })
  const { output } = await slot.run('rank', [{ id: 1 }], { request: { user: 'u1' }, unit: 'u1' })
  const ids: number[] = output
  const { output: candidates } = await slot.run('recall', { user: 'u1' }, { params: { topK: ids.length } })
  const found: Candidate[] = candidates
  // @ts-expect-error this is the input of another stage
  await slot.run('recall', found)
  // @ts-expect-error there is no such stage
  await slot.run('rerank', [])
  // @ts-expect-error this export is not a stage
  await slot.run('version', 'x')
  // @ts-expect-error the request has another type
  await slot.run('rank', [], { request: { user: 1 } })
  // @ts-expect-error the stage does not declare this param
  await slot.run('rank', [], { params: { topk: 1 } })
}

// @ts-expect-error no stage uses this service
export const unused = openSlot<{ rank: Stage }>('x', { services: { features: featuresOf({}) } })

// @ts-expect-error the service has no such method
export const misnamed = openSlot<Module>('x', { services: { features: { getAll: () => [] } } })

export const partly = openSlot<Module>('x', { services: { features: { getMany: (table, keys) => keys.map(key => `${table}${key}`) } } })

export async function untyped(): Promise<unknown> {
  const slot = await openSlot('x', { params: { topK: 3 } })
  return (await slot.run('anything', { at: 'all' })).output
}
