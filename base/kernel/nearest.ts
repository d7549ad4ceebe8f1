/** What was meant by a name that nothing has. */

/**
 * The known name with the fewest edits, when it is near enough to be what was meant; capitals are no edits.
 * @param editsMax of letters put in, left out or replaced
 */
export function nearest(name: string, known: readonly string[], editsMax = Math.max(2, name.length / 3)): string | undefined {
  let best: { readonly candidate: string; readonly edits: number } | undefined
  for (const candidate of known) {
    // As many edits at least: most need not be looked at.
    if (Math.abs(candidate.length - name.length) > editsMax) continue
    const edits = editDistance(name.toLowerCase(), candidate.toLowerCase())
    if (edits <= editsMax && (best === undefined || edits < best.edits)) best = { candidate, edits }
  }
  return best?.candidate
}

/** Levenshtein's distance, one row of the matrix at a time. */
function editDistance(from: string, to: string): number {
  let previous = Array.from({ length: to.length + 1 }, (_, index) => index)
  for (const [row, letter] of [...from].entries()) {
    const current = [row + 1]
    for (const [column, other] of [...to].entries()) {
      const replaced = (previous[column] ?? 0) + (letter === other ? 0 : 1)
      current.push(Math.min(replaced, (previous[column + 1] ?? 0) + 1, (current[column] ?? 0) + 1))
    }
    previous = current
  }
  return previous[to.length] ?? 0
}
