/** The bench's handler as a workerd service. */
import type { StageContext } from '../../sdk/author/author.ts'
import { type Input, rank } from './rank50/index.ts'

const ctx = {} as StageContext

export default {
  async fetch(request: Request): Promise<Response> {
    const input = (await request.json()) as Input
    return new Response(JSON.stringify(rank(input, ctx)), { headers: { 'content-type': 'application/json' } })
  },
}
