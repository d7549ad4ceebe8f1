/** The routes about the rules of a scene and its whitelist. */
import Type from 'typebox'
import { editWhitelist, replaceVersion, type WhitelistCounts, whitelistText } from '../../../change/whitelist-edit.ts'
import { IfMatch, SceneParams } from '../../../contract/common-api.ts'
import { RulesView, WhitelistChange, WhitelistEdit, WhitelistQuery } from '../../../contract/whitelist-api.ts'
import { compileCheck } from '../../../kernel/check.ts'
import { BerthError } from '../../../kernel/errors.ts'
import { limits } from '../../../kernel/limits.ts'
import { Whitelist } from '../../../traffic/rules.ts'
import { parseWhitelist } from '../../../traffic/whitelist.ts'
import type { Changed } from '../../driver.ts'
import { actorOf, changed, expectedBy, optionsOf, tag } from '../revisions.ts'
import { json, ok, route } from '../route.ts'

export const whitelistRoutes = [
  route({
    operation: 'getRules',
    method: 'GET',
    path: '/api/scenes/:id/rules',
    right: 'read',
    about: 'The rules of a scene, their revision as the ETag',
    takes: { params: SceneParams },
    gives: { 200: RulesView },
    run: ({ params }, { registry }) => {
      const { rules, whitelist = null, revisions } = registry.traffic(params.id)
      const body = { rules, whitelist, revision: revisions.rules, whitelistRevision: revisions.whitelist }
      return ok(body, tag(revisions.rules))
    },
  }),
  route({
    operation: 'getWhitelist',
    method: 'GET',
    path: '/api/scenes/:id/whitelist',
    right: 'read',
    about: 'The whitelist, a unit id and its version a line, its revision as the ETag',
    takes: { params: SceneParams },
    gives: { 200: { description: 'as it is uploaded', contents: { 'text/plain': Type.String() } } },
    run: async ({ params }, { registry, control }) => {
      const traffic = registry.traffic(params.id)
      const headers = { ...tag(traffic.revisions.whitelist), 'content-type': 'text/plain; charset=utf-8' }
      return ok(whitelistText(await control.readWhitelist(traffic)), headers)
    },
  }),
  route({
    operation: 'putWhitelist',
    method: 'PUT',
    path: '/api/scenes/:id/whitelist',
    right: 'publish',
    about: 'Replace the whitelist: lines of text, or JSON of unit ids by version; with a version, only what that one has',
    takes: {
      params: SceneParams,
      query: WhitelistQuery,
      headers: IfMatch,
      body: { types: ['text/plain', 'application/json'], schema: Whitelist, checked: false, bytesMax: limits.scene.whitelistBytesMax },
    },
    gives: { 200: WhitelistChange },
    run: async (request, { control }) => {
      const { version, reason } = request.query
      const given = readWhitelistBody(request.body, version)
      const options = { actor: actorOf(request, reason), expect: { kind: 'whitelist' as const, revision: expectedBy(request) } }
      const change = await control.changeScene(request.params.id, options, before =>
        control.putWhitelist(before, was =>
          version === undefined ? editWhitelist({}, { add: given }) : replaceVersion(was, version, given[version] ?? []),
        ),
      )
      return whitelistChange(change)
    },
  }),
  route({
    operation: 'editWhitelist',
    method: 'PATCH',
    path: '/api/scenes/:id/whitelist',
    right: 'publish',
    about: 'Send single unit ids to a version, and others to none',
    takes: { params: SceneParams, headers: IfMatch, body: json(WhitelistEdit) },
    gives: { 200: WhitelistChange },
    run: async (request, { control }) => {
      const { add, remove } = request.body
      const change = await control.changeScene(request.params.id, optionsOf(request, 'whitelist'), before =>
        control.editWhitelist(before, { add, remove }),
      )
      return whitelistChange(change)
    },
  }),
]

const whitelistChange = (change: Changed<WhitelistCounts>) =>
  changed({ ...change, told: { ...change.told, whitelist: change.traffic.whitelist ?? null } }, change.traffic.revisions.whitelist)

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
