/** A typed client of a base: its control API, and its scenes. The types are those of the contract. */
import type { ExportedCapsule } from '../../base/capsule/capsule.ts'
import type { AuditEntry } from '../../base/contract/audit-api.ts'
import type * as capsules from '../../base/contract/capsule-api.ts'
import type { Reasoned, Tried } from '../../base/contract/common-api.ts'
import type * as experiments from '../../base/contract/experiment-api.ts'
import type { ExplainRequest, Explanation } from '../../base/contract/explain-api.ts'
import type * as features from '../../base/contract/feature-api.ts'
import type { DeletedModules, Module, ModulesToDelete, PublishedModule } from '../../base/contract/module-api.ts'
import type * as params from '../../base/contract/params-api.ts'
import type { DefinedScene, DeletedScene, SceneDeletion, SceneDraft, SceneView } from '../../base/contract/scene-api.ts'
import type { BaseService } from '../../base/contract/service-api.ts'
import type { BaseStatus } from '../../base/contract/status-api.ts'
import type { CreatedToken, RevokedToken, TokenView } from '../../base/contract/token-api.ts'
import type * as versions from '../../base/contract/version-api.ts'
import type { RulesView, WhitelistChange, WhitelistEdit } from '../../base/contract/whitelist-api.ts'
import { parseKeepingNumbers } from '../../base/kernel/exact-json.ts'
import { headerOf } from '../../base/kernel/headers.ts'
import { limits } from '../../base/kernel/limits.ts'
import { RELEASE_BEFORE_SERVES } from '../../base/kernel/origin.ts'
import type { ModuleManifest, Right } from '../../base/traffic/schema.ts'
import { exitCodes, RefusedError, SdkError } from '../sdk-error.ts'
import { authorization, type Call, caller, demandFound, type OpenRequest, openAt, type Request } from './requests.ts'

export interface ClientOptions {
  /** URL of the control API. */
  readonly base: string | URL
  /** Requests go without one when it is missing, and the base says which right is needed. */
  readonly token?: string | undefined
  /** Where a base was looked for in vain, in order. Then every request to `base` fails with this list. */
  readonly tried?: readonly string[] | undefined
  /** Takes a sentence, for people, about why a change waits. */
  readonly onWait?: (sentence: string) => void
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
  /** The id of its capsule, or `none; ` and why it has none though it asked for one. */
  readonly capsule?: string
  /** Milliseconds from sending the request to having the whole answer. */
  readonly durationMs: number
  /** The answer. In it, numbers beyond 2^53 are as `parseKeepingNumbers` makes them, so that they are shown with all their digits. */
  readonly body: unknown
}

export type Client = ReturnType<typeof createClient>

/**
 * Makes a client, without a request yet. A `revision` is the one that was read, so that a write changes what was shown, or is refused with
 * REVISION_CONFLICT. Every method throws RefusedError when the base refuses, with its problem document; SdkError BASE_UNREACHABLE when no
 * base answers; and SdkError ANSWER_UNEXPECTED when what answers is no base.
 * @throws SdkError USAGE when `base` is no URL
 */
export function createClient({ base: named, token, tried, onWait }: ClientOptions) {
  const base = parseBase(String(named))
  const explainWait = async () => {
    // Whoever may make changes need not be allowed to read the status.
    const status = await calls.status().catch(() => undefined)
    if (status?.release?.fixed === RELEASE_BEFORE_SERVES) onWait?.(`The change waits: the base was upgraded, and ${RELEASE_BEFORE_SERVES}`)
  }
  const call = caller(base, token, { tried, ...(onWait && { onSlow: () => void explainWait() }) })
  const control = controlOf(base, call)
  const calls = baseCalls(control)
  const scenePort = async (url?: string) => ({
    ...{ url: url === undefined ? await sceneUrl(base, calls.status) : parseBase(url), headers: authorization(token) },
  })
  return {
    /** URL of the control API. */
    base,
    /** Sends the control API a request whose answer is long or does not end, and resolves when the answer begins. */
    open: async (path: string, request: OpenRequest): Promise<Response> => {
      const url = new URL(path, base)
      demandFound(url, base, tried)
      return openAt(url, token, request)
    },
    /**
     * The URL where the scenes answer, and the headers that say who calls, for callers that send requests in their own way.
     * @param url of the scene port, when it is known
     */
    scenePort,
    /** Calls a scene. */
    invoke: async (scene: string, invocation: Invocation): Promise<InvocationAnswer> => {
      const { url } = await scenePort(invocation.url)
      return invokeAt(call, new URL(`/scenes/${encodeURIComponent(scene)}`, url), invocation)
    },
    ...calls,
    ...moduleCalls(control),
    ...featureCalls(control),
    ...sceneCalls(control),
    ...versionCalls(control),
    ...whitelistCalls(control),
    ...experimentCalls(control),
    ...paramsCalls(control),
    ...capsuleCalls(control),
  }
}

