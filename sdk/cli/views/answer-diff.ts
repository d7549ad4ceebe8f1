/** What changed between two answers, for a terminal. */
import { stripVTControlCharacters } from 'node:util'
import { create, type Delta, type DiffContext } from 'jsondiffpatch'
import ConsoleFormatter from 'jsondiffpatch/formatters/console'

// Members of lists are the same when they have the same id, so an item that moved shows as moved.
const differ = create({
  objectHash: (item, index) => {
    const named = item as { readonly id?: unknown; readonly itemId?: unknown }
    const id = named.id ?? named.itemId ?? `#${index}`
    return JSON.isRawJSON(id) ? id.rawJSON : String(id)
  },
  omitRemovedValues: false,
})

/** Compares numbers beyond 2^53, which the filters of the differ would take for objects. */
function diffLargeNumbers(context: DiffContext): void {
  const { left, right } = context
  if (left === undefined || right === undefined || !(JSON.isRawJSON(left) || JSON.isRawJSON(right))) return
  const isSame = JSON.stringify(left) === JSON.stringify(right)
  context.setResult(isSame ? undefined : [left, right]).exit()
}

differ.processor.pipes.diff.before('trivial', Object.assign(diffLargeNumbers, { filterName: 'largeNumbers' }))

/** The difference; undefined when the answers are the same. In them, numbers beyond 2^53 may be as `parseKeepingNumbers` makes them. */
export function diffAnswers(before: unknown, after: unknown): Delta {
  return differ.diff(before, after)
}

/** One line for each value that differs, under the path to it. */
export function formatDelta(delta: Delta, color: boolean): string[] {
  const text = new ConsoleFormatter().format(delta) ?? ''
  return (color ? text : stripVTControlCharacters(text)).split('\n')
}
