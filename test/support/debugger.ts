/** A debugger like that of VS Code: it has every process that is started with its environment, and finds the lines of sources by source maps. */
import { type ChildProcess, type ChildProcessByStdio, spawn } from 'node:child_process'
import { on, once } from 'node:events'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { generatedPositionFor, LEAST_UPPER_BOUND, originalPositionFor, TraceMap } from '@jridgewell/trace-mapping'

/** A line of a source. */
export interface Line {
  /** URL of the file. */
  readonly source: string
  /** From 1. */
  readonly line: number
}

/** What `launch` is given, as a launch configuration says it. */
export interface Launch {
  readonly runtimeExecutable: string
  readonly runtimeArgs: readonly string[]
  readonly cwd: string
  /** @default that of this process */
  readonly env?: NodeJS.ProcessEnv
}

/** A process that is stopped at a breakpoint, or at the step after it. */
export interface Stop {
  /** Undefined in code without a source map. */
  readonly at: Line | undefined
  /** The value of an expression there, as JSON holds it. */
  evaluate(expression: string): Promise<unknown>
  /** Goes on to the next line. */
  stepOver(): Promise<Stop>
  resume(): Promise<void>
}

type Message = Readonly<Record<string, unknown>>

interface Paused {
  readonly reason: string
  readonly data?: { readonly scriptId?: string }
  readonly callFrames: readonly {
    readonly callFrameId: string
    readonly location: { readonly scriptId: string; readonly lineNumber: number; readonly columnNumber: number }
  }[]
}

const bootloader = fileURLToPath(new URL('debugger-bootloader.cjs', import.meta.url))

export class Debugger {
  readonly #stops: Stop[] = []
  #waiting: PromiseWithResolvers<Stop> | undefined

  /** Starts a process, and stops it and those that it starts at the breakpoints. */
  async launch(
    t: TestContext,
    { runtimeExecutable, runtimeArgs, cwd }: Launch,
    breakpoints: readonly Line[],
  ): Promise<ChildProcessByStdio<null, Readable, Readable>> {
    const path = join(tmpdir(), `berth-debugger-${process.pid}.sock`)
    const server = createServer(connection => {
      connection.setEncoding('utf8').once('data', (url: string) => void new Session(url, breakpoints, stop => this.#onStop(stop)))
    })
    t.after(() => server.close())
    await once(server.listen(path), 'listening')
    const env = { ...process.env, NODE_OPTIONS: `--require ${bootloader}`, TEST_DEBUGGER: path }
    const child = spawn(runtimeExecutable, runtimeArgs, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] })
    return this.#follow(child)
  }

  /** Starts a process that waits for a debugger, and comes to the address that it prints, as Chrome does: no breakpoint is set before code runs. */
  async attach({ runtimeExecutable, runtimeArgs, cwd, env }: Launch): Promise<ChildProcessByStdio<null, Readable, Readable>> {
    const child = spawn(runtimeExecutable, runtimeArgs, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] })
    const printed = await untilPrinted(child.stderr, /ws=(\S+)/)
    new Session(`ws://${printed}`, [], stop => this.#onStop(stop))
    return this.#follow(child)
  }

  #follow<Child extends ChildProcess>(child: Child): Child {
    child.on('exit', () => this.#waiting?.reject(new Error('It ended without another stop')))
    return child
  }

  /** The next stop at a breakpoint, in any of the processes. */
  stopped(): Promise<Stop> {
    const stop = this.#stops.shift()
    if (stop !== undefined) return Promise.resolve(stop)
    this.#waiting = Promise.withResolvers<Stop>()
    return this.#waiting.promise
  }

  #onStop(stop: Stop): void {
    if (this.#waiting === undefined) this.#stops.push(stop)
    else this.#waiting.resolve(stop)
    this.#waiting = undefined
  }
}

/** What the pattern captures in the text so far. Rejects when the text ends before. */
async function untilPrinted(stream: Readable, pattern: RegExp): Promise<string> {
  let text = ''
  for await (const [chunk] of on(stream.setEncoding('utf8'), 'data', { close: ['end'] })) {
    text += chunk
    const [, captured] = pattern.exec(text) ?? []
    if (captured !== undefined) return captured
  }
  throw new Error(`It has not printed ${pattern}: ${text}`)
}

