/** How deep JSON is nested. It is used on both sides of an isolate, and imports nothing. */

/** Arrays and objects within one another that a body may have. */
const DEPTH_MAX = 32_768

const [QUOTE, BACKSLASH, OPENING, CLOSING, UPPER] = [34, 92, 123, 125, 32] as const

/**
 * Refuses JSON that is nested too deeply: to parse a megabyte of `[` takes a hundred times as long as to parse a megabyte of text. A text that is not
 * long enough to be valid and deeper is not looked at, and of one that is, no more than up to the place where it becomes too deep.
 * @throws Error whose message says where
 */
export function demandShallow(json: string): void {
  if (json.length <= 2 * DEPTH_MAX) return
  let depth = 0
  for (let at = 0; at < json.length; at++) {
    const code = json.charCodeAt(at)
    if (code === QUOTE) at = endOfString(json, at)
    // A bracket and the brace of the same side differ in one bit.
    else if ((code | UPPER) === OPENING && ++depth > DEPTH_MAX) {
      throw new Error(`it is nested more than ${DEPTH_MAX} levels deep at position ${at}`)
    } else if ((code | UPPER) === CLOSING) depth--
  }
}

/** Where the string that begins at `start` ends, or the text if that is earlier. */
function endOfString(json: string, start: number): number {
  for (let at = start + 1; at < json.length; at++) {
    const code = json.charCodeAt(at)
    if (code === QUOTE) return at
    if (code === BACKSLASH) at++
  }
  return json.length
}
