/** The routes about the rules of a scene and its whitelist. */
import Type from 'typebox'
import { whitelistText } from '../../../change/whitelist-edit.ts'
import { IfMatch, SceneParams } from '../../../contract/common-api.ts'
import { RulesView, WhitelistChange, WhitelistEdit, WhitelistQuery } from '../../../contract/whitelist-api.ts'
import { compileCheck } from '../../../kernel/check.ts'
import { BerthError } from '../../../kernel/errors.ts'
import { limits } from '../../../kernel/limits.ts'
import { Whitelist } from '../../../traffic/rules.ts'
import { parseWhitelist } from '../../../traffic/whitelist.ts'
import { readWhitelist } from '../../book/whitelist-blob.ts'
import type { Changed } from '../../driver/scene-driver.ts'
import { actorOf, changed, expectedBy, optionsOf, tag } from '../revisions.ts'
import { json, ok, route } from '../route.ts'

export const whitelistRoutes = [
  route({
    operation: 'getRules',
    method: 'GET',
    path: '/api/scenes/:id/rules',
    right: 'read',
    about: 'The rules of a scene, their revision as the ETag',
    etag: true,
    takes: { params: SceneParams },
    gives: { 200: RulesView },
    run: ({ params }, { book }) => {
      const { rules, whitelist = null, revisions } = book.scenes.get(params.id)
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
    etag: true,
    takes: { params: SceneParams },
    gives: { 200: { description: 'as it is uploaded', contents: { 'text/plain': Type.String() } } },
    run: async ({ params }, { book, blobs }) => {
      const { whitelist, revisions } = book.scenes.get(params.id)
      const headers = { ...tag(revisions.whitelist), 'content-type': 'text/plain; charset=utf-8' }
      return ok(whitelistText(await readWhitelist(blobs, whitelist)), headers)
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
    run: async (request, { driver }) => {
      const { version, reason } = request.query
      const payload = { ...(version === undefined ? {} : { version }), units: readWhitelistBody(request.body, version) }
      const options = { actor: actorOf(request, reason), expect: expectedBy(request) }
      return whitelistChange(await driver.apply({ kind: 'replace whitelist', scene: request.params.id, payload }, options))
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
    run: async (request, { driver }) => {
      const { reason: _, ...payload } = request.body
      return whitelistChange(await driver.apply({ kind: 'edit whitelist', scene: request.params.id, payload }, optionsOf(request)))
    },
  }),
]

const whitelistChange = <K extends 'edit whitelist' | 'replace whitelist'>(change: Changed<K>) =>
  changed(change, { whitelist: change.scene.whitelist ?? null }, change.scene.revisions.whitelist)

const checkWhitelistShape = compileCheck(Whitelist)

/** @throws WHITELIST_INVALID, REQUEST_INVALID */
function readWhitelistBody(body: unknown, version: string | undefined): Whitelist {
  if (body === undefined) return {}
  if (typeof body === 'string') return parseWhitelist(body, version)
  // The ids are counted before each can become a fault of its own, because 32 MB may hold millions.
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
