/** Where the sources of a module are: what git says of its folder, or else what the CI system says of the commit that it builds. */
import { isAbsolute } from 'node:path'
import { readGit, withoutCredentials } from '../../base/kernel/git.ts'
import { manifestLimits, patterns } from '../../base/traffic/names.ts'
import type { ModuleOrigin } from '../../base/traffic/schema.ts'
import { exitCodes, SdkError } from '../sdk-error.ts'

type Environment = Readonly<Record<string, string | undefined>>

/**
 * Variables of CI systems: the commit, the branch or tag, and the URL of the repository. They count where a checkout has no `.git`, or none of which git
 * speaks, and say nothing about whether files were changed since.
 */
const ciVariables: readonly { readonly commit: string; readonly ref: string; readonly remote: string }[] = [
  { commit: 'GITHUB_SHA', ref: 'GITHUB_REF_NAME', remote: '' },
  { commit: 'CI_COMMIT_SHA', ref: 'CI_COMMIT_REF_NAME', remote: 'CI_PROJECT_URL' },
  { commit: 'BITBUCKET_COMMIT', ref: 'BITBUCKET_BRANCH', remote: 'BITBUCKET_GIT_HTTP_ORIGIN' },
  { commit: 'BUILD_SOURCEVERSION', ref: 'BUILD_SOURCEBRANCHNAME', remote: 'BUILD_REPOSITORY_URI' },
  { commit: 'CIRCLE_SHA1', ref: 'CIRCLE_BRANCH', remote: 'CIRCLE_REPOSITORY_URL' },
  { commit: 'BUILDKITE_COMMIT', ref: 'BUILDKITE_BRANCH', remote: 'BUILDKITE_REPO' },
  { commit: 'GIT_COMMIT', ref: 'GIT_BRANCH', remote: 'GIT_URL' },
  { commit: 'CODEBUILD_RESOLVED_SOURCE_VERSION', ref: '', remote: 'CODEBUILD_SOURCE_REPO_URL' },
  { commit: 'DRONE_COMMIT_SHA', ref: 'DRONE_COMMIT_BRANCH', remote: 'DRONE_REPO_LINK' },
]

/**
 * @param inputs files that the bundle is made of, relative to the folder: those outside of it count too
 * @param given the commit that somebody names, where neither git nor CI knows it
 * @returns undefined when nobody knows
 */
export async function originOf(
  folder: string,
  inputs: readonly string[],
  given?: string,
  env: Environment = process.env,
): Promise<ModuleOrigin | undefined> {
  if (given !== undefined) checkCommit(given)
  const outside = inputs.filter(input => input.startsWith('..') || isAbsolute(input)).filter(input => !input.includes('node_modules'))
  const git = await readGit(folder, ['.', ...outside])
  if (git === undefined) return originInCi(env, given)
  const isOther = given !== undefined && !git.commit.startsWith(given)
  // A named commit that is not checked out is what somebody says, and files cannot be compared with it.
  return originFrom({
    commit: isOther ? given : git.commit,
    modified: isOther ? undefined : git.isModified,
    ref: git.ref ?? originInCi(env)?.ref,
    path: git.path,
    remote: git.remote,
  })
}

function originInCi(env: Environment, given?: string): ModuleOrigin | undefined {
  const found = ciVariables.find(({ commit }) => new RegExp(patterns.commit).test(env[commit] ?? ''))
  const commit = given ?? (found && env[found.commit])
  if (commit === undefined) return undefined
  const { GITHUB_SERVER_URL: server, GITHUB_REPOSITORY: repository } = env
  const url = server !== undefined && repository !== undefined ? `${server}/${repository}` : found && env[found.remote]
  return originFrom({ commit, ref: found && env[found.ref], remote: url === undefined ? undefined : withoutCredentials(url) })
}

interface Parts {
  readonly commit: string
  readonly modified?: boolean | undefined
  readonly ref?: string | undefined
  readonly path?: string | undefined
  readonly remote?: string | undefined
}

/** What is empty or too long to be kept is left out. */
function originFrom({ commit, modified, ...texts }: Parts): ModuleOrigin {
  const fits = (text: string | undefined) => text !== undefined && text !== '' && text.length <= manifestLimits.originChars
  const kept = Object.fromEntries(Object.entries(texts).filter(([, text]) => fits(text)))
  return { commit, ...(modified !== undefined && { modified }), ...kept }
}

/** @throws SdkError USAGE */
function checkCommit(commit: string): void {
  if (new RegExp(patterns.commit).test(commit)) return
  throw new SdkError('USAGE', `Cannot take --commit ${JSON.stringify(commit)}: it is no id of a commit`, {
    hint: 'Give 7 to 64 hexadecimal digits, as "git rev-parse HEAD" prints them.',
    exit: exitCodes.usage,
  })
}
