/** RFC 6901 JSON pointers. */

/** The members of a pointer such as `/user/id`, unescaped: `['user', 'id']`. */
export function pointerPath(pointer: string): string[] {
  return pointer
    .slice(1)
    .split('/')
    .map(member => member.replaceAll('~1', '/').replaceAll('~0', '~'))
}

/** The value at `path` in `value`, or undefined when there is none. */
export function atPath(value: unknown, path: readonly string[]): unknown {
  let found = value
  for (const member of path) {
    if (typeof found !== 'object' || found === null || !Object.hasOwn(found, member)) return undefined
    found = (found as Readonly<Record<string, unknown>>)[member]
  }
  return found
}
