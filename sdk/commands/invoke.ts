/** `sdk invoke`: calls a scene and shows the answer and who gave it. */
import { readFile } from 'node:fs/promises'
import { text } from 'node:stream/consumers'
import { messageOf } from '../../base/kernel/errors.ts'
import { usage } from '../arguments.ts'
import { colorsFor } from '../colors.ts'
import type { Context } from '../context.ts'
import type { InvocationAnswer } from '../control.ts'
import { SdkError } from '../errors.ts'
import { lastRequest, rememberRequest } from '../last-request.ts'

export interface InvokeOptions {
  readonly data?: string
  readonly file?: string
  readonly unit?: string
  readonly version?: string
  readonly header?: readonly string[]
  readonly url?: string
}

/** The answer goes to standard output, the line about it to standard error, so that the answer can be piped. */
export async function invoke({ client, out }: Context, scene: string, options: InvokeOptions): Promise<void> {
  const { unit, version, url } = options
  const headers = parseHeaders(options.header ?? [])
  const body = await readBody(options, () => lastRequest(client.base, scene))
  const answer = await client.invoke(scene, { body, unit, version, url, headers })
  await rememberRequest(client.base, scene, body)
  out.result(answer)
  out.say(JSON.stringify(answer.body, null, 2))
  process.stderr.write(`${describeAnswer(answer)}\n`)
}

function describeAnswer({ status, version, because, durationMs, requestId }: InvocationAnswer): string {
  const colors = colorsFor(process.stderr)
  return `${colors.green(String(status))} ${version} ${colors.dim(`because ${because} · ${durationMs.toFixed(1)} ms · request ${requestId}`)}`
}

/** Where nobody pipes a body in, the last one goes again: it is what "Try it" in the output of other commands means. */
async function readBody({ data, file }: InvokeOptions, last: () => Promise<string | undefined>): Promise<string> {
  if (data !== undefined && file !== undefined) throw usage('Cannot take both --data and --file', 'Give one of them.')
  if (data !== undefined) return data
  if (file === undefined && process.stdin.isTTY) return (await last()) ?? '{}'
  if (file === undefined || file === '-') return text(process.stdin)
  return readFile(file, 'utf8').catch(error => {
    throw new SdkError('FILE_UNREADABLE', `Cannot read "${file}": ${messageOf(error)}`, { hint: 'Check the path.', cause: error })
  })
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
