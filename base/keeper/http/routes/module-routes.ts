/** The routes about modules. */
import Type from 'typebox'
import {
  DeletedModules,
  Module,
  ModuleNameParams,
  ModuleParams,
  ModulesQuery,
  ModulesToDelete,
  NewModule,
  PublishedModule,
} from '../../../contract/module-api.ts'
import { actorOf } from '../revisions.ts'
import { answer, json, ok, route } from '../route.ts'

export const moduleRoutes = [
  route({
    operation: 'publishModule',
    method: 'POST',
    path: '/api/modules',
    right: 'publish',
    about: 'Publish a version of a module whose blobs are uploaded; it is loaded in a trial process first',
    takes: { body: json(NewModule) },
    gives: { 200: PublishedModule, 201: PublishedModule },
    run: async (request, { baseDriver, book }) => {
      const { created, module, timings } = await baseDriver.publishModule(request.body.manifest, actorOf(request))
      return answer(created ? 201 : 200, { created, ...book.names.beside(module, 'publishedBy'), timings })
    },
  }),
  route({
    operation: 'listModules',
    method: 'GET',
    path: '/api/modules',
    right: 'read',
    about: 'Published versions of one module or of all',
    takes: { query: ModulesQuery },
    gives: { 200: Type.Array(Module) },
    run: ({ query }, { book }) => ok(book.modules.list(query.name).map(module => book.names.beside(module, 'publishedBy'))),
  }),
  route({
    operation: 'getModule',
    method: 'GET',
    path: '/api/modules/:name/:version',
    right: 'read',
    about: 'One version of a module',
    takes: { params: ModuleParams },
    gives: { 200: Module },
    run: ({ params: { name, version } }, { book }) => ok(book.names.beside(book.modules.get(name, version), 'publishedBy')),
  }),
  route({
    operation: 'deleteModules',
    method: 'POST',
    path: '/api/modules/:name/delete',
    right: 'publish',
    about:
      'Delete versions of a module that no version of a scene has in its lock; what was deleted may be published again, with the same bytes',
    takes: { params: ModuleNameParams, body: json(ModulesToDelete) },
    gives: { 200: DeletedModules },
    run: async (request, { baseDriver }) =>
      ok(await baseDriver.deleteModules(request.params.name, request.body, actorOf(request, request.body.reason))),
  }),
]
