/** What changed between two answers, for a terminal. */
import { stripVTControlCharacters } from 'node:util'
import { create, type Delta } from 'jsondiffpatch'
import ConsoleFormatter from 'jsondiffpatch/formatters/console'

// Members of lists are the same when they have the same id, so an item that moved shows as moved.
const differ = create({
  objectHash: (item, index) => {
    const named = item as { readonly id?: unknown; readonly itemId?: unknown }
    return String(named.id ?? named.itemId ?? `#${index}`)
  },
  omitRemovedValues: false,
})

/** The difference; undefined when the answers are the same. */
export function diffAnswers(before: unknown, after: unknown): Delta {
  return differ.diff(before, after)
}

/** One line for each value that differs, under the path to it. */
export function formatDelta(delta: Delta, color: boolean): string[] {
  const text = new ConsoleFormatter().format(delta) ?? ''
  return (color ? text : stripVTControlCharacters(text)).split('\n')
}
