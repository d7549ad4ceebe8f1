/** Names, bounds and defaults that the schemas are made of, apart from them: what needs no schema starts 200 ms sooner without their library. */

/** Regular expressions, as schemas take them. */
export const patterns = {
  module: '^[a-z][a-z0-9-]{0,63}$',
  /** A JavaScript identifier. */
  stage: '^[a-z][A-Za-z0-9]{0,63}$',
  service: '^[a-z][A-Za-z0-9]{0,63}$',
  /** A host as `berth.fetch` lists it: a name or an address, of https unless it says http, with a port unless it is the usual one. */
  host: '^(https?://)?([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?|\\[[0-9a-f:.]{2,45}\\])(:[1-9][0-9]{0,4})?$',
  /** Full SemVer 2.0.0 including prerelease and build, without a leading v; `semver.valid` decides in the end. */
  version: '^\\d+\\.\\d+\\.\\d+([-+][0-9A-Za-z.+-]+)?$',
} as const

/** Heap limit of a slot whose scene names none. */
export const DEFAULT_MEMORY_MB = 128

/** Of a module's manifest: characters, and members of lists. */
export const manifestLimits = { versionChars: 256, descriptionChars: 1000, stages: 32, services: 32, hosts: 32 } as const
