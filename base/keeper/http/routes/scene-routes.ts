/** The routes about scenes as a whole: defining them, and why they answer as they do. */
import Type from 'typebox'
import { checkDefinition } from '../../../change/definition.ts'
import { IfMatch, IfMatchOrNone, SceneParams } from '../../../contract/common-api.ts'
import { ExplainRequest, Explanation } from '../../../contract/explain-api.ts'
import { DefinedScene, DeletedScene, SceneDeletion, SceneView } from '../../../contract/scene-api.ts'
import { SceneDefinition } from '../../../traffic/schema.ts'
import { sceneView } from '../../book/scene-book.ts'
import { actorOf, changed, expectedBy, optionsOf, tag } from '../revisions.ts'
import { answer, json, ok, route } from '../route.ts'

export const sceneRoutes = [
  route({
    operation: 'listScenes',
    method: 'GET',
    path: '/api/scenes',
    right: 'read',
    about: 'All scenes',
    takes: {},
    gives: { 200: Type.Array(SceneView) },
    run: (_, { book }) => ok(book.scenes.list().map(sceneView)),
  }),
  route({
    operation: 'getScene',
    method: 'GET',
    path: '/api/scenes/:id',
    right: 'read',
    about: 'A scene, its revision as the ETag',
    etag: true,
    takes: { params: SceneParams },
    gives: { 200: SceneView },
    run: ({ params }, { book }) => {
      const scene = sceneView(book.scenes.get(params.id))
      return ok(scene, tag(scene.revision))
    },
  }),
  route({
    operation: 'putScene',
    method: 'PUT',
    path: '/api/scenes/:id',
    right: 'publish',
    about: 'Define a scene, or define it anew; its versions and its baseline stay',
    // A definition has its own check, which answers SCENE_INVALID.
    takes: { params: SceneParams, headers: IfMatchOrNone, body: { ...json(SceneDefinition), checked: false } },
    gives: { 200: DefinedScene, 201: DefinedScene },
    run: async (request, { book, driver }) => {
      const { id } = request.params
      const actor = actorOf(request)
      // A request that was carried out before would conflict with its own change.
      if (book.keyed(actor) === undefined) book.expect('scene', id, expectedBy(request))
      const payload = { definition: checkDefinition(id, request.body, name => book.modules.list(name)) }
      const options = { actor, expect: expectedBy(request) }
      const { outcome, scene, cells } = await driver.apply({ kind: 'define scene', scene: id, payload }, options)
      return answer(outcome.created ? 201 : 200, { ...sceneView(scene), cells }, tag(scene.revisions.scene))
    },
  }),
  route({
    operation: 'deleteScene',
    method: 'POST',
    path: '/api/scenes/:id/delete',
    right: 'publish',
    about: 'Delete a scene that nobody uses, with its versions, rules, whitelist and logs; the audit log keeps what it was',
    takes: { params: SceneParams, headers: IfMatch, body: json(SceneDeletion) },
    gives: { 200: DeletedScene },
    run: async (request, { book, cells, driver }) => {
      const { id: scene } = request.params
      const { evenIfCalled } = request.body
      if (book.keyed(actorOf(request)) === undefined && book.scenes.wasDeleted(scene)) return ok(goneScene(scene, cells.connected.length))
      const payload = evenIfCalled === undefined ? {} : { evenIfCalled }
      return changed(await driver.apply({ kind: 'delete scene', scene, payload }, optionsOf(request)), {})
    },
  }),
  route({
    operation: 'explain',
    method: 'POST',
    path: '/api/scenes/:id/explain',
    right: 'read',
    about: 'Which version would answer a request, with which parameters, and why',
    write: false,
    takes: { params: SceneParams, body: json(ExplainRequest) },
    gives: { 200: Explanation },
    run: async ({ params, body }, { explainer }) => ok(await explainer.explain(params.id, body)),
  }),
]

/** The answer when a scene is deleted that had been deleted before. */
const goneScene = (scene: string, connected: number) => ({
  ...{ scene, deleted: false, versions: 0, online: 0, experiments: 0, layers: 0, units: 0 },
  ...{ changed: false, revision: 0, cells: { applied: connected, connected }, timings: {} },
})
