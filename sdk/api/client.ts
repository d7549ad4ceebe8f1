/** A typed client of a base: its control API, and its scenes. */
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { tokenPath } from '../../base/folder/paths.ts'
import type { Lock, ModuleManifest, Right, SceneDefinition, SceneDraft, VersionRecord } from '../../base/traffic/schema.ts'
import { exitCodes, RefusedError, SdkError } from '../sdk-error.ts'
import { authorization, type Call, caller, type OpenRequest, openAt } from './requests.ts'
import {
  type AppliedCells,
  createRulesClient,
  type Placed,
  type RulesClient,
  type Share,
  type Timings,
  type VersionKind,
  type VersionState,
} from './rules-client.ts'

export type { AppliedCells, Timings }

export const DEFAULT_BASE = 'http://127.0.0.1:8081'

/** Where the base of this machine answers: it is told its port by the same variable. @throws SdkError USAGE when that holds no port */
export function localBase(): URL {
  const { BERTH_CONTROL_PORT: port } = process.env
  return parseBase(port ? `http://127.0.0.1:${port}` : DEFAULT_BASE)
}

export interface ClientOptions {
  /** URL of the control API. @default the environment variable BERTH_BASE, else port BERTH_CONTROL_PORT of this machine, else 8081 */
  readonly base?: string | undefined
  /**
   * @default the environment variable BERTH_TOKEN, else what is in the file `token` of the data folder: BERTH_DATA, else `./.berth`, else,
   * for a base on this machine, `.berth` of this project, where `npm start` puts it
   */
  readonly token?: string | undefined
}

export interface PublishedModule extends ModuleManifest {
  readonly publishedAt: string
  readonly publishedBy: string
}

export interface SceneState {
  readonly definition: SceneDefinition
  /** Null until the first version is made baseline. */
  readonly baseline: string | null
  readonly cutover: { readonly version: string; readonly share: Share } | null
  /** The version that answers load tests; null: the baseline. */
  readonly loadtest: string | null
  /** Goes into the `revision` of the next write. */
  readonly revision: number
}

export interface NewVersion {
  /** `name@version` of published modules that replace those of the same name. */
  readonly modules?: readonly string[]
  /** The version whose lock it starts from. @default the baseline */
  readonly from?: string
  /** Resolves every range of the group again. */
  readonly resolve?: boolean
  /** Takes a version that has exactly this lock instead of making another. */
  readonly reuse?: boolean
  readonly label?: string
  /** @default dev: it answers whoever pins it, or is on its whitelist */
  readonly as?: VersionKind
  /** Of a cutover. */
  readonly share?: Share
  /** Unit ids that are sent to it from then on. */
  readonly whitelist?: readonly string[]
  readonly reason?: string
}

export interface PublishReceipt extends PublishedModule {
  /** False when the same version with the same bytes was there already. */
  readonly created: boolean
  readonly timings: Timings
}

export interface VersionChange extends Omit<Placed, 'version' | 'revision'> {
  /** False when it was there already. */
  readonly created: boolean
  /** Whether this made it the baseline. */
  readonly switched: boolean
  readonly version: VersionRecord
  readonly lock: Lock
  /** Of the scene, afterwards. */
  readonly baseline: string | null
  readonly revision: number
}

export interface TokenInfo {
  readonly id: string
  readonly label: string
  readonly rights: readonly Right[]
  readonly createdAt: string
  readonly createdBy: string
}

export interface BaseStatus {
  /** Where the scenes answer; null while the base is starting. */
  readonly port: number | null
  readonly controlPort: number
  /** Of the store. */
  readonly revision: number
  /** Of the scene table that every cell should have. */
  readonly tableRevision: number
  readonly keeper: { readonly pid: number; readonly uptimeSeconds: number }
  readonly cells: readonly CellState[]
}

export interface CellState {
  /** Its ordinal; a retiring cell and its replacement share one. */
  readonly cell: number
  readonly pid: number
  /** `starting`, `ready` or `retiring`; `unknown` until the supervisor has told. */
  readonly state: string
  /** To the keeper. */
  readonly connected: boolean
  /** Of the scene table in force there. */
  readonly revision: number | null
  /** Baselines that cannot answer there. */
  readonly failures: readonly { readonly scene: string; readonly version: string; readonly code: string; readonly message: string }[]
  readonly rssMB?: number
  readonly connections?: number
  readonly startedAt?: string
  /** Since the base started. */
  readonly crashes?: number
}

