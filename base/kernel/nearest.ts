/** Finds the known name that a misspelt one probably meant. */

/**
 * The known name that needs the fewest edits, or undefined when none is near enough. Upper and lower case count as equal.
 * @param editsMax how many letters may be inserted, deleted or replaced
 */
export function nearest(name: string, known: readonly string[], editsMax = Math.max(2, name.length / 3)): string | undefined {
  let best: { readonly candidate: string; readonly edits: number } | undefined
  for (const candidate of known) {
    // The difference in length is the least number of edits, so most candidates are ruled out without a closer look.
    if (Math.abs(candidate.length - name.length) > editsMax) continue
    const edits = editDistance(name.toLowerCase(), candidate.toLowerCase())
    if (edits <= editsMax && (best === undefined || edits < best.edits)) best = { candidate, edits }
  }
  return best?.candidate
}

/** The Levenshtein distance, computed one row of the matrix at a time. */
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
