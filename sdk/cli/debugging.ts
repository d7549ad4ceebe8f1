/** Opens this process to a debugger, which has whatever runs in it from then on: a module too, once plain-isolates.ts gives it a place here. */
import { once } from 'node:events'
import { createServer } from 'node:net'
import { isDebugged } from '../author/rehearsal-process.ts'
import { exitCodes, SdkError } from '../sdk-error.ts'

const HOST = '127.0.0.1'

/**
 * Resolves once a debugger has this process. An editor that started the process has it already; else it waits for the first that comes, on Node's port, or
 * on a free one when that is taken.
 * @returns whether it has waited. A debugger that has come so late knows no breakpoints yet
 * @throws SdkError PORT_TAKEN
 */
export async function openDebugger(): Promise<boolean> {
  if (isDebugged()) return false
  const { open, url, waitForDebugger } = await import('node:inspector')
  open((await isFree(process.debugPort)) ? process.debugPort : 0, HOST, false)
  const address = url()
  if (address === undefined) {
    const hint = 'Run it again; "NODE_OPTIONS=--inspect-port=9300" in the environment names another port.'
    throw new SdkError('PORT_TAKEN', 'Cannot wait for a debugger: Node.js has found no port for one', { hint, exit: exitCodes.usage })
  }
  process.stderr.write(howToAttach(new URL(address)))
  waitForDebugger()
  return true
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer()
  try {
    await once(server.listen({ port, host: HOST, exclusive: true }), 'listening')
    return true
  } catch {
    return false
  } finally {
    server.close()
  }
}

/** Ports at which Chrome looks by itself. */
const CHROME_PORTS: readonly string[] = ['9222', '9229']

function howToAttach({ host, port, pathname }: URL): string {
  const listed = CHROME_PORTS.includes(port) ? 'open chrome://inspect, or ' : ''
  return [
    `Waiting for a debugger on port ${port} of this machine. Ctrl-C ends the wait.`,
    `  Chrome: ${listed}paste devtools://devtools/bundled/js_app.html?experiments=true&v8only=true&ws=${host}${pathname}`,
    '  Editors: attach to a process of Node.js on that port.',
    '',
  ].join('\n')
}