/** One process. */
class Session {
  readonly #socket: WebSocket
  readonly #breakpoints: readonly Line[]
  readonly #onStop: (stop: Stop) => void
  readonly #replies = new Map<number, (result: Message) => void>()
  /** By the id of the script. */
  readonly #maps = new Map<string, TraceMap>()
  #last = 0
  #onStep: ((stop: Stop) => void) | undefined

  constructor(url: string, breakpoints: readonly Line[], onStop: (stop: Stop) => void) {
    this.#socket = new WebSocket(url)
    this.#breakpoints = breakpoints
    this.#onStop = onStop
    this.#socket.addEventListener('open', () => void this.#begin())
    this.#socket.addEventListener('message', ({ data }) => this.#take(JSON.parse(String(data)) as Message))
  }

  async #begin(): Promise<void> {
    await this.#ask('NodeRuntime.notifyWhenWaitingForDisconnect', { enabled: true })
    await this.#ask('Debugger.enable')
    await this.#ask('Debugger.setInstrumentationBreakpoint', { instrumentation: 'beforeScriptWithSourceMapExecution' })
    // Node strips types in place, so a test is loaded under its own URL, with its own lines.
    for (const { source, line } of this.#breakpoints) await this.#ask('Debugger.setBreakpointByUrl', { url: source, lineNumber: line - 1 })
    await this.#ask('Runtime.runIfWaitingForDebugger')
  }

  #ask(method: string, params: object = {}): Promise<Message> {
    const id = ++this.#last
    this.#socket.send(JSON.stringify({ id, method, params }))
    return new Promise(resolve => this.#replies.set(id, resolve))
  }

  #take({ id, result, method, params }: Message): void {
    if (typeof id === 'number') this.#replies.get(id)?.((result ?? {}) as Message)
    else if (method === 'Debugger.scriptParsed') this.#onScript(params as { readonly scriptId: string; readonly sourceMapURL?: string })
    else if (method === 'NodeRuntime.waitingForDisconnect') this.#socket.close()
    else if (method === 'Debugger.paused') void this.#onPaused(params as Paused)
  }

  #onScript({ scriptId, sourceMapURL = '' }: { readonly scriptId: string; readonly sourceMapURL?: string }): void {
    const [, base64] = /^data:application\/json;base64,(.*)$/s.exec(sourceMapURL) ?? []
    if (base64 !== undefined) this.#maps.set(scriptId, new TraceMap(Buffer.from(base64, 'base64').toString('utf8')))
  }

  async #onPaused(paused: Paused): Promise<void> {
    if (paused.reason === 'instrumentation') {
      await this.#breakIn(String(paused.data?.scriptId))
      await this.#ask('Debugger.resume')
      return
    }
    const told = this.#onStep ?? this.#onStop
    this.#onStep = undefined
    told(this.#stopAt(paused))
  }

  /** The script has not run yet. */
  async #breakIn(scriptId: string): Promise<void> {
    const map = this.#maps.get(scriptId)
    for (const { source, line } of this.#breakpoints) {
      if (!map?.sources.includes(source)) continue
      const found = generatedPositionFor(map, { source, line, column: 0, bias: LEAST_UPPER_BOUND })
      if (found.line === null) continue
      await this.#ask('Debugger.setBreakpoint', { location: { scriptId, lineNumber: found.line - 1, columnNumber: found.column } })
    }
  }

  #stopAt({ callFrames: [frame] }: Paused): Stop {
    if (frame === undefined) throw new Error('V8 has stopped in no function')
    const { callFrameId } = frame
    return {
      at: this.#sourceOf(frame),
      evaluate: async expression => {
        const { result } = await this.#ask('Debugger.evaluateOnCallFrame', { callFrameId, expression, returnByValue: true })
        return (result as { readonly value?: unknown }).value
      },
      stepOver: async () => {
        const stepped = new Promise<Stop>(resolve => (this.#onStep = resolve))
        await this.#ask('Debugger.stepOver')
        return stepped
      },
      resume: async () => void (await this.#ask('Debugger.resume')),
    }
  }

  #sourceOf({ location }: Paused['callFrames'][number]): Line | undefined {
    const map = this.#maps.get(location.scriptId)
    if (map === undefined) return undefined
    const { source, line } = originalPositionFor(map, { line: location.lineNumber + 1, column: location.columnNumber })
    return source === null ? undefined : { source, line }
  }
}
