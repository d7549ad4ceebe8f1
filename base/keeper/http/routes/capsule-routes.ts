/** The routes about capsules. Whoever reads one leaves a row in the audit log first. */
import Type from 'typebox'
import type { KeptCapsule } from '../../../capsule/capsule.ts'
import { contentsOf } from '../../../capsule/contents.ts'
import {
  CapsuleDetail,
  CapsuleParams,
  CapsuleRun,
  CapsulesQuery,
  CapsulesToDelete,
  CapsuleView,
  DeletedCapsules,
  ExportedCapsule,
  ImportedCapsule,
  RunCapsule,
  Verification,
  VerifyCapsules,
} from '../../../contract/capsule-api.ts'
import { SceneParams } from '../../../contract/common-api.ts'
import { limits } from '../../../kernel/limits.ts'
import { runCapsule, verifyCapsules } from '../../driver/capsule-replays.ts'
import { actorOf } from '../revisions.ts'
import { answer, json, ok, route } from '../route.ts'

export const capsuleRoutes = [
  route({
    operation: 'listCapsules',
    method: 'GET',
    path: '/api/scenes/:id/capsules',
    right: 'capsules',
    about: 'The capsules of a scene, the newest first',
    takes: { params: SceneParams, query: CapsulesQuery },
    gives: { 200: Type.Array(CapsuleView) },
    run: (request, { book, capsules, capsuleDriver }) => {
      const { id } = book.scenes.get(request.params.id).definition
      const { limit, ...filter } = request.query
      capsuleDriver.noteReading(id, { how: 'list' }, actorOf(request))
      return ok(capsules.list(id, filter).slice(0, limit))
    },
  }),
  route({
    operation: 'showCapsule',
    method: 'GET',
    path: '/api/scenes/:id/capsules/:capsule',
    right: 'capsules',
    about: 'A capsule with what it holds: the request, why it was decided so, each call with its reply, the answer and the log',
    takes: { params: CapsuleParams },
    gives: { 200: CapsuleDetail },
    run: async (request, { book, capsules, capsuleDriver }) => {
      const { id } = book.scenes.get(request.params.id).definition
      const { imported } = capsules.get(id, request.params.capsule)
      capsuleDriver.noteReading(id, { how: 'show', capsule: request.params.capsule }, actorOf(request))
      return ok({ ...detailOf(await capsules.read(request.params.capsule)), imported })
    },
  }),
  route({
    operation: 'exportCapsule',
    method: 'GET',
    path: '/api/scenes/:id/capsules/:capsule/export',
    right: 'capsules',
    about: 'A capsule with its recording and the code of its modules: all that another base needs to replay it',
    takes: { params: CapsuleParams },
    gives: { 200: ExportedCapsule },
    run: async (request, { book, capsuleDriver }) => {
      const { id } = book.scenes.get(request.params.id).definition
      const exported = await capsuleDriver.export(id, request.params.capsule)
      capsuleDriver.noteReading(id, { how: 'export', capsule: request.params.capsule }, actorOf(request))
      return ok(exported)
    },
  }),
  route({
    operation: 'importCapsule',
    method: 'POST',
    path: '/api/scenes/:id/capsules',
    right: 'capsules',
    about: 'Keep a capsule that another base has exported',
    details: 'Code that is not here needs the right `publish` in addition. It runs where capsules are replayed, and nowhere else.',
    takes: { params: SceneParams, body: { ...json(ExportedCapsule), bytesMax: limits.capsule.exportBytesMax } },
    gives: { 201: ImportedCapsule, 200: ImportedCapsule },
    run: async (request, { capsuleDriver }) => {
      const { id } = request.body.capsule
      const created = await capsuleDriver.import(request.params.id, request.body, actorOf(request), request.token)
      return created ? answer(201, { id, created }) : ok({ id, created })
    },
  }),
  route({
    operation: 'verifyCapsules',
    method: 'POST',
    path: '/api/scenes/:id/capsules/verify',
    right: 'capsules',
    write: false,
    about: 'Replay what was recorded, from the load of each slot on, and count the capsules that give the same bytes',
    takes: { params: SceneParams, body: json(VerifyCapsules) },
    gives: { 200: Verification },
    run: async (request, parts) => {
      const { id } = parts.book.scenes.get(request.params.id).definition
      parts.capsuleDriver.noteReading(id, { how: 'verify' }, actorOf(request))
      return ok(await verifyCapsules(parts, id, request.body.version))
    },
  }),
  route({
    operation: 'runCapsule',
    method: 'POST',
    path: '/api/scenes/:id/capsules/:capsule/run',
    right: 'capsules',
    write: false,
    about: 'Answer a capsule again in a fresh slot, on virtual time, with the version that has answered it or with another',
    takes: { params: CapsuleParams, body: json(RunCapsule) },
    gives: { 200: CapsuleRun },
    run: async (request, parts) => {
      const { id } = parts.book.scenes.get(request.params.id).definition
      const { capsule } = request.params
      parts.capsules.get(id, capsule)
      parts.capsuleDriver.noteReading(id, { how: 'run', capsule }, actorOf(request))
      return ok(await runCapsule(parts, id, capsule, request.body))
    },
  }),
  route({
    operation: 'deleteCapsules',
    method: 'POST',
    path: '/api/scenes/:id/capsules/delete',
    right: 'capsules',
    about: 'Delete capsules, also from the disk: some, those of a unit, those of a version, or all of the scene',
    details: 'Those that came after a deleted one in the same slot go with it, because the slot may have remembered something of it.',
    takes: { params: SceneParams, body: json(CapsulesToDelete) },
    gives: { 200: DeletedCapsules },
    run: async (request, { capsuleDriver }) =>
      ok(await capsuleDriver.delete(request.params.id, request.body, actorOf(request, request.body.reason))),
  }),
]

function detailOf({ head, entries, capsule }: KeptCapsule) {
  const [first, last] = capsule.entries
  return {
    capsule,
    contents: contentsOf(capsule, entries.slice(first, last + 1)),
    stages: head.lock.map(({ stage, modules }) => ({ stage, modules: modules.map(({ name, version }) => `${name}@${version}`) })),
    recording: { startedAt: head.startedAt, before: capsule.no - 1, origin: head.origin },
  }
}
