/** A peer: the ranking as a service of workerd. */
import { type Input, rank } from '../rank50/index.ts'

export default {
  async fetch(request: Request): Promise<Response> {
    const input = (await request.json()) as Input
    return new Response(JSON.stringify(rank(input)), { headers: { 'content-type': 'application/json' } })
  },
}
