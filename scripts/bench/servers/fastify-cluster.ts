/** A peer: two processes of bare Fastify behind one port. node:cluster gives each new connection to the next process in turn. */
import cluster from 'node:cluster'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { print } from './announce.ts'

cluster.setupPrimary({ exec: fileURLToPath(new URL('fastify.ts', import.meta.url)), silent: true })
const workers = [cluster.fork(), cluster.fork()]
const [[address]] = (await Promise.all(workers.map(worker => once(worker, 'listening')))) as [[AddressInfo], ...unknown[]]
print({ port: address.port, pids: [process.pid, ...workers.flatMap(worker => worker.process.pid ?? [])] })
