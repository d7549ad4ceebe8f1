/** Exported capsules as samples of tests: the request, and fakes that give the recorded replies. */

import type { ExportedCapsule } from '../../base/capsule/capsule.ts'
import { type CapsuleContents, contentsOf, type Exchange, type Reply } from '../../base/capsule/contents.ts'
import { messageOf } from '../../base/kernel/errors.ts'
import { readTextFile } from '../../base/kernel/text-file.ts'
import { withCode } from './fakes.ts'
import type { CapturedRequest, FetchFake, SlotOptions } from './testing-api.ts'

export async function readCapsule<Body = unknown>(file: string): Promise<CapturedRequest<Body>> {
  const { capsule, head, entries } = await exportedIn(file)
  const contents = contentsOf(capsule, entries.slice(capsule.entries[0]))
  const { answer, scene, version, unit } = capsule
  return {
    body: JSON.parse(contents.body) as Body,
    unit,
    answer: 'json' in answer ? JSON.parse(answer.json) : undefined,
    failure: 'json' in answer ? undefined : answer.failure,
    at: new Date(Date.parse(capsule.at) - capsule.tookMs),
    params: JSON.parse(contents.params || '{}'),
    ...{ scene, version },
    ...fakesOfCapsule(contents, head.services),
  }
}

async function exportedIn(file: string): Promise<ExportedCapsule> {
  // A test without a capsule need not wait until these are loaded.
  const [{ compileCheck }, { ExportedCapsule }] = await Promise.all([
    import('../../base/kernel/check.ts'),
    import('../../base/contract/capsule-api.ts'),
  ])
  try {
    const { value, faults } = compileCheck(ExportedCapsule)(JSON.parse(await readTextFile(file)))
    if (faults === undefined) return value
    throw new Error(faults.join('; '))
  } catch (error) {
    throw new Error(`Cannot use "${file}" as an exported capsule: ${messageOf(error)}`, { cause: error })
  }
}

/** What a slot is opened with when its test has a capsule. What the test gives itself comes first; services that the module does not declare are left out. */
export function withCapsule(options: SlotOptions, declared: readonly string[]): SlotOptions {
  const { capsule } = options
  if (capsule === undefined) return options
  const known = { ...capsule.services, ...(options.services as CapturedRequest['services'] | undefined) }
  const services = Object.fromEntries(
    Object.entries(known).filter(([service]) => declared.includes(service) || service in (options.services ?? {})),
  )
  return {
    ...{ scene: capsule.scene, version: capsule.version, fetch: capsule.fetch },
    ...options,
    params: { ...capsule.params, ...options.params },
    services,
    call: { ...capsule.call, ...options.call },
  }
}

function fakesOfCapsule({ exchanges }: CapsuleContents, offered: Readonly<Record<string, readonly string[]>>) {
  const replies = new Replies(exchanges)
  const method = (target: string) => [target.split('.')[1] ?? '', (...args: unknown[]) => replies.next('service', target, args)] as const
  const services = Object.entries(offered).map(
    ([service, methods]) => [service, Object.fromEntries(methods.map(name => method(`${service}.${name}`)))] as const,
  )
  const scenes = exchanges.flatMap(({ kind, target }) => (kind === 'call' ? [target] : []))
  const fetch: FetchFake = async request => {
    const text = await request.text()
    return replies.fetched(`${request.method} ${request.url}`, text === '' ? undefined : text)
  }
  return {
    services: Object.fromEntries(services),
    call: Object.fromEntries(scenes.map(scene => [scene, (input: unknown) => replies.next('call', scene, input)])),
    fetch,
  }
}

/** Gives equal questions their recorded replies, in the order in which these were given; after the last one the first again, for another run. */
class Replies {
  readonly #replies: ReadonlyMap<string, readonly Exchange[]>
  readonly #asked = new Map<string, number>()

  constructor(exchanges: readonly Exchange[]) {
    this.#replies = Map.groupBy(exchanges, ({ kind, target, input }) => keyOf(kind, target, kind === 'fetch' ? input : parsed(input)))
  }

  next(kind: 'service' | 'call', target: string, input: unknown): unknown {
    const { ok, text } = this.#find(kind, target, input)
    if (ok) return JSON.parse(text)
    const { code, message } = JSON.parse(text) as { readonly code: Parameters<typeof withCode>[0]; readonly message: string }
    throw withCode(code, message)
  }

  fetched(target: string, body: string | undefined): Response {
    const { ok, text, isBase64 = false, status = 200, headers = [] } = this.#find('fetch', target, body)
    if (!ok) throw new Error((JSON.parse(text) as { readonly message: string }).message)
    const bytes = isBase64 ? Buffer.from(text, 'base64') : text
    return new Response(status === 204 || status === 304 ? null : bytes, { status, headers: headers.map(([name, value]) => [name, value]) })
  }

  #find(kind: Exchange['kind'], target: string, input: unknown): Reply {
    const key = keyOf(kind, target, input)
    const found = this.#replies.get(key) ?? []
    const count = this.#asked.get(key) ?? 0
    this.#asked.set(key, count + 1)
    const reply = found[count % found.length]?.reply
    if (reply !== undefined) return reply
    const asked = input === undefined ? target : `${target} with ${JSON.stringify(input)}`
    throw new Error(`The capsule has no reply to ${asked}: give the slot a fake of its own for it`)
  }
}

const keyOf = (kind: Exchange['kind'], target: string, input: unknown): string => `${kind} ${target} ${JSON.stringify(input)}`

function parsed(json: string | undefined): unknown {
  return json === undefined ? undefined : JSON.parse(json)
}
