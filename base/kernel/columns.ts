/** Tables for terminals: columns without borders, so that lines can be piped to grep and stay readable in a narrow window. */
import Table from 'cli-table3'

const borders = ['top', 'top-mid', 'top-left', 'top-right', 'bottom', 'bottom-mid', 'bottom-left', 'bottom-right']
const lines = ['left', 'left-mid', 'mid', 'mid-mid', 'right', 'right-mid']
const chars = { ...Object.fromEntries([...borders, ...lines].map(name => [name, ''])), middle: '  ' }

/** @param head titles of the columns; when it is empty, there is no line of titles */
export function renderColumns(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const table = new Table({ head: [...head], chars, style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 } })
  table.push(...rows.map(row => [...row]))
  return table
    .toString()
    .split('\n')
    .map(line => line.trimEnd())
    .join('\n')
}
