/** A peer: plain HTTP that passes each body as text to one worker thread (piscina) and sends the text that it returns. */
import { createServer } from 'node:http'
import { Piscina } from 'piscina'
import { announce } from './announce.ts'

const pool = new Piscina({
  filename: new URL('worker-tuned-thread.ts', import.meta.url).href,
  minThreads: 1,
  maxThreads: 1,
  concurrentTasksPerWorker: 64,
})

const server = createServer((request, response) => {
  const chunks: Buffer[] = []
  request.on('data', (chunk: Buffer) => chunks.push(chunk))
  request.on('end', async () => {
    const json: string = await pool.run(Buffer.concat(chunks).toString('utf8'))
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(json) })
    response.end(json)
  })
})
server.listen(0, '127.0.0.1', () => announce(server))
