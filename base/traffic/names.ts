/** What names look like and how long lists of them may be, apart from the schemas: the command line starts faster without the schema library. */

/** Regular expressions, as schemas take them. */
export const patterns = {
  module: '^[a-z][a-z0-9-]{0,63}$',
  /** A JavaScript identifier. */
  stage: '^[a-z][A-Za-z0-9]{0,63}$',
  service: '^[a-z][A-Za-z0-9]{0,63}$',
  /** Full SemVer 2.0.0 including prerelease and build, without a leading v; `semver.valid` decides in the end. */
  version: '^\\d+\\.\\d+\\.\\d+([-+][0-9A-Za-z.+-]+)?$',
} as const

/** Of a module's manifest: characters, and members of lists. */
export const manifestLimits = { versionChars: 256, descriptionChars: 1000, stages: 32, services: 32 } as const
