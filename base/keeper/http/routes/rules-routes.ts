/** The routes about rules: the whitelist, parameters, and why a request is answered as it is. */
import Type from 'typebox'
import { type ChangedParams, paramsHistory, rollBackParams, setParams } from '../../../change/parameters.ts'
import { editWhitelist, replaceVersion, type WhitelistCounts, whitelistText } from '../../../change/whitelist-edit.ts'
import { compileCheck } from '../../../kernel/check.ts'
import { BerthError } from '../../../kernel/errors.ts'
import { limits } from '../../../kernel/limits.ts'
import { Whitelist } from '../../../traffic/rules.ts'
import { parseWhitelist } from '../../../traffic/whitelist.ts'
import { Explainer } from '../../book/explainer.ts'
import { paramsRevision } from '../../book/registry.ts'
import { warnUnread } from '../../book/unread-params.ts'
import type { Changed } from '../../driver.ts'
import { compileAllButBody } from '../body.ts'
import * as schemas from '../replies.ts'
import * as rulesSchemas from '../rules-replies.ts'
import { actorOf, expectedBy, problems, type RouteParts, type Scope, tagged } from './routes.ts'
import { optionsOf, written } from './version-routes.ts'

export function rulesRoutes(scope: Scope, parts: RouteParts): void {
  stateRoutes(scope, parts)
  whitelistRoutes(scope, parts)
  paramsRoutes(scope, parts)
}

function stateRoutes(scope: Scope, { registry, control }: RouteParts): void {
  const explainer = new Explainer(registry, control)

  scope.get(
    '/api/scenes/:id/rules',
    {
      schema: {
        operationId: 'getRules',
        summary: 'The rules of a scene, their revision as the ETag',
        tags: ['rules'],
        params: schemas.SceneParam,
        response: { 200: rulesSchemas.RulesReply, ...problems },
      },
    },
    async ({ params }, reply) => {
      const { rules, whitelist = null, revisions } = registry.traffic(params.id)
      return tagged(reply, revisions.rules).send({ rules, whitelist, revision: revisions.rules, whitelistRevision: revisions.whitelist })
    },
  )

  scope.post(
    '/api/scenes/:id/explain',
    {
      schema: {
        operationId: 'explain',
        summary: 'Which version would answer a request, with which parameters, and why',
        tags: ['rules'],
        params: schemas.SceneParam,
        body: rulesSchemas.ExplainBody,
        response: { 200: rulesSchemas.ExplainReply, ...problems },
      },
    },
    async ({ params, body }) => explainer.explain(params.id, body),
  )
}

function whitelistRoutes(scope: Scope, { registry, control }: RouteParts): void {
  const tags = ['whitelist']

  scope.get(
    '/api/scenes/:id/whitelist',
    {
      schema: {
        operationId: 'getWhitelist',
        summary: 'The whitelist, a unit id and its version a line, its revision as the ETag',
        tags,
        params: schemas.SceneParam,
        produces: ['text/plain'],
        response: { 200: Type.String({ description: 'as it is uploaded' }), ...problems },
      },
    },
    async ({ params }, reply) => {
      const traffic = registry.traffic(params.id)
      const text = whitelistText(await control.readWhitelist(traffic))
      return tagged(reply, traffic.revisions.whitelist).type('text/plain; charset=utf-8').serializer(String).send(text)
    },
  )

  scope.put(
    '/api/scenes/:id/whitelist',
    {
      bodyLimit: limits.scene.whitelistBytesMax,
      validatorCompiler: compileAllButBody,
      schema: {
        operationId: 'putWhitelist',
        summary: 'Replace the whitelist: lines of text, or JSON of unit ids by version; with a version, only what that one has',
        tags,
        consumes: ['text/plain', 'application/json'],
        params: schemas.SceneParam,
        querystring: rulesSchemas.WhitelistQuery,
        headers: schemas.IfMatch,
        body: Whitelist,
        response: { 200: rulesSchemas.WhitelistReply, ...problems },
      },
    },
    async (request, reply) => {
      const { version, reason } = request.query
      const given = readWhitelistBody(request.body, version)
      const options = { actor: actorOf(request, reason), expect: { kind: 'whitelist' as const, revision: expectedBy(request) } }
      const change = await control.changeScene(request.params.id, options, before =>
        control.putWhitelist(before, was =>
          version === undefined ? editWhitelist({}, { add: given }) : replaceVersion(was, version, given[version] ?? []),
        ),
      )
      return tagged(reply, change.traffic.revisions.whitelist).send(whitelistReply(change))
    },
  )

  scope.patch(
    '/api/scenes/:id/whitelist',
    {
      schema: {
        operationId: 'editWhitelist',
        summary: 'Send single unit ids to a version, and others to none',
        tags,
        params: schemas.SceneParam,
        headers: schemas.IfMatch,
        body: rulesSchemas.WhitelistEditBody,
        response: { 200: rulesSchemas.WhitelistReply, ...problems },
      },
    },
    async (request, reply) => {
      const { add, remove } = request.body
      const change = await control.changeScene(request.params.id, optionsOf(request, 'whitelist'), before =>
        control.editWhitelist(before, { add, remove }),
      )
      return tagged(reply, change.traffic.revisions.whitelist).send(whitelistReply(change))
    },
  )
}

