/** A peer: bare Fastify with the stages of the bench in the same process, without isolation. */
import Fastify from 'fastify'
import { filter } from '../filter50/index.ts'
import { type Input, rank } from '../rank50/index.ts'
import { top } from '../top10/index.ts'
import { announce } from './announce.ts'

const app = Fastify()
app.post('/scenes/rank50', request => rank(request.body as Input))
app.post('/scenes/rank50-three', request => top(rank(filter(request.body as Input))))
await app.listen({ host: '127.0.0.1', port: 0 })
announce(app.server)
