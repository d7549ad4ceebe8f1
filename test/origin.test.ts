/** Where what runs comes from: the release of a base, and the commits of the modules that it serves. One base for the whole file. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { launchBase, type RunningBase, root, tempFolder } from './support/base.ts'
import { baseIn, ended, type Run, sdkIn } from './support/cli.ts'

let base: RunningBase

before(async () => {
  base = await launchBase({ cells: 1 })
})
after(() => base.kill())

const git = (cwd: string, ...args: string[]): string =>
  execFileSync('git', ['-c', 'user.name=test', '-c', 'user.email=test@example.com', ...args], { cwd, encoding: 'utf8' }).trim()

/** The tests may themselves run in one of these CI systems. */
const noCi = Object.fromEntries(
  ['GITHUB_SHA', 'CI_COMMIT_SHA', 'BITBUCKET_COMMIT', 'BUILD_SOURCEVERSION', 'CIRCLE_SHA1', 'BUILDKITE_COMMIT', 'GIT_COMMIT']
    .concat('CODEBUILD_RESOLVED_SOURCE_VERSION', 'DRONE_COMMIT_SHA', 'GITHUB_REPOSITORY')
    .map(name => [name, '']),
)

/** A module in the folder `rank` of a new folder. */
async function moduleIn(name: string): Promise<{ readonly top: string; readonly folder: string; readonly sdk: Run }> {
  const top = await tempFolder()
  const folder = join(top, 'rank')
  mkdirSync(folder)
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name, version: '1.0.0', type: 'module', berth: { stages: ['rank'] } }))
  writeFileSync(join(folder, 'index.ts'), 'export const rank = (values: number[]) => values\n')
  return { top, folder, sdk: sdkIn(top, base) }
}

/** The commit of everything there. */
function committed(top: string): string {
  git(top, 'init', '--quiet', '--initial-branch=main')
  git(top, 'remote', 'add', 'origin', 'https://robot:secret@example.com/team/ranking.git')
  git(top, 'add', '.')
  git(top, 'commit', '--quiet', '--message=first')
  return git(top, 'rev-parse', 'HEAD')
}

const originOf = async (name: string, version = '1.0.0') => (await base.client.module(name, version)).origin

describe('a base', () => {
  test('says which release it runs in its status, its metrics and its log', async () => {
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { readonly version: string }
    const { release } = await base.client.status()
    assert(release)
    assert.equal(release.version, version)
    assert.match(release.digest ?? '', /^[0-9a-f]{32}$/)
    const metrics = await (await fetch(`${base.controlUrl}/metrics`)).text()
    assert.match(metrics, new RegExp(`^berth_build_info\\{.*digest="${release.digest}".*\\} 1$`, 'm'))
    const ready = await base.logged(({ msg }) => msg === 'base ready')
    assert.deepEqual([ready.version, ready.commit], [version, release.commit])
    const env = { BERTH_BASE: base.controlUrl, BERTH_TOKEN: base.token }
    ended(await baseIn(root, env)('status'), 0, new RegExp(`release digest +${release.digest}`))
  })
})

describe('a published module', () => {
  test('has the commit, branch, path and repository of its sources, in the book, the version and the audit log', async () => {
    const { top, sdk } = await moduleIn('origin-rank')
    const commit = committed(top)
    writeFileSync(join(top, 'unrelated.txt'), '')
    ended(await sdk('publish', 'rank', '--no-check'), 0)
    const origin = { commit, modified: false, ref: 'main', path: 'rank', remote: 'https://example.com/team/ranking.git' }
    assert.deepEqual(await originOf('origin-rank'), origin)
    await base.client.putScene({ id: 'origin', group: [{ stage: 'rank', modules: ['origin-rank@^1'] }] }, undefined)
    ended(await sdk('version', 'create', 'origin', '--as', 'baseline'), 0)

    const short = commit.slice(0, 12)
    ended(await sdk('modules', 'origin-rank'), 0, new RegExp(`1\\.0\\.0 .* ${short}`))
    ended(await sdk('modules', 'show', 'origin-rank@1.0.0'), 0, new RegExp(`commit +${commit}`), /modified +no/, /path +rank/)
    ended(await sdk('version', 'show', 'origin', 'v1'), 0, new RegExp(`origin-rank@1\\.0\\.0 .* ${short} +main +rank +https://example`))
    ended(await sdk('version', 'show', 'origin', 'v7'), 1, /VERSION_NOT_FOUND/)
    ended(await sdk('modules', 'show', 'origin-rank'), 2, /names no version/)
    const answer = await fetch(`${base.controlUrl}/api/audit`, { headers: { authorization: `Bearer ${base.token}` } })
    const rows = (await answer.json()) as readonly Row[]
    const [made, published] = ['create version', 'publish module'].map(kind => rows.find(({ change }) => change.kind === kind))
    assert.deepEqual(published?.change.payload, { manifest: { ...(await manifestOf('origin-rank')), origin } })
    assert.deepEqual(made?.after.origins, { 'origin-rank@1.0.0': origin })
    assert(!JSON.stringify(rows).includes('secret'))
  })

  test('says when its files are not those of the commit, but not that --bump has raised its version', async () => {
    const { top, folder, sdk } = await moduleIn('changed-rank')
    committed(top)
    ended(await sdk('publish', 'rank', '--no-check', '--bump', 'minor'), 0)
    assert.equal((await originOf('changed-rank', '1.1.0'))?.modified, false)
    writeFileSync(join(folder, 'index.ts'), 'export const rank = (values: number[]) => values.toReversed()\n')
    ended(await sdk('publish', 'rank', '--no-check', '--bump', 'minor'), 0)
    assert.equal((await originOf('changed-rank', '1.2.0'))?.modified, true)
    ended(await sdk('modules', 'changed-rank'), 0, /[0-9a-f]{12}, modified/)
  })

  test('without a repository has the commit that CI or whoever publishes it names, else none', async () => {
    const commit = 'c0ffee'.repeat(7).slice(0, 40)
    const { top } = await moduleIn('ci-rank')
    const inCi = (env: Readonly<Record<string, string>>) => sdkIn(top, base, { ...noCi, ...env })
    ended(await inCi({})('publish', 'rank', '--no-check'), 0)
    assert.equal(await originOf('ci-rank'), undefined)
    ended(await inCi({})('modules', 'show', 'ci-rank@1.0.0'), 0, /commit +not known/)

    const other = await moduleIn('ci-other')
    const gitLab = { CI_COMMIT_SHA: commit, CI_COMMIT_REF_NAME: 'release', CI_PROJECT_URL: 'https://token:secret@example.com/team/ranking' }
    ended(await sdkIn(other.top, base, { ...noCi, ...gitLab })('publish', 'rank', '--no-check'), 0)
    assert.deepEqual(await originOf('ci-other'), { commit, ref: 'release', remote: 'https://example.com/team/ranking' })

    const named = await moduleIn('named-rank')
    ended(await sdkIn(named.top, base, noCi)('publish', 'rank', '--no-check', '--commit', 'main'), 2, /no id of a commit/)
    ended(await sdkIn(named.top, base, noCi)('publish', 'rank', '--no-check', '--commit', commit), 0)
    assert.deepEqual(await originOf('named-rank'), { commit })
  })
})

interface Row {
  readonly change: { readonly kind: string; readonly payload: unknown }
  readonly after: { readonly origins?: unknown }
}

/** The manifest as it was published, without its origin. */
async function manifestOf(name: string) {
  const { stages, bundle, sourceMap, version } = await base.client.module(name, '1.0.0')
  return { name, version, stages, bundle, sourceMap }
}