const checkWhitelistShape = compileCheck(Whitelist)

/** @throws WHITELIST_INVALID, REQUEST_INVALID */
function readWhitelistBody(body: unknown, version: string | undefined): Whitelist {
  if (body === undefined) return {}
  if (typeof body === 'string') return parseWhitelist(body, version)
  // Before a fault is made of each: of 32 MB there may be millions.
  const count = Object.values(Object(body)).flat().length
  if (count > limits.scene.whitelistUnitsMax) {
    throw new BerthError(
      'WHITELIST_INVALID',
      `Cannot use the whitelist: it has ${count} unit ids, the limit is ${limits.scene.whitelistUnitsMax}`,
    )
  }
  const { value, faults } = checkWhitelistShape(body)
  if (faults !== undefined) throw new BerthError('WHITELIST_INVALID', `Cannot use the whitelist: ${faults.slice(0, 10).join('; ')}`)
  const other = Object.keys(value).find(named => version !== undefined && named !== version)
  if (other === undefined) return value
  throw new BerthError('WHITELIST_INVALID', `Cannot use the whitelist: it names ${other}, and ${version} is the one to replace`)
}

function whitelistReply(change: Changed<WhitelistCounts>) {
  const { whitelist = null, revisions } = change.traffic
  return { ...written(change), whitelist, revision: revisions.whitelist }
}

/** The baseline and the newest others. */
const VERSIONS_SEARCHED = 20

function paramsRoutes(scope: Scope, { registry, control, blobs, log }: RouteParts): void {
  const tags = ['params']

  scope.get(
    '/api/scenes/:id/params',
    {
      schema: {
        operationId: 'getParams',
        summary: 'The parameters of a scene, and those that versions set over them',
        tags,
        params: schemas.SceneParam,
        response: { 200: rulesSchemas.ParamsReply, ...problems },
      },
    },
    async ({ params }, reply) => {
      const traffic = registry.traffic(params.id)
      const revision = paramsRevision(traffic)
      const { definition, rules } = traffic
      return tagged(reply, revision).send({ params: definition.params, versions: rules.versionParams ?? {}, revision })
    },
  )

  scope.put(
    '/api/scenes/:id/params',
    {
      schema: {
        operationId: 'putParams',
        summary: 'Replace the parameters of a scene, or those of a version; {} takes those of a version away',
        tags,
        params: schemas.SceneParam,
        headers: schemas.IfMatch,
        body: rulesSchemas.ParamsBody,
        response: { 200: rulesSchemas.ParamsChangeReply, ...problems },
      },
    },
    async (request, reply) => {
      const { id } = request.params
      const { params, version } = request.body
      if (version !== undefined) registry.version(id, version)
      const change = await control.changeScene(id, optionsOf(request, 'params'), before => setParams(before, version ?? null, params))
      const warnings = await warningsOf(change, version)
      return tagged(reply, paramsRevision(change.traffic)).send({ ...written(change), revision: paramsRevision(change.traffic), warnings })
    },
  )

  /** They are in force: whatever keeps the code from being read is no reason to refuse them. */
  function warningsOf({ told, traffic }: Changed<ChangedParams>, version: string | undefined): Promise<string[]> {
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

  scope.get(
    '/api/scenes/:id/params/history',
    {
      schema: {
        operationId: 'listParams',
        summary: 'Changes of parameters, newest first',
        tags,
        params: schemas.SceneParam,
        querystring: rulesSchemas.HistoryQuery,
        response: { 200: rulesSchemas.ParamsHistoryReply, ...problems },
      },
    },
    async ({ params, query }) => [...paramsHistory(registry.history(registry.scene(params.id).definition.id)).take(query.limit)],
  )

  scope.post(
    '/api/scenes/:id/params/rollback',
    {
      schema: {
        operationId: 'rollBackParams',
        summary: 'Publish parameters again as they were before the last change that is not undone, or after the one of a revision',
        tags,
        params: schemas.SceneParam,
        headers: schemas.IfMatch,
        body: rulesSchemas.ParamsRollbackBody,
        response: { 200: rulesSchemas.ParamsRollbackReply, ...problems },
      },
    },
    async (request, reply) => {
      const { id } = request.params
      const { version = null, to } = request.body
      const change = await control.changeScene(id, optionsOf(request, 'params'), before =>
        rollBackParams(before, version, to, paramsHistory(registry.history(id))),
      )
      return tagged(reply, paramsRevision(change.traffic)).send({ ...written(change), revision: paramsRevision(change.traffic) })
    },
  )
}
