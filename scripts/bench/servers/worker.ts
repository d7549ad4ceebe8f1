/** A peer: Fastify that passes each parsed body to one worker thread, with piscina's default settings. */
import Fastify from 'fastify'
import { Piscina } from 'piscina'
import { announce } from './announce.ts'

const pool = new Piscina({ filename: new URL('worker-thread.ts', import.meta.url).href, minThreads: 1, maxThreads: 1 })
const app = Fastify()
app.post('/scenes/rank50', request => pool.run(request.body))
await app.listen({ host: '127.0.0.1', port: 0 })
announce(app.server)