export interface Invocation {
  /** JSON text. */
  readonly body: string
  readonly unit?: string | undefined
  /** Pins a version; needs a token with the right "pin". */
  readonly version?: string | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** URL of the scene port. @default the host of the base with the port that its status names */
  readonly url?: string | undefined
}

export interface InvocationAnswer {
  readonly status: number
  readonly version: string | undefined
  readonly because: string | undefined
  readonly requestId: string | undefined
  /** From sending the request to having the whole answer. */
  readonly durationMs: number
  readonly body: unknown
}

export interface AuditEntry {
  readonly revision: number
  readonly at: string
  readonly who: string
  readonly action: string
  readonly target: string
  readonly reason?: string
  readonly before: unknown
  readonly after: unknown
}

/**
 * Every method
 * @throws RefusedError when the base refuses, with its problem document; SdkError BASE_UNREACHABLE when no base answers, and
 * ANSWER_UNEXPECTED when what answers is no base.
 */
export interface Client extends RulesClient {
  /** URL of the control API. */
  readonly base: URL
  /** False too when the token does not do for asking. */
  hasBlob(digest: string): Promise<boolean>
  putBlob(digest: string, bytes: string): Promise<void>
  publishModule(manifest: ModuleManifest): Promise<PublishReceipt>
  modules(name?: string): Promise<readonly PublishedModule[]>
  scenes(): Promise<readonly SceneState[]>
  scene(id: string): Promise<SceneState>
  /** @param revision what `scene` said it was, undefined for a new scene; REVISION_CONFLICT when it is another by now. */
  putScene(definition: SceneDraft, revision: number | undefined): Promise<SceneState>
  versions(scene: string): Promise<readonly VersionState[]>
  createVersion(scene: string, request: NewVersion): Promise<VersionChange>
  tokens(): Promise<readonly TokenInfo[]>
  /** The only time the base tells the token itself. */
  createToken(rights: readonly Right[], label: string): Promise<TokenInfo & { readonly token: string }>
  revokeToken(id: string): Promise<void>
  /** Newest first. @param scene only what was done to this one */
  audit(limit: number, scene?: string): Promise<readonly AuditEntry[]>
  /** Prometheus text: of the keeper and all cells. */
  metrics(): Promise<string>
  status(): Promise<BaseStatus>
  retireCell(cell: number): Promise<void>
  /**
   * Where the scenes answer, and the headers that say who calls, for those who call in a way of their own.
   * @param url of the scene port, when it is known
   */
  scenePort(url?: string): Promise<{ readonly url: URL; readonly headers: Readonly<Record<string, string>> }>
  /** Calls a scene. */
  invoke(scene: string, invocation: Invocation): Promise<InvocationAnswer>
  /** Asks the control API for what is long or does not end, and resolves when the answer begins. */
  open(path: string, request: OpenRequest): Promise<Response>
}

