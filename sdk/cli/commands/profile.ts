/** `sdk profile`: where the time of a slot that serves goes, or what it holds. */
import { createWriteStream } from 'node:fs'
import { readFile, rename, rm, stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { CpuProfile } from '../../../base/contract/profile-api.ts'
import { messageOf } from '../../../base/kernel/errors.ts'
import { SdkError } from '../../sdk-error.ts'
import { usage } from '../arguments.ts'
import type { Context } from '../context.ts'
import { formatBytes } from '../terminal/output.ts'
import { type Summary, summarize } from '../views/top-functions.ts'

export interface ProfileOptions {
  readonly version?: string
  readonly seconds?: string
  readonly cell?: string
  readonly heap?: boolean
  readonly out?: string
}

const TOP = 15

/** What was profiled, and how. */
interface Taken {
  readonly scene: string
  readonly version: string
  readonly cell: number
  readonly file: string
  readonly bytes: number
  /** Milliseconds of CPU that the slot used meanwhile. */
  readonly cpuMs: number
  /** Milliseconds that requests of the slot were held up in all. */
  readonly heldMs: number
}

/** Writes the profile to a file, which appears in one step when it is complete, and prints what it says. */
export async function profile({ client, out }: Context, scene: string, options: ProfileOptions): Promise<void> {
  const kind = options.heap ? 'heap' : 'cpu'
  const seconds = numberOf('seconds', options.seconds ?? '5')
  const body = {
    kind,
    seconds,
    ...(options.version === undefined ? {} : { version: options.version }),
    ...(options.cell === undefined ? {} : { cell: numberOf('cell', options.cell) }),
  }
  out.next(kind === 'heap' ? 'Writing out the heap: requests of the slot wait meanwhile' : `Looking for ${seconds} s`)
  const response = await client.open(`/api/scenes/${encodeURIComponent(scene)}/profiles`, { method: 'POST', body })
  const header = (name: string) => response.headers.get(name) ?? ''
  const version = header('x-scene-version')
  const file = options.out ?? `${scene}-${version}-${stamp(new Date())}.${kind === 'heap' ? 'heapsnapshot' : 'cpuprofile'}`
  const bytes = await save(response, file)
  const facts = {
    cell: Number(header('x-profile-cell')),
    cpuMs: Number(header('x-profile-cpu-ms')),
    heldMs: Number(header('x-profile-held-ms')),
  }
  const taken = { scene, version, ...facts, file, bytes }
  if (kind === 'heap') showHeap(out, taken)
  else showCpu(out, taken, seconds, summarize(JSON.parse(await readFile(file, 'utf8')) as CpuProfile))
}

function numberOf(option: string, text: string): number {
  const value = Number(text)
  if (text.trim() !== '' && Number.isFinite(value)) return value
  throw usage(`Cannot take "${text}" as --${option}: it is no number`, 'Give a number.')
}

/** The time as `20261120-120455`. */
function stamp(time: Date): string {
  return time.toISOString().slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '-')
}

async function save({ body }: Response, file: string): Promise<number> {
  const part = `${resolve(file)}.part`
  try {
    await pipeline(body === null ? [] : Readable.fromWeb(body), createWriteStream(part))
    await rename(part, resolve(file))
    return (await stat(file)).size
  } catch (error) {
    await rm(part, { force: true })
    throw new SdkError('FILE_UNWRITABLE', `Cannot write the profile to "${file}": ${messageOf(error)}`, {
      hint: 'Check the folder and its disk; when the base or the slot ended meanwhile, try again.',
      cause: error,
    })
  }
}

function showHeap(out: Context['out'], taken: Taken): void {
  out.result(taken)
  const { scene, version, cell, file, bytes, heldMs } = taken
  out.say(`${scene} ${version} in cell ${cell}: ${formatBytes(bytes)} in ${file}`)
  out.say(`Requests of that slot waited ${Math.round(heldMs)} ms`)
  out.next('Open it in the Memory tab of DevTools')
}

function showCpu(out: Context['out'], taken: Taken, seconds: number, { samples, functions }: Summary): void {
  const { scene, version, cell, file, cpuMs } = taken
  const top = functions.slice(0, TOP).map(({ name, where, self, total }) => ({
    name,
    where,
    selfMs: rounded(self * cpuMs),
    totalMs: rounded(total * cpuMs),
    selfPercent: rounded(self * 100),
  }))
  out.result({ ...taken, seconds, samples, top })
  out.say(`${scene} ${version} in cell ${cell}: ${Math.round(cpuMs)} ms of CPU in ${seconds} s, ${samples} samples`)
  if (samples === 0) out.warn('There are no samples: the slot hardly ran. Send it requests meanwhile, or look for longer with --seconds')
  else
    out.table(
      ['self', '', 'total', 'function', 'where'],
      top.map(({ name, where, selfMs, totalMs, selfPercent }) => [`${selfMs} ms`, `${selfPercent} %`, `${totalMs} ms`, name, where]),
    )
  out.next(`The whole of it is in ${file}: open it in the Performance tab of DevTools, or in your editor`)
}

const rounded = (value: number): number => Math.round(value * 10) / 10
