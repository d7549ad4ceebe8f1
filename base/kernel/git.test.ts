import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { readGit, withoutCredentials } from './git.ts'

const git = (cwd: string, ...args: string[]): string =>
  execFileSync('git', ['-c', 'user.name=test', '-c', 'user.email=test@example.com', '-c', 'protocol.file.allow=always', ...args], {
    cwd,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  }).trim()

function emptyFolder(t: TestContext): string {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'berth-git-')))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** A repository with a module in `modules/rank` in its one commit. */
function repository(t: TestContext): { readonly top: string; readonly folder: string; readonly commit: string } {
  const top = emptyFolder(t)
  const folder = join(top, 'modules/rank')
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'package.json'), '{}')
  writeFileSync(join(top, 'shared.json'), '{}')
  writeFileSync(join(top, '.gitignore'), 'node_modules/\n')
  git(top, 'init', '--quiet', '--initial-branch=main')
  git(top, 'remote', 'add', 'origin', 'https://user:secret@example.com/team/ranking.git')
  git(top, 'add', '.')
  git(top, 'commit', '--quiet', '--message=first')
  return { top, folder, commit: git(top, 'rev-parse', 'HEAD') }
}

test('git says the commit, branch, path and remote of a folder, and no credentials', async t => {
  const { folder, commit } = repository(t)
  assert.deepEqual(await readGit(folder), {
    commit,
    isTracked: true,
    isModified: false,
    ref: 'main',
    path: 'modules/rank',
    remote: 'https://example.com/team/ranking.git',
  })
})

test('only changes of the folder, and of the other files that are named, count', async t => {
  const { top, folder } = repository(t)
  const isModified = async (...paths: string[]) => (await readGit(folder, ['.', ...paths]))?.isModified
  writeFileSync(join(top, 'shared.json'), '[]')
  mkdirSync(join(folder, 'node_modules'))
  writeFileSync(join(folder, 'node_modules/ignored.js'), '')
  assert.deepEqual([await isModified(), await isModified('../../shared.json'), await isModified(tmpdir())], [false, true, false])
  writeFileSync(join(folder, 'new.ts'), '')
  assert.equal(await isModified(), true)
})

test('a folder that the repository ignores is not what the commit has', async t => {
  const { top } = repository(t)
  const folder = join(top, 'node_modules/vendored')
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'package.json'), '{}')
  const { isTracked, isModified } = (await readGit(folder)) ?? {}
  assert.deepEqual([isTracked, isModified], [false, true])
})

test('a commit without a branch has the name of its tag', async t => {
  const { top, folder, commit } = repository(t)
  git(top, 'checkout', '--quiet', '--detach')
  assert.deepEqual([(await readGit(folder))?.commit, (await readGit(folder))?.ref], [commit, undefined])
  git(top, 'tag', 'v1.2.0')
  assert.equal((await readGit(folder))?.ref, 'v1.2.0')
})

test('a worktree and a submodule have their own commit', async t => {
  const { top, commit } = repository(t)
  const tree = join(emptyFolder(t), 'tree')
  git(top, 'worktree', 'add', '--quiet', '-b', 'other', tree)
  const { ref, path } = (await readGit(join(tree, 'modules/rank'))) ?? {}
  assert.deepEqual([ref, path], ['other', 'modules/rank'])
  const outer = repository(t)
  git(outer.top, 'submodule', '--quiet', 'add', top, 'ranking')
  const inner = await readGit(join(outer.top, 'ranking/modules/rank'))
  assert.deepEqual([inner?.commit, inner?.remote], [commit, undefined])
})

test('git says nothing of a folder without a repository, of an empty one, of a bare one, and in a hook of another', async t => {
  const { top, folder, commit } = repository(t)
  const [none, empty, bare] = [emptyFolder(t), emptyFolder(t), emptyFolder(t)]
  git(empty, 'init', '--quiet')
  git(bare, 'clone', '--quiet', '--bare', top, '.')
  for (const nothing of [none, empty, bare, join(none, 'missing')]) assert.equal(await readGit(nothing), undefined)
  process.env.GIT_DIR = join(empty, '.git')
  t.after(() => delete process.env.GIT_DIR)
  assert.equal((await readGit(folder))?.commit, commit)
})

test('without git there is no answer, and no error', async t => {
  const { folder } = repository(t)
  const { PATH } = process.env
  t.after(() => Object.assign(process.env, { PATH }))
  process.env.PATH = folder
  assert.equal(await readGit(folder), undefined)
})

test('what is shown of a remote has no credentials, and no path of a machine', () => {
  const shown: readonly (readonly [remote: string, shown: string | undefined])[] = [
    ['https://user:secret@example.com/a.git?token=secret#secret', 'https://example.com/a.git'],
    ['https://secret@example.com:8443/a.git', 'https://example.com:8443/a.git'],
    ['ssh://git@example.com:22/a.git', 'ssh://example.com:22/a.git'],
    ['git@example.com:team/a.git', 'ssh://example.com/team/a.git'],
    ['deploy:secret@example.com:team/a.git', undefined],
    ['/home/me/a.git', undefined],
    ['../a.git', undefined],
    ['file:///home/me/a.git', undefined],
    ['C:\\a', undefined],
    ['C:/a', undefined],
    ['', undefined],
  ]
  for (const [remote, expected] of shown) assert.equal(withoutCredentials(remote), expected, remote)
})
