/** The routes about the base as a whole, for probes, scrapers and operators. */
import Type from 'typebox'
import { AuditEntry, AuditQuery } from '../../../contract/audit-api.ts'
import { BaseStatus, CellParams, Health, Readiness, RetiringCell } from '../../../contract/status-api.ts'
import { actorOf } from '../revisions.ts'
import { answer, ok, route } from '../route.ts'

const healthy = { status: 'ok' } as const

export const probeRoutes = [
  route({
    operation: 'healthz',
    method: 'GET',
    path: '/healthz',
    right: 'anyone',
    about: 'Whether the keeper is up',
    takes: {},
    gives: { 200: Health },
    run: () => ok(healthy),
  }),
  route({
    operation: 'readyz',
    method: 'GET',
    path: '/readyz',
    right: 'anyone',
    about: 'Whether a cell has the current table in force and can answer for a scene',
    takes: {},
    gives: { 200: Readiness },
    run: (_, { vitals }) => {
      const failures = vitals.checkReady()
      return ok({ ...healthy, ...(failures.length > 0 && { failures }) })
    },
  }),
  route({
    operation: 'metrics',
    method: 'GET',
    path: '/metrics',
    right: 'anyone',
    about: 'Metrics of the keeper and all cells, for Prometheus',
    takes: {},
    gives: { 200: { description: 'in the text format of Prometheus', contents: { 'text/plain': Type.String() } } },
    run: async (_, { vitals }) => {
      const { type, text } = await vitals.metrics()
      return ok(text, { 'content-type': type })
    },
  }),
]

export const baseRoutes = [
  route({
    operation: 'listAudit',
    method: 'GET',
    path: '/api/audit',
    right: 'read',
    about: 'Who changed what, when and why, newest first',
    takes: { query: AuditQuery },
    gives: { 200: Type.Array(AuditEntry) },
    run: ({ query: { limit, before, scene } }, { book }) => ok(book.audit(limit, before, scene).map(row => book.names.audited(row))),
  }),
  route({
    operation: 'getStatus',
    method: 'GET',
    path: '/api/status',
    right: 'read',
    about: 'Ports, revisions and cells of the base',
    takes: {},
    gives: { 200: BaseStatus },
    run: (_, { vitals }) => ok(vitals.status()),
  }),
  route({
    operation: 'retireCell',
    method: 'POST',
    path: '/api/cells/:cell/retire',
    right: 'admin',
    about: 'Replace a cell: it ends once its replacement is ready and its connections are gone',
    takes: { params: CellParams },
    gives: { 202: RetiringCell },
    run: (request, { book, vitals, baseDriver }) => {
      const { cell } = request.params
      const actor = actorOf(request)
      // One that was carried out before has replaced the cell, which need not be there any more.
      if (book.keyed(actor) === undefined) vitals.requireCell(cell)
      baseDriver.retireCell(cell, actor)
      return answer(202, { cell })
    },
  }),
]