type Control = ReturnType<typeof controlOf>

/** Requests to the control API, by path. The types of the answers are those of the contract. */
function controlOf(base: URL, call: Call) {
  const ask = (path: string, request: Request) => call(new URL(path, base), request)
  const write = async <T>(method: 'POST' | 'PUT' | 'PATCH' | 'DELETE', path: string, body?: unknown, revision?: number): Promise<T> => {
    const headers = revision === undefined ? {} : { 'if-match': `"${revision}"` }
    return (await ask(path, { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) })).body as T
  }
  return {
    ask,
    write,
    post: <T>(path: string, body: unknown, revision?: number) => write<T>('POST', path, body, revision),
    get: async <T>(path: string) => (await ask(path, { method: 'GET' })).body as T,
    text: async (path: string) => (await ask(path, { method: 'GET', isText: true })).text,
  }
}

const moduleCalls = ({ ask, get, post }: Control) => ({
  /** False also when the token lacks the right: an answer to HEAD cannot say what is wrong, but the answer to the upload does. */
  hasBlob: async (digest: string) => (await ask(`/api/blobs/${digest}`, { method: 'HEAD', expected: [401, 403, 404] })).status === 200,
  putBlob: async (digest: string, bytes: string | Blob): Promise<void> => {
    const headers = { 'content-type': 'application/octet-stream' }
    await ask(`/api/blobs/${digest}`, { method: 'PUT', body: bytes, headers, repeat: 'freely', msMax: limits.control.uploadTimeoutMs })
  },
  publishModule: (manifest: ModuleManifest) => post<PublishedModule>('/api/modules', { manifest }),
  deleteModules: (name: string, wanted: ModulesToDelete) => post<DeletedModules>(`/api/modules/${encodeURIComponent(name)}/delete`, wanted),
  module: (name: string, version: string) => get<Module>(`/api/modules/${encodeURIComponent(name)}/${encodeURIComponent(version)}`),
  modules: (name?: string) => get<readonly Module[]>(`/api/modules${queryOf({ name })}`),
})

const featureCalls = ({ ask, get, post, write }: Control) => ({
  featureTables: () => get<readonly features.FeatureTable[]>('/api/features'),
  featureTable: (name: string) => get<features.FeatureTable>(featuresUrl(name)),
  /** @param keys undefined for the first rows. In the answer, numbers beyond 2^53 are as `parseKeepingNumbers` makes them. */
  featureRows: async (name: string, keys: readonly string[] | undefined) => {
    const body = JSON.stringify(keys === undefined ? {} : { keys })
    const { text } = await ask(featuresUrl(name, 'rows'), { method: 'POST', body, repeat: 'freely', isText: true })
    return parseKeepingNumbers(text) as features.TableRows
  },
  /** @param revision that of the table that was read; 0 when there was none that was uploaded */
  putFeatureTable: (name: string, table: features.NewTable, revision?: number) =>
    write<features.TableChange>('PUT', featuresUrl(name), table, revision),
  rollBackFeatureTable: (name: string, rollback: features.TableRollback, revision?: number) =>
    post<features.TableChange>(featuresUrl(name, 'rollback'), rollback, revision),
  deleteFeatureTable: (name: string, revision?: number) => write<features.DeletedTable>('DELETE', featuresUrl(name), undefined, revision),
})

