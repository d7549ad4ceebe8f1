/** Finds parameters that nothing reads. Modules do not declare what they read, so their code is searched for the names. */
import { nearest } from '../../kernel/nearest.ts'
import type { Blobs } from '../../store/blobs.ts'
import type { Params, VersionRecord } from '../../traffic/schema.ts'
import { lockedModules } from '../../traffic/table.ts'

/** Names that stand unchanged in the code that esbuild writes. It escapes other letters. */
const PLAIN = /^[\w$.-]+$/
/** How many names are looked for, and how long one may be: each is looked for in all of the code. */
const NAMES_MAX = 20
const LETTERS_MAX = 100
const WORDS = /[A-Za-z_$][\w$]*/g

/**
 * A line for each new parameter that no module's code mentions, with the name that may have been meant. Only the first few are looked for.
 * The lines are for people only, since code may put names together.
 * @param versions whose modules may read them; names that look alike are those of the first
 * @param known names of parameters that exist
 * @throws DATA_DAMAGED, BLOB_NOT_FOUND
 */
export async function warnUnread(
  { before, after }: { readonly before: Params; readonly after: Params },
  versions: readonly VersionRecord[],
  known: readonly string[],
  blobs: Blobs,
): Promise<string[]> {
  const isNew = (name: string) => !Object.hasOwn(before, name) && name.length <= LETTERS_MAX && PLAIN.test(name)
  let unread = Object.keys(after)
    .filter(name => isNew(name))
    .slice(0, NAMES_MAX)
  let words: readonly string[] | undefined
  const seen = new Set<string>()
  for (const { lock } of versions) {
    const texts: string[] = []
    for (const { bundle } of lockedModules(lock)) {
      if (unread.length === 0) return []
      if (seen.has(bundle)) continue
      seen.add(bundle)
      const text = (await blobs.read(bundle)).toString('utf8')
      unread = unread.filter(name => !mentions(text, name))
      texts.push(text)
    }
    words ??= texts.length === 0 ? undefined : wordsOf(texts)
  }
  if (words === undefined) return []
  const looked = words
  return unread.map(name => {
    const meant = nearest(name, known) ?? nearest(name, looked, Math.floor(name.length / 4))
    return `none of the modules looked at has "${name}" in its code${meant === undefined ? '' : `; did you mean "${meant}"?`}`
  })
}

const mentions = (text: string, name: string): boolean => new RegExp(`(?<![\\w$])${RegExp.escape(name)}(?![\\w$])`).test(text)

const wordsOf = (texts: readonly string[]): string[] => [...new Set(texts.flatMap(text => text.match(WORDS) ?? []))]
