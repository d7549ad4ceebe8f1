/** `sdk invoke`: calls a scene and shows the answer and who gave it. */
import type { InvocationAnswer } from '../../api/client.ts'
import { parseVersion, usage } from '../arguments.ts'
import type { Context } from '../context.ts'
import { lastRequest, rememberRequest } from '../files/last-request.ts'
import { bodyIn, firstSample, warnOfRounding } from '../files/sample.ts'
import { readStdin } from '../files/text.ts'
import { colorsFor } from '../terminal/colors.ts'
import type { Output } from '../terminal/output.ts'
import { demandOnThisMachine, inspectRequest } from './run-capsule.ts'

export interface InvokeOptions {
  readonly data?: string
  readonly file?: string
  readonly unit?: string
  readonly version?: string
  readonly header?: readonly string[]
  readonly url?: string
  /** Has the request captured, and answers the capsule again under a debugger. */
  readonly inspect?: boolean
}

/** The answer goes to standard output, the line about it to standard error, so that the answer can be piped. */
export async function invoke(context: Context, scene: string, options: InvokeOptions): Promise<void> {
  const { client, out } = context
  if (options.inspect) demandOnThisMachine(client.base)
  const { unit, url } = options
  const version = options.version === undefined ? undefined : parseVersion(options.version)
  const headers = { ...parseHeaders(options.header ?? []), ...(options.inspect && { 'x-scene-capture': '1' }) }
  const { body, note } = await readBody(options, () => defaultBody(client.base, scene))
  if (note !== undefined) out.next(note)
  const send = () => client.invoke(scene, { body, unit, version, url, headers })
  if (options.inspect) {
    await rememberRequest(client.base, scene, body)
    await inspectRequest(context, scene, send, answer => show(out, answer))
    return
  }
  const answer = await send()
  await rememberRequest(client.base, scene, body)
  out.result(answer)
  show(out, answer)
  warnOfRounding(out, body)
}

function show(out: Output, answer: InvocationAnswer): void {
  out.say(JSON.stringify(answer.body, null, 2))
  process.stderr.write(`${describeAnswer(answer)}\n`)
}

function describeAnswer({ status, version, because, durationMs, requestId, capsule }: InvocationAnswer): string {
  const colors = colorsFor(process.stderr)
  const about = [
    `because ${because}`,
    `${durationMs.toFixed(1)} ms`,
    `request ${requestId}`,
    ...(capsule === undefined ? [] : [`capsule ${capsule}`]),
  ]
  return `${colors.green(String(status))} ${version} ${colors.dim(about.join(' · '))}`
}

interface Body {
  readonly body: string
  /** Where the body comes from, when nobody named it. */
  readonly note?: string
}

async function readBody({ data, file }: InvokeOptions, byDefault: () => Promise<Body>): Promise<Body> {
  if (data !== undefined && file !== undefined) throw usage('Cannot take both --data and --file', 'Give one of them.')
  if (data !== undefined) return { body: data }
  if (file === undefined && process.stdin.isTTY) return byDefault()
  if (file !== undefined && file !== '-') return { body: await bodyIn(file) }
  const body = await readStdin()
  if (body !== '') return { body }
  throw usage('Cannot send nothing: standard input is empty', `Give a body: --data '{}', --file request.json, or pipe one in.`)
}

/**
 * The body when none is named or piped in: that of the last request, else a sample. This is what "Try it" in the output of other commands
 * means.
 */
async function defaultBody(base: URL, scene: string): Promise<Body> {
  const last = await lastRequest(base, scene)
  if (last !== undefined) return { body: last, note: 'Sending what was sent last.' }
  const sample = await firstSample('.', scene)
  return sample === undefined ? { body: '{}', note: 'Sending {}.' } : { body: await bodyIn(sample), note: `Sending ${sample}.` }
}

function parseHeaders(headers: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    headers.map(header => {
      const [, name, value] = /^([^:\s]+):\s*(.*)$/.exec(header) ?? []
      if (name === undefined || value === undefined)
        throw usage(`Cannot send the header "${header}": it has no name`, 'Write it as "name: value".')
      return [name, value]
    }),
  )
}
