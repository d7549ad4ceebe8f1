/** Where code comes from: the release of the program, and commits of git. */
/** A release of the program: what tells it from others. */
export interface Release {
  /** Of the package. */
  readonly version: string
  /** Of the code that the processes run, hex: releases with the same digest run the same code on the same Node.js. Null when it could not be read. */
  readonly digest: string | null
  /** The commit that the code was built from, or that is checked out; null when that is not known. */
  readonly commit: string | null
  /** Whether the code differs from that commit; null when that is not known. */
  readonly modified: boolean | null
}

/** Why a base cannot be upgraded while cells of the release before still answer. Changes wait for their end. */
export const RELEASE_BEFORE_SERVES = 'the release before has not ended yet'

/** Characters of the id of a commit that people are shown. */
const COMMIT_CHARS = 12

/** A commit for people, such as `7f67eabcbb51` or `7f67eabcbb51, modified`. */
export function describeCommit(commit: string, modified: boolean | null | undefined): string {
  return `${commit.slice(0, COMMIT_CHARS)}${modified === true ? ', modified' : ''}`
}

/** `0.2.0 (3f9a0c11)`: a release for people, by its version and the beginning of its digest. */
export const nameOf = ({ version, digest }: Pick<Release, 'version' | 'digest'>): string =>
  digest === null ? version : `${version} (${digest.slice(0, 8)})`