const sceneCalls = ({ ask, get, post }: Control) => ({
  scenes: () => get<readonly SceneView[]>('/api/scenes'),
  scene: (id: string) => get<SceneView>(pathOf(id)),
  /** @param revision the revision that `scene` gave; undefined for a new scene */
  putScene: async (definition: SceneDraft, revision: number | undefined) => {
    const headers = revision === undefined ? { 'if-none-match': '*' } : { 'if-match': `"${revision}"` }
    return (await ask(pathOf(definition.id), { method: 'PUT', headers, body: JSON.stringify(definition) })).body as DefinedScene
  },
  /** With `dryRun`, says what would go. */
  deleteScene: (id: string, deletion: SceneDeletion) => post<DeletedScene>(pathOf(id, 'delete'), deletion),
  explain: async (scene: string, request: ExplainRequest) =>
    (await ask(pathOf(scene, 'explain'), { method: 'POST', body: JSON.stringify(request), repeat: 'freely' })).body as Explanation,
})

const versionCalls = ({ get, post, write }: Control) => ({
  versions: (scene: string) => get<readonly versions.VersionView[]>(pathOf(scene, 'versions')),
  version: (scene: string, version: string) => get<versions.VersionDetail>(pathOf(scene, 'versions', version)),
  createVersion: (scene: string, version: versions.NewVersion, revision?: number) =>
    post<versions.VersionChange>(pathOf(scene, 'versions'), version, revision),
  promote: (scene: string, version: string, promotion: versions.Promotion, revision?: number) =>
    post<versions.PartChange>(pathOf(scene, 'versions', version, 'promote'), promotion, revision),
  rollback: (scene: string, rollback: versions.Rollback) => post<versions.PartChange>(pathOf(scene, 'rollback'), rollback),
  setOnline: (scene: string, version: string, online: boolean, why: Reasoned) =>
    post<versions.PartChange>(pathOf(scene, 'versions', version, online ? 'online' : 'offline'), why),
  takeOffline: (scene: string, wanted: versions.VersionsToTidy) =>
    post<versions.OfflineVersions>(pathOf(scene, 'versions', 'offline'), wanted),
  deleteVersions: (scene: string, wanted: versions.VersionsToTidy) =>
    post<versions.DeletedVersions>(pathOf(scene, 'versions', 'delete'), wanted),
  liftQuarantine: (scene: string, version: string, why: Reasoned) =>
    post<versions.LiftedQuarantine>(pathOf(scene, 'versions', version, 'lift'), why),
  /** @param version null when the baseline answers load tests */
  setLoadtest: (scene: string, version: string | null, why: Reasoned) =>
    write<versions.LoadtestChange>('PUT', pathOf(scene, 'loadtest'), { version, ...why }),
})

const whitelistCalls = ({ ask, get, text, write }: Control) => ({
  rules: (scene: string) => get<RulesView>(pathOf(scene, 'rules')),
  /** The whitelist as lines that `parseWhitelist` reads. */
  whitelist: (scene: string) => text(pathOf(scene, 'whitelist')),
  /** @param lines as `parseWhitelist` reads them; with `version`, only the units that are sent to this version are replaced */
  setWhitelist: async (scene: string, lines: string, { version, reason }: Reasoned & { readonly version?: string | undefined }) => {
    const headers = { 'content-type': 'text/plain; charset=utf-8' }
    return (await ask(pathOf(scene, 'whitelist') + queryOf({ version, reason }), { method: 'PUT', headers, body: lines }))
      .body as WhitelistChange
  },
  editWhitelist: (scene: string, edit: WhitelistEdit) => write<WhitelistChange>('PATCH', pathOf(scene, 'whitelist'), edit),
})

