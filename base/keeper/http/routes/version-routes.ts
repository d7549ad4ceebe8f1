/** The routes about versions: making them, and the part that each has in answering. */
import Type from 'typebox'
import { parseReference } from '../../../change/lock.ts'
import {
  bringOnline,
  type Placed,
  type PlacedVersion,
  promote,
  rollBack,
  sendLoadTests,
  takeOffline,
  viewVersions,
} from '../../../change/versions.ts'
import { IfMatch, Reasoned, SceneParams, VersionParams } from '../../../contract/common-api.ts'
import {
  LoadtestChange,
  LoadtestTarget,
  NewVersion,
  PartChange,
  Promotion,
  VersionChange,
  VersionView,
} from '../../../contract/version-api.ts'
import { type Changed, newSalt } from '../../driver.ts'
import type { Names } from '../names.ts'
import { actorOf, changed, expectedBy, optionsOf, tag } from '../revisions.ts'
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
    run: ({ params: { id } }, { registry, names }) =>
      ok(viewVersions(registry.traffic(id), registry.versions(id)).map(version => names.beside(version, 'createdBy'))),
  }),
  route({
    operation: 'createVersion',
    method: 'POST',
    path: '/api/scenes/:id/versions',
    right: 'publish',
    about: 'Make a version: the lock of another with the named modules replaced',
    takes: { params: SceneParams, headers: IfMatch, body: json(NewVersion) },
    gives: { 200: VersionChange, 201: VersionChange },
    run: async (request, { control, names }) => {
      const { modules = [], from, resolve = false, reuse = false, label, as, share, whitelist = [], reason } = request.body
      const named = new Map(modules.map(parseReference).map(({ name, range }) => [name, range]))
      const wanted = { named, resolve, reuse, from, label }
      const options = { actor: actorOf(request, reason), expect: { kind: 'scene' as const, revision: expectedBy(request) } }
      const change = await control.createVersion(request.params.id, wanted, { as, share, whitelist }, options)
      return answer(change.told.created ? 201 : 200, versionChange(change, names), tag(change.traffic.revisions.scene))
    },
  }),
  route({
    operation: 'promoteVersion',
    method: 'POST',
    path: '/api/scenes/:id/versions/:version/promote',
    right: 'publish',
    about: 'The next step of a version, once every cell has loaded it: the cutover, more of the cutover, the baseline',
    takes: { params: VersionParams, headers: IfMatch, body: json(Promotion) },
    gives: { 200: PartChange },
    run: async (request, { registry, control }) => {
      const { id, version } = request.params
      registry.version(id, version)
      return partChange(await control.changeScene(id, optionsOf(request), before => promote(before, version, request.body, newSalt())))
    },
  }),
  route({
    operation: 'rollBack',
    method: 'POST',
    path: '/api/scenes/:id/rollback',
    right: 'publish',
    about: 'End the cutover, or go back to the previous baseline, which every cell has loaded still; waits for no other change',
    takes: { params: SceneParams, headers: IfMatch, body: json(Reasoned) },
    gives: { 200: PartChange },
    run: async (request, { control }) =>
      partChange(await control.changeScene(request.params.id, { ...optionsOf(request), urgent: true }, rollBack)),
  }),
  route({
    operation: 'offlineVersion',
    method: 'POST',
    path: '/api/scenes/:id/versions/:version/offline',
    right: 'publish',
    about: 'Take a version offline that nothing uses: it is loaded nowhere, and may come back',
    takes: { params: VersionParams, headers: IfMatch, body: json(Reasoned) },
    gives: { 200: PartChange },
    run: async (request, { registry, control }) => {
      const { id, version } = request.params
      registry.version(id, version)
      return partChange(await control.changeScene(id, optionsOf(request), before => takeOffline(before, version)))
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
    run: async (request, { registry, control }) => {
      const { id, version } = request.params
      registry.version(id, version)
      return partChange(await control.changeScene(id, optionsOf(request), before => bringOnline(before, version)))
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
    run: async (request, { control }) => {
      const { version } = request.body
      return changed(
        await control.changeScene(request.params.id, optionsOf(request), before => sendLoadTests(before, version ?? undefined)),
      )
    },
  }),
]

const partChange = (change: Changed<Placed>) => changed({ ...change, told: { ...change.told, baseline: change.traffic.baseline } })

function versionChange({ told, traffic: { baseline, revisions }, cells, timings }: Changed<PlacedVersion>, names: Names) {
  const { record, ...part } = told
  const of = { revision: revisions.scene, rulesRevision: revisions.rules }
  return { ...part, version: names.beside(record, 'createdBy'), lock: record.lock, baseline, ...of, cells, timings }
}
