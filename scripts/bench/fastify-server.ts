/** A peer: bare Fastify with the bench's handler in the same process, without isolation. It prints its port. */
import Fastify from 'fastify'
import type { StageContext } from '../../sdk/author/author.ts'
import { type Input, rank } from './rank50/index.ts'

const app = Fastify()
// The handler reads nothing of its context.
const ctx = {} as StageContext
app.post('/scenes/rank50', request => rank(request.body as Input, ctx))
await app.listen({ host: '127.0.0.1', port: 0 })
const address = app.server.address()
process.stdout.write(`${typeof address === 'object' ? address?.port : address}\n`)