const experimentCalls = ({ get, post }: Control) => ({
  experiments: (scene: string) => get<experiments.Experiments>(pathOf(scene, 'experiments')),
  experiment: (scene: string, id: string) => get<experiments.ExperimentAt>(pathOf(scene, 'experiments', id)),
  createExperiment: (scene: string, experiment: experiments.NewExperiment) =>
    post<experiments.CreatedExperiment>(pathOf(scene, 'experiments'), experiment),
  startExperiment: (scene: string, id: string, why: Tried, revision?: number) =>
    post<experiments.Flipped>(pathOf(scene, 'experiments', id, 'start'), why, revision),
  stopExperiment: (scene: string, id: string, why: Tried) => post<experiments.Flipped>(pathOf(scene, 'experiments', id, 'stop'), why),
  flip: (scene: string, id: string, flip: experiments.Flip, revision?: number) =>
    post<experiments.Flipped>(pathOf(scene, 'experiments', id, 'flip'), flip, revision),
  revert: (scene: string, id: string, revert: experiments.Revert, revision?: number) =>
    post<experiments.Flipped>(pathOf(scene, 'experiments', id, 'revert'), revert, revision),
  deleteExperiment: (scene: string, id: string, deletion: experiments.Deletion) =>
    post<experiments.DeletedExperiment>(pathOf(scene, 'experiments', id, 'delete'), deletion),
  deleteLayer: (scene: string, id: string, deletion: experiments.Deletion) =>
    post<experiments.DeletedLayer>(pathOf(scene, 'layers', id, 'delete'), deletion),
  createLayer: (scene: string, layer: experiments.NewLayer) => post<experiments.LayerChange>(pathOf(scene, 'layers'), layer),
  retireLayer: (scene: string, id: string, why: Reasoned) => post<experiments.LayerChange>(pathOf(scene, 'layers', id, 'retire'), why),
})

const paramsCalls = ({ get, post, write }: Control) => ({
  params: (scene: string) => get<params.ParamsView>(pathOf(scene, 'params')),
  setParams: (scene: string, change: params.NewParams, revision?: number) =>
    write<params.ParamsChange>('PUT', pathOf(scene, 'params'), change, revision),
  /** Changes of parameters, newest first. */
  paramsHistory: (scene: string) => get<readonly params.ParamsHistoryEntry[]>(pathOf(scene, 'params', 'history')),
  /** Undoes the last change that is not undone yet, or goes back to a revision. */
  rollbackParams: (scene: string, rollback: params.ParamsRollback) =>
    post<params.ParamsRolledBack>(pathOf(scene, 'params', 'rollback'), rollback),
})

/** They need the right `capsules`, and each reading leaves a row in the audit log. */
const capsuleCalls = ({ ask, get, post }: Control) => ({
  /** Newest first. */
  capsules: (scene: string, query: Readonly<Record<string, string | undefined>>) =>
    get<readonly capsules.CapsuleView[]>(pathOf(scene, 'capsules') + queryOf(query)),
  capsule: (scene: string, id: string) => get<capsules.CapsuleDetail>(pathOf(scene, 'capsules', id)),
  /** The capsule with all that is needed to replay it elsewhere. */
  exportCapsule: (scene: string, id: string) => get<ExportedCapsule>(pathOf(scene, 'capsules', id, 'export')),
  importCapsule: async (scene: string, exported: ExportedCapsule) =>
    (await ask(pathOf(scene, 'capsules'), { method: 'POST', body: JSON.stringify(exported), msMax: limits.control.uploadTimeoutMs }))
      .body as capsules.ImportedCapsule,
  verifyCapsules: async (scene: string, wanted: capsules.VerifyCapsules) =>
    (
      await ask(pathOf(scene, 'capsules', 'verify'), {
        method: 'POST',
        body: JSON.stringify(wanted),
        msMax: limits.control.uploadTimeoutMs,
      })
    ).body as capsules.Verification,
  runCapsule: async (scene: string, id: string, wanted: capsules.RunCapsule) =>
    (
      await ask(pathOf(scene, 'capsules', id, 'run'), {
        method: 'POST',
        body: JSON.stringify(wanted),
        msMax: limits.control.uploadTimeoutMs,
      })
    ).body as capsules.CapsuleRun,
  deleteCapsules: (scene: string, wanted: capsules.CapsulesToDelete) =>
    post<capsules.DeletedCapsules>(pathOf(scene, 'capsules', 'delete'), wanted),
})

