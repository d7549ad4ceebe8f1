/** The route about base services. */
import Type from 'typebox'
import { BaseService } from '../../../contract/service-api.ts'
import { BerthError } from '../../../kernel/errors.ts'
import { ok, route } from '../route.ts'

export const serviceRoutes = [
  route({
    operation: 'listServices',
    method: 'GET',
    path: '/api/services',
    right: 'read',
    about: 'The base services that modules may call, with what their methods take',
    takes: {},
    gives: { 200: Type.Array(BaseService) },
    run: (_, { cells: { services } }) => {
      if (services === undefined)
        throw new BerthError('NO_CELLS', 'Cannot list the services: no cell has started them yet', { retryAfterSeconds: 5 })
      return ok([...services])
    },
  }),
]