/** @throws SdkError USAGE when `base` is no URL; no request is made yet. */
export function createClient(options: ClientOptions = {}): Client {
  const named = options.base ?? process.env.BERTH_BASE
  const base = named === undefined ? localBase() : parseBase(named)
  const token = options.token ?? process.env.BERTH_TOKEN ?? savedToken(base)
  const call = caller(base, token)
  const json = async <T>(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<T> =>
    (await call(new URL(path, base), { method, ...(body === undefined ? {} : { body: JSON.stringify(body) }), headers: headers ?? {} }))
      .body as T
  const text = async (path: string) => (await openAt(new URL(path, base), token, {})).text()
  const client: Client = {
    base,
    ...createRulesClient({
      json,
      text,
      putText: async <T>(path: string, lines: string) => {
        const headers = { 'content-type': 'text/plain; charset=utf-8' }
        return (await call(new URL(path, base), { method: 'PUT', body: lines, headers })).body as T
      },
    }),
    metrics: () => text('/metrics'),
    hasBlob: async digest => {
      // An answer to HEAD cannot say what is wrong with the token; that to the upload does.
      const { status } = await call(new URL(`/api/blobs/${digest}`, base), { method: 'HEAD' }, [401, 403, 404])
      return status === 200
    },
    putBlob: async (digest, bytes) => {
      const headers = { 'content-type': 'application/octet-stream' }
      await call(new URL(`/api/blobs/${digest}`, base), { method: 'PUT', body: bytes, headers })
    },
    publishModule: manifest => json('POST', '/api/modules', { manifest }),
    modules: name => json('GET', name === undefined ? '/api/modules' : `/api/modules?name=${encodeURIComponent(name)}`),
    scenes: () => json('GET', '/api/scenes'),
    scene: id => json('GET', scenePath(id)),
    putScene: (definition, revision) =>
      json(
        'PUT',
        scenePath(definition.id),
        definition,
        revision === undefined ? { 'if-none-match': '*' } : { 'if-match': `"${revision}"` },
      ),
    versions: scene => json('GET', `${scenePath(scene)}/versions`),
    createVersion: (scene, request) => json('POST', `${scenePath(scene)}/versions`, request),
    tokens: () => json('GET', '/api/tokens'),
    createToken: (rights, label) => json('POST', '/api/tokens', { rights, label }),
    revokeToken: id => json('DELETE', `/api/tokens/${encodeURIComponent(id)}`),
    audit: (limit, scene) => json('GET', `/api/audit?limit=${limit}${scene === undefined ? '' : `&scene=${encodeURIComponent(scene)}`}`),
    status: () => json('GET', '/api/status'),
    retireCell: cell => json('POST', `/api/cells/${cell}/retire`),
    scenePort: async url => ({ url: url === undefined ? await sceneUrl(client) : parseBase(url), headers: authorization(token) }),
    invoke: async (scene, invocation) => {
      const { url } = await client.scenePort(invocation.url)
      return invokeAt(call, new URL(`/scenes/${encodeURIComponent(scene)}`, url), invocation)
    },
    open: (path, request) => openAt(new URL(path, base), token, request),
  }
  return client
}

const scenePath = (id: string): string => `/api/scenes/${encodeURIComponent(id)}`

function parseBase(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url?.protocol === 'http:' || url?.protocol === 'https:') return url
  throw new SdkError('USAGE', `Cannot use "${text}" as the URL of a base: it is no http URL`, {
    hint: `Write it like ${DEFAULT_BASE}.`,
    exit: exitCodes.usage,
  })
}

const project = fileURLToPath(new URL('../..', import.meta.url))
const loopback: readonly string[] = ['127.0.0.1', 'localhost', '[::1]']

/** The token that the first start of a base left in its data folder, when that is at hand. */
function savedToken(base: URL): string | undefined {
  const folders = [process.env.BERTH_DATA ?? '.berth']
  // From the folder of a module that "sdk init" has linked to this project. It is no other machine's business.
  if (process.env.BERTH_DATA === undefined && loopback.includes(base.hostname)) folders.push(join(project, '.berth'))
  for (const folder of folders) {
    try {
      return readFileSync(tokenPath(resolve(folder)), 'utf8').trim()
    } catch {
      // Not on the machine of the base, or not its user: calls go without a token, and the base says which right they lack.
    }
  }
  return undefined
}

async function sceneUrl(client: Client): Promise<URL> {
  const { port } = await client.status().catch(error => {
    if (!(error instanceof RefusedError)) throw error
    const message = `Cannot find out where the scenes of ${client.base.origin} answer: ${error.message}`
    throw new SdkError(error.code, message, { hint: 'Name it with --url, such as http://127.0.0.1:8080.', cause: error })
  })
  if (port === null) {
    const hint = 'Try again in a moment, or name where its scenes answer with --url.'
    throw new SdkError('ANSWER_UNEXPECTED', `Cannot call a scene: the base at ${client.base.origin} does not serve scenes yet`, { hint })
  }
  const url = new URL(client.base)
  url.port = String(port)
  return url
}

async function invokeAt(call: Call, url: URL, { body, unit, version, headers }: Invocation): Promise<InvocationAnswer> {
  const startedAt = performance.now()
  const answer = await call(url, {
    method: 'POST',
    body,
    headers: {
      ...(unit === undefined ? {} : { 'x-unit-id': asHeader(unit) }),
      ...(version === undefined ? {} : { 'x-scene-version': version }),
      ...headers,
    },
  })
  return {
    status: answer.status,
    version: answer.headers.get('x-scene-version') ?? undefined,
    because: answer.headers.get('x-scene-because') ?? undefined,
    requestId: answer.headers.get('x-request-id') ?? undefined,
    durationMs: performance.now() - startedAt,
    body: answer.body,
  }
}

/** UTF-8 in a header, which fetch takes byte by byte. */
function asHeader(text: string): string {
  return Buffer.from(text).toString('latin1')
}
