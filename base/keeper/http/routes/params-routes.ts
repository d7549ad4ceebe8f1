/** The routes about parameters. */
import Type from 'typebox'
import { paramsHistory } from '../../../change/history.ts'
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
import { overridesOf, warnOverridden } from '../../../traffic/overrides.ts'
import { paramsRevision } from '../../book/scene-book.ts'
import { warnUnread } from '../../book/unread-params.ts'
import type { Changed } from '../../driver/scene-driver.ts'
import { changed, optionsOf, tag, unnamed } from '../revisions.ts'
import { json, ok, type RouteParts, route } from '../route.ts'

export const paramsRoutes = [
  route({
    operation: 'getParams',
    method: 'GET',
    path: '/api/scenes/:id/params',
    right: 'read',
    about: 'The parameters of a scene, and those that versions set over them',
    etag: true,
    takes: { params: SceneParams },
    gives: { 200: ParamsView },
    run: ({ params }, { book }) => {
      const scene = book.scenes.get(params.id)
      const { definition, rules } = scene
      const revision = paramsRevision(scene)
      const { versionParams = {} } = rules
      return ok({ params: definition.params, versions: versionParams, overrides: overridesOf(rules), revision }, tag(revision))
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
      const { params, version = null, validation } = request.body
      const payload = { params, version, ...(validation && { validation }) }
      const change = await parts.driver.apply({ kind: 'set params', scene: request.params.id, payload }, optionsOf(request))
      const { before, after } = change.outcome
      const warnings = [...(await warningsOf(change, parts)), ...warnOverridden(change.scene.rules, before, after)]
      return changed(change, { warnings }, paramsRevision(change.scene))
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
    run: ({ params, query }, { book }) =>
      ok(
        paramsHistory(book.history(book.scenes.get(params.id).definition.id))
          .take(query.limit)
          .map(change => book.names.beside(change, 'who'))
          .toArray(),
      ),
  }),
  route({
    operation: 'rollBackParams',
    method: 'POST',
    path: '/api/scenes/:id/params/rollback',
    right: 'publish',
    about:
      'Publish parameters again as they were before a change, or after one; a dry run that names none is of the last one that is not undone',
    takes: { params: SceneParams, headers: IfMatch, body: json(ParamsRollback) },
    gives: { 200: ParamsRolledBack },
    run: async (request, { driver, book }) => {
      const { version = null, to, from, dryRun } = request.body
      if (to === undefined && from === undefined && !dryRun) {
        throw unnamed(`roll back the params of scene "${request.params.id}"`, '/from', 'the revision of the change to undo')
      }
      const payload = { version, ...(to === undefined ? {} : { to }), ...(from === undefined ? {} : { from }) }
      const change = await driver.apply({ kind: 'roll back params', scene: request.params.id, payload }, optionsOf(request))
      const { to: target, undoes } = change.outcome
      const named = {
        to: target && book.names.beside(target, 'who'),
        ...(undoes === undefined ? {} : { undoes: book.names.beside(undoes, 'who') }),
      }
      return changed(change, named, paramsRevision(change.scene))
    },
  }),
]

/** How many versions are searched: the baseline and the newest others. */
const VERSIONS_SEARCHED = 20

/** The parameters are in force already, so they are not refused when the code cannot be read. */
function warningsOf({ outcome, scene }: Changed<'set params'>, { book, blobs, log }: RouteParts) {
  const { definition, rules, baseline, online } = scene
  const ids = outcome.version === null ? [...(baseline === null ? [] : [baseline]), ...online.toReversed()] : [outcome.version]
  const versions = [...new Set(ids)].slice(0, VERSIONS_SEARCHED).map(id => book.scenes.version(definition.id, id))
  const others = [definition.params, ...Object.values(rules.versionParams ?? {})].flatMap(Object.keys)
  const known = [...others, ...rules.layers.flatMap(({ keys }) => keys)].filter(
    name => Object.hasOwn(outcome.before, name) || !Object.hasOwn(outcome.after, name),
  )
  return warnUnread(outcome, versions, known, blobs).catch(error => {
    log.warn({ err: error, scene: definition.id }, 'parameters were not looked for in the code')
    return []
  })
}
