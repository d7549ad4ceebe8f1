/** The routes about versions: making them, and the part that each has in answering. */
import Type from 'typebox'
import { lastPartChange } from '../../../change/history.ts'
import { viewVersion, viewVersions } from '../../../change/versions.ts'
import { type ChangeNote, IfMatch, Reasoned, SceneParams, VersionParams } from '../../../contract/common-api.ts'
import {
  DeletedVersions,
  LiftedQuarantine,
  LoadtestChange,
  LoadtestTarget,
  NewVersion,
  OfflineVersions,
  PartChange,
  Promotion,
  Rollback,
  VersionChange,
  VersionDetail,
  VersionsToTidy,
  VersionView,
} from '../../../contract/version-api.ts'
import type { Book } from '../../book/book.ts'
import type { Names } from '../../book/token-labels.ts'
import type { Changed } from '../../driver/scene-driver.ts'
import { changed, optionsOf, tag } from '../revisions.ts'
import { answer, json, ok, route } from '../route.ts'

export const versionRoutes = [
  route({
    operation: 'listVersions',
    method: 'GET',
    path: '/api/scenes/:id/versions',
    right: 'read',
    about: 'Versions of a scene, oldest first',
    takes: { params: SceneParams },
    gives: { 200: Type.Array(VersionView) },
    run: ({ params: { id } }, { book }) =>
      ok(viewVersions(book.scenes.get(id), book.scenes.versions(id)).map(version => book.names.beside(version, 'createdBy'))),
  }),
  route({
    operation: 'getVersion',
    method: 'GET',
    path: '/api/scenes/:id/versions/:version',
    right: 'read',
    about: 'One version of a scene, with the modules that it has and where their sources are',
    takes: { params: VersionParams },
    gives: { 200: VersionDetail },
    run: ({ params: { id, version } }, { book }) => {
      const record = book.scenes.version(id, version)
      const modules = book.modules.locked(record.lock).map(module => book.names.beside(module, 'publishedBy'))
      return ok({ ...book.names.beside(viewVersion(book.scenes.get(id), record), 'createdBy'), modules })
    },
  }),
  route({
    operation: 'createVersion',
    method: 'POST',
    path: '/api/scenes/:id/versions',
    right: 'publish',
    about: 'Make a version: the lock of another with the named modules replaced',
    takes: { params: SceneParams, headers: IfMatch, body: json(NewVersion) },
    gives: { 200: VersionChange, 201: VersionChange },
    run: async (request, { driver, book }) => {
      const { reason: _, dryRun, ...payload } = request.body
      const change = await driver.apply({ kind: 'create version', scene: request.params.id, payload }, optionsOf(request))
      return answer(change.outcome.created && !dryRun ? 201 : 200, versionChange(change, book.names), tag(change.scene.revisions.scene))
    },
  }),
  route({
    operation: 'promoteVersion',
    method: 'POST',
    path: '/api/scenes/:id/versions/:version/promote',
    right: 'publish',
    about: 'Give a version the cutover, another share of it, or the baseline, once every cell has loaded it',
    takes: { params: VersionParams, headers: IfMatch, body: json(Promotion) },
    gives: { 200: PartChange },
    run: async (request, { driver, book }) => {
      const { id, version } = request.params
      const { reason: _, dryRun, ...wanted } = request.body
      const change = await driver.apply({ kind: 'promote version', scene: id, payload: { version, ...wanted } }, optionsOf(request))
      return partChange(change, dryRun || !change.changed ? sinceWhen(version, id, book) : {})
    },
  }),
  route({
    operation: 'rollBack',
    method: 'POST',
    path: '/api/scenes/:id/rollback',
    right: 'publish',
    about:
      'Go back from a version: end its cutover, or make the previous baseline, which every cell has loaded still, the baseline; waits for no other change',
    takes: { params: SceneParams, headers: IfMatch, body: json(Rollback) },
    gives: { 200: PartChange },
    run: async (request, { driver, book }) => {
      const { id } = request.params
      const { from, dryRun } = request.body
      const change = await driver.apply({ kind: 'roll back', scene: id, payload: { from } }, optionsOf(request))
      return partChange(change, dryRun || !change.changed ? sinceWhen(from, id, book) : {})
    },
  }),
  route({
    operation: 'offlineVersion',
    method: 'POST',
    path: '/api/scenes/:id/versions/:version/offline',
    right: 'publish',
    about: 'Take a version offline that nothing uses: it is loaded nowhere, and may come back',
    takes: { params: VersionParams, headers: IfMatch, body: json(Reasoned) },
    gives: { 200: PartChange },
    run: async (request, { driver }) => {
      const { id, version } = request.params
      return partChange(await driver.apply({ kind: 'take version offline', scene: id, payload: { version } }, optionsOf(request)))
    },
  }),
  route({
    operation: 'offlineVersions',
    method: 'POST',
    path: '/api/scenes/:id/versions/offline',
    right: 'publish',
    about: 'Take several versions offline that nothing uses, all or none',
    takes: { params: SceneParams, headers: IfMatch, body: json(VersionsToTidy) },
    gives: { 200: OfflineVersions },
    run: async (request, { driver }) => {
      const payload = { versions: request.body.versions }
      return changed(await driver.apply({ kind: 'take versions offline', scene: request.params.id, payload }, optionsOf(request)), {})
    },
  }),
  route({
    operation: 'deleteVersions',
    method: 'POST',
    path: '/api/scenes/:id/versions/delete',
    right: 'publish',
    about:
      'Delete versions that are offline and that nothing uses or may come to use again, all or none; their numbers are not given again',
    takes: { params: SceneParams, headers: IfMatch, body: json(VersionsToTidy) },
    gives: { 200: DeletedVersions },
    run: async (request, { driver }) => {
      const payload = { versions: request.body.versions }
      return changed(await driver.apply({ kind: 'delete versions', scene: request.params.id, payload }, optionsOf(request)), {})
    },
  }),
  route({
    operation: 'onlineVersion',
    method: 'POST',
    path: '/api/scenes/:id/versions/:version/online',
    right: 'publish',
    about: 'Bring a version back online, as dev, once every cell has loaded it',
    takes: { params: VersionParams, headers: IfMatch, body: json(Reasoned) },
    gives: { 200: PartChange },
    run: async (request, { driver }) => {
      const { id, version } = request.params
      return partChange(await driver.apply({ kind: 'bring version online', scene: id, payload: { version } }, optionsOf(request)))
    },
  }),
  route({
    operation: 'liftQuarantine',
    method: 'POST',
    path: '/api/scenes/:id/versions/:version/lift',
    right: 'publish',
    about:
      'Let a version in quarantine have requests again, once every cell has loaded it if rules name it; what it cost before counts no more',
    takes: { params: VersionParams, headers: IfMatch, body: json(Reasoned) },
    gives: { 200: LiftedQuarantine },
    run: async (request, { driver }) => {
      const { id, version } = request.params
      return changed(await driver.apply({ kind: 'lift quarantine', scene: id, payload: { version } }, optionsOf(request)), {})
    },
  }),
  route({
    operation: 'setLoadtest',
    method: 'PUT',
    path: '/api/scenes/:id/loadtest',
    right: 'publish',
    about: 'Send load tests to a version, or with null to the baseline',
    takes: { params: SceneParams, headers: IfMatch, body: json(LoadtestTarget) },
    gives: { 200: LoadtestChange },
    run: async (request, { driver }) => {
      const { version } = request.body
      const change = { kind: 'set load-test version', scene: request.params.id, payload: { version } } as const
      return changed(await driver.apply(change, optionsOf(request)), {})
    },
  }),
]

type PartKind = 'promote version' | 'roll back' | 'take version offline' | 'bring version online'

const partChange = <K extends PartKind>(change: Changed<K>, since: { readonly since?: ChangeNote } = {}) =>
  changed(change, { baseline: change.scene.baseline, ...since })

/** How many rows of the audit log are searched for the change that gave a version its part. */
const ROWS_SEARCHED = 1000

function sinceWhen(version: string, scene: string, book: Book): { readonly since?: ChangeNote } {
  const row = lastPartChange(version, book.history(scene).take(ROWS_SEARCHED))
  if (row === undefined) return {}
  const { revision, at, who, reason, action } = row
  return { since: book.names.beside({ revision, at, who, reason, action }, 'who') }
}

function versionChange(
  { outcome, changed: isChanged, scene: { baseline, revisions }, validation, cells, timings }: Changed<'create version'>,
  names: Names,
) {
  const { record, ...part } = outcome
  const of = { ...(validation && { validation }), revision: revisions.scene, rulesRevision: revisions.rules }
  return { ...part, version: names.beside(record, 'createdBy'), lock: record.lock, baseline, changed: isChanged, ...of, cells, timings }
}
