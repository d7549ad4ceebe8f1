/** A base on a data folder that was made before changes were values: it answers as before, and what was done can still be undone. */
import assert from 'node:assert/strict'
import { cpSync, existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { temporaryFolder } from '../base/store/fixtures/folder.ts'
import { type RunningBase, root, startBase } from './support/base.ts'

type Json = Readonly<Record<string, unknown>>

interface Yesterday {
  readonly params: readonly Json[]
  readonly rules: Json
  readonly versions: readonly Json[]
  readonly audit: readonly Json[]
  readonly scene: Json
  /** Status, version, reason, bucket and body, by unit. */
  readonly answers: Readonly<Record<string, readonly unknown[]>>
}

const folder = join(root, 'test/fixtures/format-1')
const yesterday = JSON.parse(readFileSync(join(folder, 'yesterday.json'), 'utf8')) as Yesterday

async function startOnYesterday(t: Parameters<typeof startBase>[0]): Promise<RunningBase> {
  const data = temporaryFolder(t)
  cpSync(folder, data, { recursive: true })
  return startBase(t, { data })
}

async function ask<T>({ controlUrl, token }: RunningBase, method: string, path: string, body?: unknown): Promise<T> {
  const headers = { authorization: `Bearer ${token}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) }
  const response = await fetch(controlUrl + path, { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) })
  assert.ok(response.ok, `${method} ${path}: ${response.status}`)
  return (await response.json()) as T
}

/** The rows without the labels that answers have today beside the ids of tokens. */
const unlabelled = (rows: readonly Json[]): Json[] =>
  rows.map(row => Object.fromEntries(Object.entries(row).filter(([member]) => !member.endsWith('Label'))))

test('a base on a data folder of format 1 answers as the base that made it, and shows the same state and history', async t => {
  const base = await startOnYesterday(t)
  for (const [unit, [status, version, because, bucket, body]] of Object.entries(yesterday.answers)) {
    const headers = { 'content-type': 'application/json', 'x-unit-id': Buffer.from(unit).toString('latin1') }
    const response = await fetch(`${base.url}/scenes/home`, { method: 'POST', headers, body: '[]' })
    const given = ['x-scene-version', 'x-scene-because', 'x-scene-bucket'].map(name => response.headers.get(name))
    assert.deepEqual([response.status, ...given, await response.json()], [status, version, because, bucket, body], unit)
  }
  assert.deepEqual(await ask(base, 'GET', '/api/scenes/home'), yesterday.scene)
  assert.deepEqual(await ask(base, 'GET', '/api/scenes/home/rules'), yesterday.rules)
  assert.deepEqual(unlabelled(await ask(base, 'GET', '/api/scenes/home/versions')), yesterday.versions)
  assert.deepEqual(unlabelled(await ask(base, 'GET', '/api/scenes/home/params/history')), yesterday.params)
  assert.ok(existsSync(join(base.data, 'berth.db.format-1')), 'the database as it was is kept')
})

test('the rows of an audit log of words stay readable, and each scene has one change that holds its whole state', async t => {
  const base = await startOnYesterday(t)
  const rows = await ask<readonly (Json & { readonly change: { readonly kind: string } | null })[]>(base, 'GET', '/api/audit?limit=1000')
  const words = rows.filter(({ change }) => change === null)
  assert.deepEqual(
    unlabelled(words).map(({ change: _, ...row }) => row),
    yesterday.audit,
  )
  assert.deepEqual(
    rows.flatMap(({ change, target }) => (change === null ? [] : [`${change.kind} ${target}`])),
    ['import scene home', 'import scene empty'],
  )
  assert.equal(words.find(({ target }) => target === 'home')?.whoLabel, 'alice', 'the label of a token that was revoked in those days')
})

test('what was changed before the folder became one of changes can be undone after it, step by step', async t => {
  const base = await startOnYesterday(t)
  const params = async () => (await ask<{ readonly params: Json }>(base, 'GET', '/api/scenes/home/params')).params
  assert.deepEqual(await params(), { topK: 5, weight: 1 })
  const undoLast = async <T>(path: string, name: 'from' | 'flip'): Promise<T> => {
    const { undoes } = await ask<{ readonly undoes: { readonly revision: number } }>(base, 'POST', path, { dryRun: true })
    return ask(base, 'POST', path, { [name]: undoes.revision })
  }
  await undoLast('/api/scenes/home/params/rollback', 'from')
  assert.deepEqual(await params(), { topK: 4, weight: 1 })
  await ask(base, 'PUT', '/api/scenes/home/params', { params: { topK: 9 } })
  await undoLast('/api/scenes/home/params/rollback', 'from')
  assert.deepEqual(await params(), { topK: 4, weight: 1 })
  await ask(base, 'POST', '/api/scenes/home/params/rollback', { to: 11 })
  assert.deepEqual(await params(), { topK: 5, weight: 1 })
  const shares: unknown[] = []
  for (let undone = 0; undone < 2; undone++) {
    const flip = await undoLast<{ readonly after: { readonly treatment: { readonly share: number } } }>(
      '/api/scenes/home/experiments/exp-1/revert',
      'flip',
    )
    shares.push(flip.after.treatment.share)
  }
  assert.deepEqual(shares, [1000, 2000], 'the last flip was reverted already, the two before it were not')
})
