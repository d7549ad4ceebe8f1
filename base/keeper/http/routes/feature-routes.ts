/** The routes about feature tables. */
import Type from 'typebox'
import { IfMatchOrNone } from '../../../contract/common-api.ts'
import {
  DeletedTable,
  FeatureTable,
  NewTable,
  RowsQuery,
  TableChange,
  TableParams,
  TableRollback,
  TableRows,
} from '../../../contract/feature-api.ts'
import { featureTable, featureTables } from '../../cells/feature-views.ts'
import type { ChangedTable } from '../../driver/feature-driver.ts'
import { actorOf, expectedBy, optionsOf, tag } from '../revisions.ts'
import { json, ok, type RouteParts, route } from '../route.ts'

export const featureRoutes = [
  route({
    operation: 'listFeatureTables',
    method: 'GET',
    path: '/api/features',
    right: 'read',
    about: 'All feature tables: those that were uploaded, and those that are files in the data folder',
    takes: {},
    gives: { 200: Type.Array(FeatureTable) },
    run: (_, { book, cells }) => ok(featureTables(book, cells)),
  }),
  route({
    operation: 'getFeatureTable',
    method: 'GET',
    path: '/api/features/:table',
    right: 'read',
    about: 'A feature table and the versions of it that are kept, its revision as the ETag',
    etag: true,
    takes: { params: TableParams },
    gives: { 200: FeatureTable },
    run: ({ params }, { book, cells }) => {
      const table = featureTable(book, cells, params.table)
      return ok(table, tag(table.revision))
    },
  }),
  route({
    operation: 'readFeatureRows',
    method: 'POST',
    path: '/api/features/:table/rows',
    right: 'read',
    about: 'Rows of a feature table by their keys, as a cell has them; without keys, the first ones',
    write: false,
    takes: { params: TableParams, body: json(RowsQuery) },
    gives: { 200: { description: 'the rows, as they were uploaded', contents: { 'application/json': TableRows } } },
    run: async ({ params: { table }, body: { keys } }, { book, cells }) => {
      featureTable(book, cells, table)
      return ok(await cells.readFeatures(table, keys), { 'content-type': 'application/json; charset=utf-8' })
    },
  }),
  route({
    operation: 'putFeatureTable',
    method: 'PUT',
    path: '/api/features/:table',
    right: 'publish',
    about: 'Bring an uploaded file into force as a feature table, in every cell',
    details: 'Upload the file with `PUT /api/blobs/:digest` first. A file with a fault is refused with its line, and changes nothing.',
    takes: { params: TableParams, headers: IfMatchOrNone, body: json(NewTable) },
    gives: { 200: TableChange },
    run: async (request, parts) => {
      const { digest, format } = request.body
      const { table } = request.params
      return changedTable(table, await parts.featureDriver.put(table, { digest, format }, optionsOf(request)), parts)
    },
  }),
  route({
    operation: 'rollBackFeatureTable',
    method: 'POST',
    path: '/api/features/:table/rollback',
    right: 'publish',
    about: 'Bring a version into force that was in force before; without `to` the one before the newest, also when asked for twice',
    takes: { params: TableParams, headers: IfMatchOrNone, body: json(TableRollback) },
    gives: { 200: TableChange },
    run: async (request, parts) => {
      const { table } = request.params
      return changedTable(table, await parts.featureDriver.rollBack(table, request.body.to, optionsOf(request)), parts)
    },
  }),
  route({
    operation: 'deleteFeatureTable',
    method: 'DELETE',
    path: '/api/features/:table',
    right: 'publish',
    about: 'Delete an uploaded feature table with all its versions; a file of its name in the data folder is read again then',
    takes: { params: TableParams, headers: IfMatchOrNone },
    gives: { 200: DeletedTable },
    run: async (request, { featureDriver }) => {
      const { table: name } = request.params
      return ok({ name, cells: await featureDriver.delete(name, { actor: actorOf(request), expect: expectedBy(request) }) })
    },
  }),
]

function changedTable(name: string, { changed, before, after, concerns, timings }: ChangedTable, { book, cells }: RouteParts) {
  const table = changed || before !== undefined ? featureTable(book, cells, name) : null
  return ok({ changed, table, before: before ?? null, after, concerns: [...concerns], timings }, tag(table?.revision ?? 0))
}
