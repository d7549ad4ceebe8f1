/** What to do when a base refuses what this sdk sends, because one of them is older than the other. docs/releasing.md says what is promised. */
import manifest from '../package.json' with { type: 'json' }

/** Milliseconds for the answer. Without it the refusal is shown as it came. */
const ANSWER_MS_MAX = 2000

/**
 * Asks a base which version it is.
 * @returns one sentence with both versions and the remedy; undefined when they are the same, or the base does not say
 */
export async function adviseVersions(base: URL): Promise<string | undefined> {
  const theirs = await versionOf(base)
  if (theirs === undefined || theirs === manifest.version) return undefined
  const { default: compare } = await import('semver/functions/compare.js')
  const install = `install @berth/sdk@${theirs}`
  return compare(manifest.version, theirs) > 0
    ? `This sdk (${manifest.version}) is newer than the base (${theirs}), which may not know yet what it sends: ${install}, or upgrade the base first.`
    : `This sdk (${manifest.version}) is older than the base (${theirs}), which may not take any more what it sends: ${install}.`
}

async function versionOf(base: URL): Promise<string | undefined> {
  try {
    const response = await fetch(new URL('/', base), { signal: AbortSignal.timeout(ANSWER_MS_MAX) })
    const { name, version }: { name?: unknown; version?: unknown } = Object(await response.json())
    const { default: valid } = await import('semver/functions/valid.js')
    return name === 'berth' && typeof version === 'string' ? (valid(version) ?? undefined) : undefined
  } catch {
    // This is for an error that is on its way already, which says more.
    return undefined
  }
}
