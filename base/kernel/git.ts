/** What git says of a folder: which commit is checked out there, and whether the files are those of the commit. */
import { execFile } from 'node:child_process'
import { relative, resolve } from 'node:path'

export interface GitState {
  /** Full id of the commit that is checked out. */
  readonly commit: string
  /** Whether the commit has the file `package.json` of the folder. If not, the commit says nothing about the folder, which may be ignored. */
  readonly isTracked: boolean
  /** Whether the files that count differ from the commit, or are not in it. Undefined when git took too long to say so. */
  readonly isModified: boolean | undefined
  /** The branch that is checked out, else the tag of the commit; undefined when there is neither. */
  readonly ref: string | undefined
  /** Path of the folder inside its repository, with `/`; empty when it is the whole repository. */
  readonly path: string
  /** URL of the remote `origin` without user name, password and query; undefined when there is none, or when it is a path of this machine. */
  readonly remote: string | undefined
}

/** Milliseconds that git may take in all. In a huge repository, or on a slow disk, it takes seconds to compare files. */
const GIT_MS_MAX = 2000
/** Characters of what git prints that are read. */
const OUTPUT_CHARS_MAX = 64 * 1024

/**
 * Asks the git program about `folder`, and changes nothing: it takes no lock and runs no file system monitor.
 * @param paths of the files and folders that count, relative to the folder; those outside of the repository do not
 * @returns undefined when git is not installed, or refuses: the folder is in no repository, in a bare one, in one without a commit, or in one that belongs to
 * another user
 */
export async function readGit(folder: string, paths: readonly string[] = ['.']): Promise<GitState | undefined> {
  const signal = AbortSignal.timeout(GIT_MS_MAX)
  const ask = (...args: string[]) => git(folder, args, signal)
  const head = await ask('rev-parse', '--show-toplevel', '--show-prefix', 'HEAD', '--abbrev-ref', 'HEAD')
  const [top, prefix, commit, branch] = head?.split('\n') ?? []
  if (top === undefined || commit === undefined || !COMMIT.test(commit)) return undefined
  const inside = paths.filter(path => !/^\.\.([/\\]|$)/.test(relative(top, resolve(folder, path))))
  const [tracked, changes, tag, url] = await Promise.all([
    ask('ls-tree', '--name-only', 'HEAD', 'package.json'),
    ask('status', '--porcelain', '--no-renames', '--', ...inside),
    branch === 'HEAD' ? ask('describe', '--tags', '--exact-match', 'HEAD') : undefined,
    ask('config', '--get', 'remote.origin.url'),
  ])
  const isTracked = tracked !== undefined && tracked !== ''
  return {
    commit,
    isTracked,
    isModified: changes === undefined ? undefined : !isTracked || changes !== '',
    ref: branch === 'HEAD' ? tag?.trim() || undefined : branch,
    path: (prefix ?? '').replace(/\/$/, ''),
    remote: url === undefined ? undefined : withoutCredentials(url.trim()),
  }
}

const COMMIT = /^[0-9a-f]{40,64}$/

/** What git prints; undefined when it cannot be started, fails, or is ended by the signal. */
function git(cwd: string, args: readonly string[], signal: AbortSignal): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>()
  const options = { cwd, env: environment(), signal, maxBuffer: OUTPUT_CHARS_MAX, windowsHide: true } as const
  execFile('git', ['-c', 'core.fsmonitor=false', '-c', 'core.quotePath=false', ...args], options, (error, stdout) => {
    // A list of changes that is too long to be read is a list of changes nevertheless.
    const isCut = error?.code === 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER'
    resolve(error === null || isCut ? stdout : undefined)
  })
  return promise
}

/** In a hook, git names its repository to the programs that it starts. Here the folder says which repository is meant. */
function environment(): NodeJS.ProcessEnv {
  const { GIT_DIR: _, GIT_WORK_TREE: __, GIT_INDEX_FILE: ___, GIT_COMMON_DIR: ____, GIT_PREFIX: _____, ...env } = process.env
  return { ...env, GIT_OPTIONAL_LOCKS: '0', GIT_TERMINAL_PROMPT: '0', LC_ALL: 'C' }
}

/** The URL of a repository as it may be shown to others; undefined for a path, which means nothing on another machine. */
export function withoutCredentials(remote: string): string | undefined {
  // The short form of ssh, such as `git@example.com:team/ranking.git`. A single letter is the drive of a path on Windows.
  const short = /^(?:[^@/\\:]+@)?([^@/\\:]{2,}):(?!\/\/)([^@]+)$/.exec(remote)
  if (short !== null) return `ssh://${short[1]}/${short[2]?.replace(/^\//, '')}`
  if (!URL.canParse(remote)) return undefined
  const { protocol, host, pathname } = new URL(remote)
  return /^(https?|ssh|git):$/.test(protocol) ? `${protocol}//${host}${pathname}` : undefined
}
