/**
 * Patterns, limits and defaults that the schemas use. They are in a file of their own because loading the schema library takes 200 ms, and code
 * that needs only these constants can start without it.
 */

/** Regular expressions as strings, in the form that JSON Schema takes. */
export const patterns = {
  module: '^[a-z][a-z0-9-]{0,63}$',
  /** A JavaScript identifier. */
  stage: '^[a-z][A-Za-z0-9]{0,63}$',
  service: '^[a-z][A-Za-z0-9]{0,63}$',
  /** A host as `berth.fetch` lists it: a name or an address; the scheme may be left out for https, and the port when it is the usual one. */
  host: '^(https?://)?([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?|\\[[0-9a-f:.]{2,45}\\])(:[1-9][0-9]{0,4})?$',
  /** Id of a git commit, full or abbreviated. Those of repositories with SHA-256 have 64 digits. */
  commit: '^[0-9a-f]{7,64}$',
  /** A SemVer 2.0.0 version with prerelease and build but without a leading v. The pattern is a first check; `semver.valid` decides. */
  version: '^\\d+\\.\\d+\\.\\d+([-+][0-9A-Za-z.+-]+)?$',
} as const

/** Heap limit of a slot when its scene sets none. */
export const DEFAULT_MEMORY_MB = 128

/** Limits of a module's manifest: characters of texts, and members of lists. */
export const manifestLimits = { versionChars: 256, descriptionChars: 1000, stages: 32, services: 32, hosts: 32, originChars: 1000 } as const
