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
import { newSalt } from '../../driver.ts'
import * as schemas from '../replies.ts'
import * as rulesSchemas from '../rules-replies.ts'
import { problems, type RouteParts, type Scope, tagged } from './routes.ts'
import { optionsOf, written } from './version-routes.ts'

const tags = ['experiments']

export function experimentRoutes(scope: Scope, parts: RouteParts): void {
  readRoutes(scope, parts)
  makeRoutes(scope, parts)
  changeRoutes(scope, parts)
}

function readRoutes(scope: Scope, { registry }: RouteParts): void {
  scope.get(
    '/api/scenes/:id/experiments',
    {
      schema: {
        operationId: 'listExperiments',
        summary: 'Experiments and layers of a scene; the revision of its rules as the ETag',
        tags,
        params: schemas.SceneParam,
        response: { 200: rulesSchemas.ExperimentsReply, ...problems },
      },
    },
    async ({ params }, reply) => {
      const traffic = registry.traffic(params.id)
      const revision = traffic.revisions.rules
      return tagged(reply, revision).send({ experiments: viewExperiments(traffic), layers: traffic.rules.layers, revision })
    },
  )

  scope.get(
    '/api/scenes/:id/experiments/:experiment',
    {
      schema: {
        operationId: 'getExperiment',
        summary: 'An experiment, with what each arm has in force',
        tags,
        params: rulesSchemas.ExperimentParams,
        response: { 200: rulesSchemas.ExperimentReply, ...problems },
      },
    },
    async ({ params }, reply) => {
      const traffic = registry.traffic(params.id)
      const revision = traffic.revisions.rules
      return tagged(reply, revision).send({ ...viewExperiment(traffic, params.experiment), revision })
    },
  )
}

function makeRoutes(scope: Scope, { control }: RouteParts): void {
  scope.post(
    '/api/scenes/:id/experiments',
    {
      schema: {
        operationId: 'createExperiment',
        summary: 'Make an experiment, a draft until it is started; with a layer it sets parameters, else it chooses versions',
        tags,
        params: schemas.SceneParam,
        headers: schemas.IfMatch,
        body: rulesSchemas.NewExperimentBody,
        response: { 201: rulesSchemas.NewExperimentReply, ...problems },
      },
    },
    async (request, reply) => {
      const { reason: _, ...wanted } = request.body
      const change = await control.changeScene(request.params.id, optionsOf(request), before => createExperiment(before, wanted, newSalt()))
      return tagged(reply.code(201), change.traffic.revisions.rules).send(written(change))
    },
  )

  scope.post(
    '/api/scenes/:id/layers',
    {
      schema: {
        operationId: 'createLayer',
        summary: 'Make a layer, which owns parameters that no other live layer owns',
        tags,
        params: schemas.SceneParam,
        headers: schemas.IfMatch,
        body: rulesSchemas.LayerBody,
        response: { 201: rulesSchemas.LayerReply, ...problems },
      },
    },
    async (request, reply) => {
      const { id, keys } = request.body
      const change = await control.changeScene(request.params.id, optionsOf(request), before => createLayer(before, id, keys, newSalt()))
      return tagged(reply.code(201), change.traffic.revisions.rules).send(written(change))
    },
  )

  scope.post(
    '/api/scenes/:id/layers/:layer/retire',
    {
      schema: {
        operationId: 'retireLayer',
        summary: 'Let others own the parameters of a layer, none of whose experiments runs',
        tags,
        params: rulesSchemas.LayerParams,
        headers: schemas.IfMatch,
        body: rulesSchemas.ReasonBody,
        response: { 200: rulesSchemas.LayerReply, ...problems },
      },
    },
    async (request, reply) => {
      const { id, layer } = request.params
      const change = await control.changeScene(id, optionsOf(request), before => retireLayer(before, layer))
      return tagged(reply, change.traffic.revisions.rules).send(written(change))
    },
  )
}

function changeRoutes(scope: Scope, { control, registry }: RouteParts): void {
  for (const [to, summary] of [
    ['start', 'Start an experiment once every cell has loaded the versions of its arms'],
    ['stop', 'Stop an experiment: its units are answered as without it'],
  ] as const) {
    scope.post(
      `/api/scenes/:id/experiments/:experiment/${to}`,
      {
        schema: {
          operationId: `${to}Experiment`,
          summary,
          tags,
          params: rulesSchemas.ExperimentParams,
          headers: schemas.IfMatch,
          body: rulesSchemas.ReasonBody,
          response: { 200: rulesSchemas.FlipReply, ...problems },
        },
      },
      async (request, reply) => {
        const { id, experiment } = request.params
        const change = await control.changeScene(id, optionsOf(request), before => switchExperiment(before, experiment, to))
        return tagged(reply, change.traffic.revisions.rules).send(written(change))
      },
    )
  }

  scope.post(
    '/api/scenes/:id/experiments/:experiment/flip',
    {
      schema: {
        operationId: 'flipExperiment',
        summary: 'Change the shares, arms, traffic or meaning of an experiment; tells exactly which share of the units moves',
        tags,
        params: rulesSchemas.ExperimentParams,
        headers: schemas.IfMatch,
        body: rulesSchemas.FlipBody,
        response: { 200: rulesSchemas.FlipReply, ...problems },
      },
    },
    async (request, reply) => {
      const { id, experiment } = request.params
      const { reason: _, dryRun = false, ...wanted } = request.body
      const change = await control.changeScene(id, optionsOf(request), before =>
        flipExperiment(before, experiment, wanted, newSalt(), dryRun),
      )
      return tagged(reply, change.traffic.revisions.rules).send(written(change))
    },
  )

  scope.post(
    '/api/scenes/:id/experiments/:experiment/revert',
    {
      schema: {
        operationId: 'revertExperiment',
        summary: 'Undo the last flip of an experiment that was not undone yet',
        tags,
        params: rulesSchemas.ExperimentParams,
        headers: schemas.IfMatch,
        body: rulesSchemas.RevertBody,
        response: { 200: rulesSchemas.FlipReply, ...problems },
      },
    },
    async (request, reply) => {
      const { id, experiment } = request.params
      const change = await control.changeScene(id, optionsOf(request), before =>
        revertExperiment(before, experiment, registry.history(id), newSalt()),
      )
      return tagged(reply, change.traffic.revisions.rules).send(written(change))
    },
  )
}