const baseCalls = ({ get, post, text, write }: Control) => ({
  tokens: () => get<readonly TokenView[]>('/api/tokens'),
  /** The base answers with the secret itself only this once. */
  createToken: (rights: readonly Right[], label: string) => post<CreatedToken>('/api/tokens', { rights, label }),
  revokeToken: (id: string) => write<RevokedToken>('DELETE', `/api/tokens/${encodeURIComponent(id)}`),
  /**
   * Rows of the audit log, newest first.
   * @param scene limits them to what was done to this scene
   */
  audit: (limit: number, scene?: string) => get<readonly AuditEntry[]>(`/api/audit${queryOf({ limit: String(limit), scene })}`),
  /** The metrics of the keeper and all cells, as text for Prometheus. */
  metrics: () => text('/metrics'),
  status: () => get<BaseStatus>('/api/status'),
  /** @throws RefusedError NO_CELLS while no cell runs */
  services: () => get<readonly BaseService[]>('/api/services'),
  retireCell: (cell: number) => post(`/api/cells/${cell}/retire`, undefined),
})

const pathOf = (scene: string, ...rest: readonly string[]): string => ['/api/scenes', ...[scene, ...rest].map(encodeURIComponent)].join('/')

const featuresUrl = (name: string, ...rest: readonly string[]): string =>
  ['/api/features', ...[name, ...rest].map(encodeURIComponent)].join('/')

function queryOf(members: Readonly<Record<string, string | undefined>>): string {
  const given = Object.entries(members).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]]))
  return given.length === 0 ? '' : `?${new URLSearchParams(given)}`
}

function parseBase(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url?.protocol === 'http:' || url?.protocol === 'https:') return url
  throw new SdkError('USAGE', `Cannot use "${text}" as the URL of a base: it is no http URL`, {
    hint: 'Write it like http://127.0.0.1:8081.',
    exit: exitCodes.usage,
  })
}

async function sceneUrl(base: URL, status: () => Promise<BaseStatus>): Promise<URL> {
  const { port } = await status().catch(error => {
    if (!(error instanceof RefusedError)) throw error
    const message = `Cannot find out where the scenes of ${base.origin} answer: ${error.message}`
    throw new SdkError(error.code, message, { hint: 'Name it with --url, such as http://127.0.0.1:8080.', cause: error })
  })
  if (port === null) {
    const hint = 'Try again in a moment, or name where its scenes answer with --url.'
    throw new SdkError('ANSWER_UNEXPECTED', `Cannot call a scene: the base at ${base.origin} does not serve scenes yet`, { hint })
  }
  const url = new URL(base)
  url.port = String(port)
  return url
}

async function invokeAt(call: Call, url: URL, { body, unit, version, headers }: Invocation): Promise<InvocationAnswer> {
  const startedAt = performance.now()
  const answer = await call(url, {
    method: 'POST',
    body,
    repeat: 'never',
    headers: {
      ...(unit === undefined ? {} : { 'x-unit-id': headerOf(unit) }),
      ...(version === undefined ? {} : { 'x-scene-version': version }),
      ...Object.fromEntries(Object.entries(headers ?? {}).map(([name, value]) => [name, headerOf(value)])),
    },
  })
  const capsule = answer.headers.get('x-scene-capsule')
  return {
    status: answer.status,
    version: answer.headers.get('x-scene-version') ?? undefined,
    because: answer.headers.get('x-scene-because') ?? undefined,
    requestId: answer.headers.get('x-request-id') ?? undefined,
    ...(capsule !== null && { capsule }),
    durationMs: performance.now() - startedAt,
    body: answer.text === '' ? undefined : parseKeepingNumbers(answer.text),
  }
}
