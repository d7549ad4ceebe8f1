/** The routes about experiments and layers. */
import {
  createExperiment,
  createLayer,
  flipExperiment,
  retireLayer,
  revertExperiment,
  switchExperiment,
  viewExperiment,
  viewExperiments,
} from '../../../change/experiments.ts'
import { ExperimentParams, IfMatch, LayerParams, Reasoned, SceneParams } from '../../../contract/common-api.ts'
import {
  CreatedExperiment,
  ExperimentAt,
  Experiments,
  Flip,
  Flipped,
  LayerChange,
  NewExperiment,
  NewLayer,
  Revert,
} from '../../../contract/experiment-api.ts'
import { newSalt } from '../../driver.ts'
import { changed, optionsOf, tag } from '../revisions.ts'
import { json, ok, route } from '../route.ts'

export const experimentRoutes = [
  route({
    operation: 'listExperiments',
    method: 'GET',
    path: '/api/scenes/:id/experiments',
    right: 'read',
    about: 'Experiments and layers of a scene; the revision of its rules as the ETag',
    takes: { params: SceneParams },
    gives: { 200: Experiments },
    run: ({ params }, { registry }) => {
      const traffic = registry.traffic(params.id)
      const revision = traffic.revisions.rules
      return ok({ experiments: viewExperiments(traffic), layers: traffic.rules.layers, revision }, tag(revision))
    },
  }),
  route({
    operation: 'getExperiment',
    method: 'GET',
    path: '/api/scenes/:id/experiments/:experiment',
    right: 'read',
    about: 'An experiment, with what each arm has in force',
    takes: { params: ExperimentParams },
    gives: { 200: ExperimentAt },
    run: ({ params }, { registry }) => {
      const traffic = registry.traffic(params.id)
      const revision = traffic.revisions.rules
      return ok({ ...viewExperiment(traffic, params.experiment), revision }, tag(revision))
    },
  }),
  route({
    operation: 'createExperiment',
    method: 'POST',
    path: '/api/scenes/:id/experiments',
    right: 'publish',
    about: 'Make an experiment, a draft until it is started; with a layer it sets parameters, else it chooses versions',
    takes: { params: SceneParams, headers: IfMatch, body: json(NewExperiment) },
    gives: { 201: CreatedExperiment },
    run: async (request, { control }) => {
      const { reason: _, ...wanted } = request.body
      const change = await control.changeScene(request.params.id, optionsOf(request), before => createExperiment(before, wanted, newSalt()))
      return { ...changed(change), status: 201 as const }
    },
  }),
  route({
    operation: 'createLayer',
    method: 'POST',
    path: '/api/scenes/:id/layers',
    right: 'publish',
    about: 'Make a layer, which owns parameters that no other live layer owns',
    takes: { params: SceneParams, headers: IfMatch, body: json(NewLayer) },
    gives: { 201: LayerChange },
    run: async (request, { control }) => {
      const { id, keys } = request.body
      const change = await control.changeScene(request.params.id, optionsOf(request), before => createLayer(before, id, keys, newSalt()))
      return { ...changed(change), status: 201 as const }
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
    run: async (request, { control }) => {
      const { id, layer } = request.params
      return changed(await control.changeScene(id, optionsOf(request), before => retireLayer(before, layer)))
    },
  }),
  route({
    operation: 'startExperiment',
    method: 'POST',
    path: '/api/scenes/:id/experiments/:experiment/start',
    right: 'publish',
    about: 'Start an experiment once every cell has loaded the versions of its arms',
    takes: { params: ExperimentParams, headers: IfMatch, body: json(Reasoned) },
    gives: { 200: Flipped },
    run: async (request, { control }) => {
      const { id, experiment } = request.params
      return changed(await control.changeScene(id, optionsOf(request), before => switchExperiment(before, experiment, 'start')))
    },
  }),
  route({
    operation: 'stopExperiment',
    method: 'POST',
    path: '/api/scenes/:id/experiments/:experiment/stop',
    right: 'publish',
    about: 'Stop an experiment: its units are answered as without it',
    takes: { params: ExperimentParams, headers: IfMatch, body: json(Reasoned) },
    gives: { 200: Flipped },
    run: async (request, { control }) => {
      const { id, experiment } = request.params
      return changed(await control.changeScene(id, optionsOf(request), before => switchExperiment(before, experiment, 'stop')))
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
    run: async (request, { control }) => {
      const { id, experiment } = request.params
      const { reason: _, dryRun = false, ...wanted } = request.body
      const change = await control.changeScene(id, optionsOf(request), before =>
        flipExperiment(before, experiment, wanted, newSalt(), dryRun),
      )
      return changed(change)
    },
  }),
  route({
    operation: 'revertExperiment',
    method: 'POST',
    path: '/api/scenes/:id/experiments/:experiment/revert',
    right: 'publish',
    about: 'Undo the last flip of an experiment that was not undone yet',
    takes: { params: ExperimentParams, headers: IfMatch, body: json(Revert) },
    gives: { 200: Flipped },
    run: async (request, { control, registry }) => {
      const { id, experiment } = request.params
      const change = await control.changeScene(id, optionsOf(request), before =>
        revertExperiment(before, experiment, registry.history(id), newSalt()),
      )
      return changed(change)
    },
  }),
]
