/** The routes about scenes as a whole: defining them, and why they answer as they do. */
import Type from 'typebox'
import { checkDefinition } from '../../../change/definition.ts'
import { IfMatchOrNone, SceneParams } from '../../../contract/common-api.ts'
import { ExplainRequest, Explanation } from '../../../contract/explain-api.ts'
import { DefinedScene, SceneView } from '../../../contract/scene-api.ts'
import { SceneDefinition } from '../../../traffic/schema.ts'
import { sceneView } from '../../book/scene-book.ts'
import { actorOf, expectedBy, tag } from '../revisions.ts'
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
