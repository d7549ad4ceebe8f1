import { tableFromArrays, tableFromIPC, tableToIPC } from 'apache-arrow'
export const input = { ids: ['a', 'b', 'é'], scores: [0.5, 1.5, 2.5] }
export const use = ({ ids, scores }) => {
  const bytes = tableToIPC(tableFromArrays({ id: ids, score: Float64Array.from(scores) }))
  const table = tableFromIPC(bytes)
  return { rows: table.toArray().map(row => row.toJSON()), columns: table.schema.fields.map(f => `${f.name}: ${f.type}`), n: table.numRows }
}
