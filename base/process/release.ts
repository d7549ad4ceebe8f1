/** Finds out which release of the program runs: what its status, metrics and log say of it, and what tells one release from another. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { readGit } from '../kernel/git.ts'
import { clone, release as folder } from '../kernel/installation.ts'
import type { Release } from '../kernel/origin.ts'
import { codeDigest } from './code-snapshot.ts'

let found: Promise<Release> | undefined

/**
 * The release that this process was started from. What is on disk may change later, and the first call decides: the supervisor makes it at its start, and
 * passes the answer on to its children. Takes at most two seconds, when git does not answer.
 */
export function release(): Promise<Release> {
  found ??= find()
  return found
}

async function find(): Promise<Release> {
  const { version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { readonly version: string }
  return { version, digest: codeDigest() ?? null, ...(clone === undefined ? provenance() : await checkedOut(clone)) }
}

type Source = Pick<Release, 'commit' | 'modified'>

const UNKNOWN: Source = { commit: null, modified: null }

async function checkedOut(clone: string): Promise<Source> {
  const git = await readGit(clone, ['base', 'bin', 'package.json', 'package-lock.json'])
  // A copy of the sources may be in the repository of somebody else, and no part of it.
  return git?.isTracked ? { commit: git.commit, modified: git.isModified ?? null } : UNKNOWN
}

/** What the build of a package says that it was made of. */
interface Provenance {
  readonly predicate: {
    readonly buildDefinition: {
      readonly resolvedDependencies: readonly { readonly digest: { readonly gitCommit?: string } }[]
      readonly internalParameters: { readonly clean?: boolean }
    }
  }
}

function provenance(): Source {
  try {
    const { buildDefinition } = (JSON.parse(readFileSync(join(folder, 'provenance.json'), 'utf8')) as Provenance).predicate
    const { clean } = buildDefinition.internalParameters
    const commit = buildDefinition.resolvedDependencies[0]?.digest.gitCommit
    return commit === undefined ? UNKNOWN : { commit, modified: clean === undefined ? null : !clean }
  } catch {
    // The file is for people and tools, and a base runs without it.
    return UNKNOWN
  }
}
