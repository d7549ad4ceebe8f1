/** The routes about experiments and layers. */
import { viewExperiment, viewExperiments } from '../../../change/experiments.ts'
import { ExperimentParams, IfMatch, LayerParams, Reasoned, SceneParams, Tried } from '../../../contract/common-api.ts'
import {
  CreatedExperiment,
  DeletedExperiment,
  DeletedLayer,
  Deletion,
  ExperimentAt,
  Experiments,
  Flip,
  Flipped,
  LayerChange,
  NewExperiment,
  NewLayer,
  Revert,
} from '../../../contract/experiment-api.ts'
import { changed, optionsOf, tag, unnamed } from '../revisions.ts'
import { json, ok, route } from '../route.ts'

export const experimentRoutes = [
  route({
    operation: 'listExperiments',
    method: 'GET',
    path: '/api/scenes/:id/experiments',
    right: 'read',
    about: 'Experiments and layers of a scene; the revision of its rules as the ETag',
    etag: true,
    takes: { params: SceneParams },
    gives: { 200: Experiments },
    run: ({ params }, { book }) => {
      const scene = book.scenes.get(params.id)
      const revision = scene.revisions.rules
      return ok({ experiments: viewExperiments(scene), layers: scene.rules.layers, revision }, tag(revision))
    },
  }),
  route({
    operation: 'getExperiment',
    method: 'GET',
    path: '/api/scenes/:id/experiments/:experiment',
    right: 'read',
    about: 'An experiment, with what each arm has in force',
    etag: true,
    takes: { params: ExperimentParams },
    gives: { 200: ExperimentAt },
    run: ({ params }, { book }) => {
      const scene = book.scenes.get(params.id)
      const revision = scene.revisions.rules
      return ok({ ...viewExperiment(scene, params.experiment), revision }, tag(revision))
    },
  }),
  route({
    operation: 'createExperiment',
    method: 'POST',
    path: '/api/scenes/:id/experiments',
    right: 'publish',
    about: 'Make an experiment, a draft until it is started; with a layer it sets parameters, else it chooses versions',
    takes: { params: SceneParams, headers: IfMatch, body: json(NewExperiment) },
    gives: { 200: CreatedExperiment, 201: CreatedExperiment },
    run: async (request, { driver }) => {
      const { reason: _, ...payload } = request.body
      const change = await driver.apply({ kind: 'create experiment', scene: request.params.id, payload }, optionsOf(request))
      return { ...changed(change, {}), status: change.changed ? (201 as const) : (200 as const) }
    },
  }),
  route({
    operation: 'createLayer',
    method: 'POST',
    path: '/api/scenes/:id/layers',
    right: 'publish',
    about: 'Make a layer, which owns parameters that no other live layer owns',
    takes: { params: SceneParams, headers: IfMatch, body: json(NewLayer) },
    gives: { 200: LayerChange, 201: LayerChange },
    run: async (request, { driver }) => {
      const { id: layer, keys } = request.body
      const change = await driver.apply({ kind: 'create layer', scene: request.params.id, payload: { layer, keys } }, optionsOf(request))
      return { ...changed(change, {}), status: change.changed ? (201 as const) : (200 as const) }
    },
  }),
  route({
    operation: 'retireLayer',
    method: 'POST',
    path: '/api/scenes/:id/layers/:layer/retire',
    right: 'publish',
    about: 'Let others own the parameters of a layer, none of whose experiments runs',
    takes: { params: LayerParams, headers: IfMatch, body: json(Reasoned) },
    gives: { 200: LayerChange },
    run: async (request, { driver }) => {
      const { id, layer } = request.params
      return changed(await driver.apply({ kind: 'retire layer', scene: id, payload: { layer } }, optionsOf(request)), {})
    },
  }),
  route({
    operation: 'startExperiment',
    method: 'POST',
    path: '/api/scenes/:id/experiments/:experiment/start',
    right: 'publish',
    about: 'Start an experiment once every cell has loaded the versions of its arms',
    takes: { params: ExperimentParams, headers: IfMatch, body: json(Tried) },
    gives: { 200: Flipped },
    run: async (request, { driver }) => {
      const { id, experiment } = request.params
      return changed(await driver.apply({ kind: 'start experiment', scene: id, payload: { experiment } }, optionsOf(request)), {})
    },
  }),
  route({
    operation: 'stopExperiment',
    method: 'POST',
    path: '/api/scenes/:id/experiments/:experiment/stop',
    right: 'publish',
    about: 'Stop an experiment: its units are answered as without it',
    takes: { params: ExperimentParams, headers: IfMatch, body: json(Tried) },
    gives: { 200: Flipped },
    run: async (request, { driver }) => {
      const { id, experiment } = request.params
      return changed(await driver.apply({ kind: 'stop experiment', scene: id, payload: { experiment } }, optionsOf(request)), {})
    },
  }),
  route({
    operation: 'flipExperiment',
    method: 'POST',
    path: '/api/scenes/:id/experiments/:experiment/flip',
    right: 'publish',
    about: 'Change the shares, arms, traffic or meaning of an experiment; answers exactly which share of the units moves',
    takes: { params: ExperimentParams, headers: IfMatch, body: json(Flip) },
    gives: { 200: Flipped },
    run: async (request, { driver }) => {
      const { id, experiment } = request.params
      const { reason: _, dryRun: __, ...flip } = request.body
      return changed(await driver.apply({ kind: 'flip experiment', scene: id, payload: { experiment, flip } }, optionsOf(request)), {})
    },
  }),
  route({
    operation: 'revertExperiment',
    method: 'POST',
    path: '/api/scenes/:id/experiments/:experiment/revert',
    right: 'publish',
    about: 'Undo a flip of an experiment; a dry run that names none is of the last one that is not undone yet',
    takes: { params: ExperimentParams, headers: IfMatch, body: json(Revert) },
    gives: { 200: Flipped },
    run: async (request, { driver, book }) => {
      const { id, experiment } = request.params
      const { flip, dryRun } = request.body
      if (flip === undefined && !dryRun) throw unnamed(`revert experiment "${experiment}"`, '/flip', 'the revision of the flip to undo')
      const payload = { experiment, ...(flip === undefined ? {} : { flip }) }
      const change = await driver.apply({ kind: 'revert experiment', scene: id, payload }, optionsOf(request))
      const { undoes } = change.outcome
      return changed(change, undoes?.who === undefined ? {} : { undoes: { ...undoes, whoLabel: book.names.of(undoes.who) } })
    },
  }),
  route({
    operation: 'deleteExperiment',
    method: 'POST',
    path: '/api/scenes/:id/experiments/:experiment/delete',
    right: 'publish',
    about: 'Delete an experiment that does not run; its id stays taken if it ever has, since exposures are counted by it',
    takes: { params: ExperimentParams, headers: IfMatch, body: json(Deletion) },
    gives: { 200: DeletedExperiment },
    run: async (request, { driver }) => {
      const { id, experiment } = request.params
      return changed(await driver.apply({ kind: 'delete experiment', scene: id, payload: { experiment } }, optionsOf(request)), {})
    },
  }),
  route({
    operation: 'deleteLayer',
    method: 'POST',
    path: '/api/scenes/:id/layers/:layer/delete',
    right: 'publish',
    about: 'Delete a retired layer with its experiments',
    takes: { params: LayerParams, headers: IfMatch, body: json(Deletion) },
    gives: { 200: DeletedLayer },
    run: async (request, { driver }) => {
      const { id, layer } = request.params
      return changed(await driver.apply({ kind: 'delete layer', scene: id, payload: { layer } }, optionsOf(request)), {})
    },
  }),
]
