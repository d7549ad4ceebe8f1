/** The routes about the base as a whole, for probes, scrapers and operators. */
import Type from 'typebox'
import { AuditEntry, AuditQuery } from '../../../contract/audit-api.ts'
import { ControlRoot } from '../../../contract/root-api.ts'
import { BaseStatus, CellParams, Health, Readiness, RetiringCell, StartedUpgrade, WishedUpgrade } from '../../../contract/status-api.ts'
import { type ErrorCode, errorTable } from '../../../kernel/errors.ts'
import { escapeHtml, linkList, page, pageHeaders, wantsPage } from '../../../kernel/page.ts'
import { actorOf } from '../revisions.ts'
import { answer, json, ok, route } from '../route.ts'

const healthy = { status: 'ok' } as const

const ErrorRows = Type.Array(
  Type.Object({ code: Type.String(), status: Type.Integer(), blame: Type.String(), title: Type.String(), fix: Type.String() }),
)

const errorRows = () => (Object.keys(errorTable) as ErrorCode[]).map(code => ({ code, ...errorTable[code] }))

function errorsPage(): string {
  const rows = errorRows().map(
    ({ code, status, title, fix }) =>
      `<tr id="${code}"><td><code>${code}</code><td>${status}<td>${escapeHtml(title)}<td>${escapeHtml(fix)}</tr>`,
  )
  return page(
    'Error codes',
    `<p><a href="/">what is here</a></p><table><tr><th>code<th>status<th>meaning<th>what to do</tr>${rows.join('')}</table>`,
  )
}

export const rootRoutes = [
  route({
    operation: 'root',
    method: 'GET',
    path: '/',
    right: 'anyone',
    about: 'What this is, and where to look; a page for browsers',
    takes: {},
    gives: { 200: { description: 'what this is', contents: { 'application/json': ControlRoot, 'text/html': Type.String() } } },
    run: ({ accept }, { vitals }) => {
      const root = vitals.root()
      if (!wantsPage(accept)) return ok(root)
      return ok(page(`Berth ${root.version}`, `<p>This is ${root.is} (${root.mode}).</p>${linkList(root.links)}`), pageHeaders)
    },
  }),
  route({
    operation: 'listErrors',
    method: 'GET',
    path: '/errors',
    right: 'anyone',
    about: 'Every error code, who has to change something, and what; a page for browsers',
    takes: {},
    gives: { 200: { description: 'the error codes', contents: { 'application/json': ErrorRows, 'text/html': Type.String() } } },
    run: ({ accept }) => (wantsPage(accept) ? ok(errorsPage(), pageHeaders) : ok(errorRows())),
  }),
]

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
    run: (_, { vitals }) => ok(vitals.checkReady()),
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
    about: 'Ports, revisions and cells of the base, and what takes the disk',
    takes: {},
    gives: { 200: BaseStatus },
    run: async (_, { vitals }) => ok(await vitals.status()),
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
  route({
    operation: 'upgradeBase',
    method: 'POST',
    path: '/api/upgrade',
    right: 'admin',
    about: 'Have another release of Berth take the base over; `base upgrade` asks for it',
    details: 'Which release that is, and how it is started, is in the data folder. How it goes is in the status of the base.',
    // It must not wait for the end of another upgrade, and what comes twice is refused.
    write: false,
    takes: { body: json(WishedUpgrade) },
    gives: { 202: StartedUpgrade },
    run: (request, { upgrades }) => {
      const { id, timeoutSeconds } = request.body
      return answer(202, upgrades.start(id, timeoutSeconds, actorOf(request)))
    },
  }),
]
