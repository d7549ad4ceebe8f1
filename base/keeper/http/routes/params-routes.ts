/** The routes about parameters. */

import Type from 'typebox'
import { type ChangedParams, paramsHistory, rollBackParams, setParams } from '../../../change/parameters.ts'
import { IfMatch, SceneParams } from '../../../contract/common-api.ts'
import {
  HistoryQuery,
  NewParams,
  ParamsChange,
  ParamsHistoryEntry,
  ParamsRollback,
  ParamsRolledBack,
  ParamsView,
} from '../../../contract/params-api.ts'
import { paramsRevision } from '../../book/registry.ts'
import { warnUnread } from '../../book/unread-params.ts'
import type { Changed } from '../../driver.ts'
import { changed, optionsOf, tag } from '../revisions.ts'
import { json, ok, type RouteParts, route } from '../route.ts'

export const paramsRoutes = [
  route({
    operation: 'getParams',
    method: 'GET',
    path: '/api/scenes/:id/params',
    right: 'read',
    about: 'The parameters of a scene, and those that versions set over them',
    takes: { params: SceneParams },
    gives: { 200: ParamsView },
    run: ({ params }, { registry }) => {
      const traffic = registry.traffic(params.id)
      const { definition, rules } = traffic
      const revision = paramsRevision(traffic)
      return ok({ params: definition.params, versions: rules.versionParams ?? {}, revision }, tag(revision))
    },
  }),
  route({
    operation: 'putParams',
    method: 'PUT',
    path: '/api/scenes/:id/params',
    right: 'publish',
    about: 'Replace the parameters of a scene, or those of a version; {} takes those of a version away',
    takes: { params: SceneParams, headers: IfMatch, body: json(NewParams) },
    gives: { 200: ParamsChange },
    run: async (request, parts) => {
      const { id } = request.params
      const { params, version } = request.body
      if (version !== undefined) parts.registry.version(id, version)
      const change = await parts.control.changeScene(id, optionsOf(request, 'params'), before => setParams(before, version ?? null, params))
      const warnings = await warningsOf(change, version, parts)
      return changed({ ...change, told: { ...change.told, warnings } }, paramsRevision(change.traffic))
    },
  }),
  route({
    operation: 'listParams',
    method: 'GET',
    path: '/api/scenes/:id/params/history',
    right: 'read',
    about: 'Changes of parameters, newest first',
    takes: { params: SceneParams, query: HistoryQuery },
    gives: { 200: Type.Array(ParamsHistoryEntry) },
    run: ({ params, query }, { registry, names }) =>
      ok(
        paramsHistory(registry.history(registry.scene(params.id).definition.id))
          .take(query.limit)
          .map(change => names.beside(change, 'who'))
          .toArray(),
      ),
  }),
  route({
    operation: 'rollBackParams',
    method: 'POST',
    path: '/api/scenes/:id/params/rollback',
    right: 'publish',
    about: 'Publish parameters again as they were before the last change that is not undone, or after the one of a revision',
    takes: { params: SceneParams, headers: IfMatch, body: json(ParamsRollback) },
    gives: { 200: ParamsRolledBack },
    run: async (request, { registry, control, names }) => {
      const { id } = request.params
      const { version = null, to } = request.body
      const change = await control.changeScene(id, optionsOf(request, 'params'), before =>
        rollBackParams(before, version, to, paramsHistory(registry.history(id))),
      )
      const told = { ...change.told, to: change.told.to && names.beside(change.told.to, 'who') }
      return changed({ ...change, told }, paramsRevision(change.traffic))
    },
  }),
]

/** The baseline and the newest others. */
const VERSIONS_SEARCHED = 20

/** They are in force: whatever keeps the code from being read is no reason to refuse them. */
function warningsOf({ told, traffic }: Changed<ChangedParams>, version: string | undefined, { registry, blobs, log }: RouteParts) {
  const { definition, rules, baseline, online } = traffic
  const ids = version === undefined ? [...(baseline === null ? [] : [baseline]), ...online.toReversed()] : [version]
  const versions = [...new Set(ids)].slice(0, VERSIONS_SEARCHED).map(id => registry.version(definition.id, id))
  const others = [definition.params, ...Object.values(rules.versionParams ?? {})].flatMap(Object.keys)
  const known = [...others, ...rules.layers.flatMap(({ keys }) => keys)].filter(
    name => Object.hasOwn(told.before, name) || !Object.hasOwn(told.after, name),
  )
  return warnUnread(told, versions, known, blobs).catch(error => {
    log.warn({ err: error, scene: definition.id }, 'parameters were not looked for in the code')
    return []
  })
}
