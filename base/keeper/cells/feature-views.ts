/** Feature tables as they are shown: what was uploaded, from the book, and what the cells say of it and of the files in the folder. */
import { versionInForce } from '../../change/feature-versions.ts'
import type { FeaturesRecord } from '../../change/records.ts'
import type { FeatureTable } from '../../contract/feature-api.ts'
import { BerthError } from '../../kernel/errors.ts'
import type { TableState } from '../../kernel/table-facts.ts'
import type { Entry } from '../../store/store.ts'
import type { Book } from '../book/book.ts'
import type { Cells, ConnectedCell } from './cells.ts'

type Connected = Pick<Cells, 'connected'>

/** Every table, by name. */
export function featureTables(book: Book, { connected }: Connected): FeatureTable[] {
  const uploaded = book.features.list().map(entry => uploadedView(book, connected, entry))
  const names = new Set(uploaded.map(({ name }) => name))
  const files = connected.flatMap(({ tables }) => tables.filter(({ name, file }) => file !== null && !names.has(name)))
  const byName = Map.groupBy(files, ({ name }) => name)
  return [...uploaded, ...[...byName.values()].map(states => fileView(connected, states))].sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** @throws TABLE_NOT_FOUND */
export function featureTable(book: Book, cells: Connected, name: string): FeatureTable {
  const tables = featureTables(book, cells)
  const found = tables.find(table => table.name === name)
  if (found !== undefined) return found
  const others = tables.length === 0 ? 'there are none' : `there are ${tables.map(table => table.name).join(', ')}`
  throw new BerthError('TABLE_NOT_FOUND', `Cannot find feature table "${name}": ${others}`)
}

/** The table that cells have read from a file in the folder. */
export function fileStateOf({ connected }: Connected, name: string): (TableState & { readonly file: string }) | undefined {
  const isFile = (state: TableState): state is TableState & { readonly file: string } => state.name === name && state.file !== null
  return connected.flatMap(({ tables }) => tables.filter(isFile)).at(0)
}

function uploadedView(book: Book, cells: readonly ConnectedCell[], { key: name, value, revision }: Entry<FeaturesRecord>): FeatureTable {
  const { digest, rows, bytes, columns } = versionInForce(value)
  const states = cells.map(({ tables }) => tables.find(table => table.name === name && table.file === null))
  const applied = states.filter(state => state?.version === digest).length
  const faults = new Set(states.flatMap(state => state?.fault ?? []))
  const unread = states.flatMap(state => state?.unread ?? []).at(0)
  const notes = [...faults, ...(unread === undefined ? [] : [`the file ${unread} in the folder "features" is not read`])]
  return {
    ...{ name, source: 'uploaded', version: digest, rows, bytes, columns },
    ...{ since: value.since, by: value.by, byLabel: book.names.of(value.by) },
    ...{ versions: value.versions.map(version => book.names.beside(version, 'by')), revision },
    ...{ cells: { applied, connected: cells.length }, note: notes.join('; ') || null },
  }
}

function fileView(cells: readonly ConnectedCell[], states: readonly TableState[]): FeatureTable {
  const [{ name, version, rows, bytes, columns } = missing()] = states
  const applied = states.filter(state => state.version !== null && state.version === version).length
  const notes = new Set(states.flatMap(({ file, fault }) => (fault === null ? [] : `${file}: ${fault}`)))
  return {
    ...{ name, source: 'folder', version, rows, bytes, columns },
    ...{ since: null, by: null, byLabel: null, versions: [], revision: 0 },
    ...{ cells: { applied, connected: cells.length }, note: [...notes].join('; ') || null },
  }
}

function missing(): never {
  throw new Error('a table without a state')
}
