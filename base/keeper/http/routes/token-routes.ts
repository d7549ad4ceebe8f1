/** The routes about tokens. */
import Type from 'typebox'
import { CreatedToken, NewToken, RevokedToken, TokenParams, TokenView } from '../../../contract/token-api.ts'
import { actorOf } from '../revisions.ts'
import { answer, json, ok, route } from '../route.ts'

export const tokenRoutes = [
  route({
    operation: 'listTokens',
    method: 'GET',
    path: '/api/tokens',
    right: 'admin',
    about: 'Tokens, without their secrets',
    takes: {},
    gives: { 200: Type.Array(TokenView) },
    run: (_, { book }) => ok(book.tokens.list().map(token => book.names.beside(token, 'createdBy'))),
  }),
  route({
    operation: 'createToken',
    method: 'POST',
    path: '/api/tokens',
    right: 'admin',
    about: 'Make a token; its secret is answered this once',
    secret: true,
    takes: { body: json(NewToken) },
    gives: { 201: CreatedToken },
    run: async (request, { baseDriver, book }) => {
      const { rights, label } = request.body
      return answer(201, book.names.beside(await baseDriver.createToken(rights, label, actorOf(request)), 'createdBy'))
    },
  }),
  route({
    operation: 'revokeToken',
    method: 'DELETE',
    path: '/api/tokens/:id',
    right: 'admin',
    about: 'Revoke a token; `cells` says how many of them take it no more',
    takes: { params: TokenParams },
    gives: { 200: RevokedToken },
    run: async (request, { baseDriver }) => {
      const { id } = request.params
      return ok({ id, cells: await baseDriver.revokeToken(id, actorOf(request)) })
    },
  }),
]
